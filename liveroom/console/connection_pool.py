"""The connections of an HTTP server: their limit, the order in which they are displaced, and the shares of users, addresses and staff."""

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

__all__ = ["HEALTH_RESERVE", "STAFF_PART", "Caller", "ConnectionLimits", "ConnectionPool", "PooledConnection", "Shortage"]

#: Connections beyond the limit that are accepted while all others have a request at work. They serve only health checks and metrics.
HEALTH_RESERVE: Final = 32
#: The fraction 1 / `STAFF_PART` of the requests at work is reserved for anchors and the platform.
STAFF_PART: Final = 8

#: The limit that refuses a request: of all requests, of the user or of the address; empty if the request may proceed.
Shortage = Literal["", "all", "user", "address"]

log = logging.getLogger(__name__)


class PooledConnection(Protocol):
    """A connection in the crowd."""

    def drop(self) -> None:
        """Abort the connection at once."""


class Caller(Struct, frozen=True):
    """The sender of a request, for the limits. `user` is empty without a token, and for the platform, which has no limit per user."""

    address: str = ""
    user: str = ""
    is_staff: bool = False


class ConnectionLimits(Struct, frozen=True):
    """The limits of connections, and of concurrent requests per user and per address."""

    connections_max: int
    per_user_max: int
    per_address_max: int


class ConnectionPool:
    """All connections of a server. Each is fresh (no request yet), idle, or has a request.

    A request is at work, or it waits for its client: for its body, or until the client has read the response.
    A request at work keeps its connection.
    Beyond the limit, a new connection displaces the oldest one of the most frequent kind.
    The kinds are viewers' requests that wait for their client, idle connections and fresh connections.
    Waiting requests of staff are displaced only if no connection of these kinds is left.
    """

    def __init__(self, limits: ConnectionLimits, metrics: Metrics) -> None:
        self._limits = limits
        self._viewers_max = limits.connections_max - limits.connections_max // STAFF_PART
        self._metrics = metrics
        self._fresh: dict[PooledConnection, None] = {}  # connections without any request yet
        self._idle: dict[PooledConnection, None] = {}
        self._requests: dict[PooledConnection, Caller] = {}
        self._slow: dict[PooledConnection, None] = {}  # requests of viewers that wait for their client
        self._slow_staff: dict[PooledConnection, None] = {}
        self._viewers = 0  # number of requests that do not come from staff
        self._by_user: Counter[str] = Counter()
        self._by_address: Counter[str] = Counter()
        self._full = Seldom(log, "too many connections are open; those without a request, or waiting for their client, are dropped")
        self._refused = Seldom(log, "requests are refused, because a limit of concurrent requests is reached")
        metrics.console_connections.set_function(lambda: len(self))

    def __len__(self) -> int:
        return len(self._fresh) + len(self._idle) + len(self._requests)

    def _at_work(self) -> int:
        return len(self._requests) - len(self._slow) - len(self._slow_staff)

    def arrive(self, guest: PooledConnection) -> None:
        """Add a new connection. Beyond the limit, one connection is dropped."""
        self._fresh[guest] = None
        everybody_works = self._at_work() >= self._limits.connections_max
        if len(self) > self._limits.connections_max + HEALTH_RESERVE * everybody_works:
            self.drop(self._dispensable(), "too_many")

    def _dispensable(self) -> PooledConnection:
        """The connection to drop: the oldest of the most frequent kind, so that a flood displaces itself. The newest connection goes last."""
        silent = len(self._fresh) - 1
        kinds: list[tuple[int, Iterable[PooledConnection]]] = [
            (len(self._slow), self._slow),
            (len(self._idle), self._idle),
            (silent, islice(self._fresh, silent)),
        ]
        kinds.sort(key=lambda kind: kind[0], reverse=True)
        return next(chain(*(guests for _, guests in kinds), self._slow_staff, self._fresh))

    def begin(self, guest: PooledConnection, caller: Caller) -> Shortage:
        """Begin a request of a connection. Returns the limit that is reached, or an empty text.

        The caller refuses the request then, but never a health check.
        A connection can be lost between the arrival of its request and this call. Then it is gone and not counted again.
        """
        shortage = self._shortage(caller)
        if guest in self._fresh or guest in self._idle:
            self._fresh.pop(guest, None)
            self._idle.pop(guest, None)
            self._requests[guest] = caller
            self._count(caller, 1)
        return shortage

    def refused(self, shortage: Shortage) -> None:
        """Count and log a request that was refused because of `shortage`."""
        self._metrics.console_requests_refused.labels(shortage).inc()
        self._refused.warn(asyncio.get_running_loop().time(), limit_of=shortage)

    def wait(self, guest: PooledConnection) -> None:
        """Note that a request waits for its client from now on."""
        if caller := self._requests.get(guest):
            (self._slow_staff if caller.is_staff else self._slow)[guest] = None

    def work(self, guest: PooledConnection) -> bool:
        """Note that a request no longer waits for its client. Returns whether it may continue."""
        caller = self._requests.get(guest)
        if caller is None:
            return True  # the connection is gone and takes no place
        has_capacity = self._has_capacity(caller)
        self._slow.pop(guest, None)
        self._slow_staff.pop(guest, None)
        return has_capacity

    def end(self, guest: PooledConnection) -> None:
        """Note that a request was answered; its connection is idle."""
        if self._forget_request(guest):
            self._idle[guest] = None

    def leave(self, guest: PooledConnection) -> None:
        """Remove a connection that is gone."""
        self._fresh.pop(guest, None)
        self._idle.pop(guest, None)
        self._forget_request(guest)

    def is_silent(self, guest: PooledConnection) -> bool:
        """Whether a connection never sent a request."""
        return guest in self._fresh

    def drop(self, guest: PooledConnection, why: str) -> None:
        """Drop a connection without a request at work."""
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
        return "" if self._has_capacity(caller) else "all"

    def _has_capacity(self, caller: Caller) -> bool:
        """Whether one more request of this caller may be at work."""
        in_viewers_part = caller.is_staff or self._viewers - len(self._slow) < self._viewers_max
        return in_viewers_part and self._at_work() < self._limits.connections_max

    def _forget_request(self, guest: PooledConnection) -> bool:
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
