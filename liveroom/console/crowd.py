"""The connections of an HTTP server: how many there may be, which of them give way, and the share of each user, each address and of staff."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from itertools import chain, islice
from typing import Final, Literal, Protocol

from msgspec import Struct

from liveroom.telemetry.metrics import Metrics
from liveroom.telemetry.seldom import Seldom

__all__ = ["HEALTH_RESERVE", "STAFF_PART", "Caller", "Crowd", "Guest", "Limits", "Shortage"]

#: Connections beyond the limit that are taken while all others have a request at work. They are good for health checks and metrics.
HEALTH_RESERVE: Final = 32
#: One in so many of the requests that may be at work is kept for the anchors and the platform.
STAFF_PART: Final = 8

#: Which limit refuses a request: everybody's, the user's or the address'; empty = none does.
Shortage = Literal["", "all", "user", "address"]

log = logging.getLogger(__name__)


class Guest(Protocol):
    """A connection as the crowd knows it."""

    def drop(self) -> None:
        """End it without another word."""


class Caller(Struct, frozen=True):
    """The sender of a request, as limits know it; `user` is empty without a token and for the platform, which has no limit of its own."""

    address: str = ""
    user: str = ""
    is_staff: bool = False


class Limits(Struct, frozen=True):
    """How many connections there may be, and how many requests of one user and of one address may be under way."""

    connections_max: int
    per_user_max: int
    per_address_max: int


class Crowd:
    """Every connection is fresh, idle, or has a request under way. Such a request is at work, or it waits for its client.

    A request at work keeps its connection. It waits for its client while the body comes in or the answer goes out: the client decides
    how long that takes. A newcomer displaces the oldest connection of one kind: viewers' requests that wait for their client, idle
    connections, or connections that never asked, whichever kind has most. Staff's requests that wait go only when there is no such connection.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits = limits
        self._viewers_max = limits.connections_max - limits.connections_max // STAFF_PART
        self._metrics = metrics
        self._fresh: dict[Guest, None] = {}  # no request of theirs has begun
        self._idle: dict[Guest, None] = {}
        self._requests: dict[Guest, Caller] = {}
        self._slow: dict[Guest, None] = {}  # of these, viewers' that wait for their client
        self._slow_staff: dict[Guest, None] = {}
        self._viewers = 0  # requests that are not staff's
        self._by_user: Counter[str] = Counter()
        self._by_address: Counter[str] = Counter()
        self._full = Seldom(log, "more connections are open than may be; those that wait for their client or have no request are dropped")
        self._refused = Seldom(log, "requests are refused, because as many are under way as may be")
        metrics.console_connections.set_function(lambda: len(self))

    def __len__(self) -> int:
        return len(self._fresh) + len(self._idle) + len(self._requests)

    def _at_work(self) -> int:
        return len(self._requests) - len(self._slow) - len(self._slow_staff)

    def arrive(self, guest: Guest) -> None:
        """Take a newcomer in; somebody is dropped when there are too many."""
        self._fresh[guest] = None
        everybody_works = self._at_work() >= self._limits.connections_max
        if len(self) > self._limits.connections_max + HEALTH_RESERVE * everybody_works:
            self.drop(self._dispensable(), "too_many")

    def _dispensable(self) -> Guest:
        """The oldest of the kind that has most, so that one kind in great number displaces its own; the newcomer only when nobody else can go."""
        silent = len(self._fresh) - 1
        kinds: list[tuple[int, Iterable[Guest]]] = [
            (len(self._slow), self._slow),
            (len(self._idle), self._idle),
            (silent, islice(self._fresh, silent)),
        ]
        kinds.sort(key=lambda kind: kind[0], reverse=True)
        return next(chain(*(guests for _, guests in kinds), self._slow_staff, self._fresh))

    def begin(self, guest: Guest, caller: Caller) -> Shortage:
        """A request of this one begins; gives the limit that lets it be no more than a health check.

        A connection can be lost between the arrival of its request and this call. It is gone then, and is not counted again.
        """
        shortage = self._shortage(caller)
        if guest in self._fresh or guest in self._idle:
            self._fresh.pop(guest, None)
            self._idle.pop(guest, None)
            self._requests[guest] = caller
            self._count(caller, 1)
        return shortage

    def refused(self, shortage: Shortage) -> None:
        """Count and log that a request was refused for this."""
        self._metrics.console_requests_refused.labels(shortage).inc()
        self._refused.warn(asyncio.get_running_loop().time(), limit_of=shortage)

    def wait(self, guest: Guest) -> None:
        """Its request waits for the client from now on."""
        if caller := self._requests.get(guest):
            (self._slow_staff if caller.is_staff else self._slow)[guest] = None

    def work(self, guest: Guest) -> bool:
        """Its request waits for the client no more; gives whether it may be at work now."""
        caller = self._requests.get(guest)
        if caller is None:
            return True  # the connection is gone, and so is what it would take
        has_room = self._has_room(caller)
        self._slow.pop(guest, None)
        self._slow_staff.pop(guest, None)
        return has_room

    def end(self, guest: Guest) -> None:
        """Its request was answered."""
        if self._forget_request(guest):
            self._idle[guest] = None

    def leave(self, guest: Guest) -> None:
        """It is gone."""
        self._fresh.pop(guest, None)
        self._idle.pop(guest, None)
        self._forget_request(guest)

    def is_silent(self, guest: Guest) -> bool:
        """Whether it never asked for anything."""
        return guest in self._fresh

    def drop(self, guest: Guest, why: str) -> None:
        """End a connection that is not at work."""
        self.leave(guest)
        self._metrics.console_connections_dropped.labels(why).inc()
        if why == "too_many":
            self._full.warn(asyncio.get_running_loop().time(), connections_max=self._limits.connections_max)
        guest.drop()

    def _shortage(self, caller: Caller) -> Shortage:
        if caller.user and self._by_user[caller.user] >= self._limits.per_user_max:
            return "user"
        if not caller.is_staff and caller.address and self._by_address[caller.address] >= self._limits.per_address_max:
            return "address"
        return "" if self._has_room(caller) else "all"

    def _has_room(self, caller: Caller) -> bool:
        """Whether one more request of such a caller may be at work."""
        in_viewers_part = caller.is_staff or self._viewers - len(self._slow) < self._viewers_max
        return in_viewers_part and self._at_work() < self._limits.connections_max

    def _forget_request(self, guest: Guest) -> bool:
        self._slow.pop(guest, None)
        self._slow_staff.pop(guest, None)
        caller = self._requests.pop(guest, None)
        if caller is not None:
            self._count(caller, -1)
        return caller is not None

    def _count(self, caller: Caller, one: int) -> None:
        self._viewers += one * (not caller.is_staff)
        for counter, key in ((self._by_user, caller.user), (self._by_address, "" if caller.is_staff else caller.address)):
            if key:
                counter[key] += one
                if not counter[key]:
                    del counter[key]
