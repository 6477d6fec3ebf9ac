"""The connections of an HTTP server: how many there may be, who gives way to a newcomer, and what is kept for health checks."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from liveroom.telemetry.metrics import Metrics
from liveroom.telemetry.seldom import Seldom

__all__ = ["HEALTH_RESERVE", "Crowd", "Guest"]

#: Connections beyond the limit that are taken while all others have a request under way. They are good for health checks and metrics.
HEALTH_RESERVE: Final = 32

log = logging.getLogger(__name__)


class Guest(Protocol):
    """A connection as the crowd knows it."""

    def drop(self) -> None:
        """End it without another word."""


class Crowd:
    """Connections with a request under way stay. Others give way, the oldest first: those that never asked before those that keep alive."""

    def __init__(self, connections_max: int, metrics: Metrics) -> None:
        self._max = connections_max
        self._metrics = metrics
        self._fresh: dict[Guest, None] = {}  # no request of theirs has begun
        self._idle: dict[Guest, None] = {}
        self._busy: set[Guest] = set()
        self._full = Seldom(log, "more connections are open than may be; those without a request are dropped")
        metrics.console_connections.set_function(lambda: len(self))

    def __len__(self) -> int:
        return len(self._fresh) + len(self._idle) + len(self._busy)

    def arrive(self, guest: Guest) -> None:
        """Take a newcomer in; somebody is dropped when there are too many."""
        self._fresh[guest] = None
        everybody_busy = len(self._busy) >= self._max
        if len(self) > self._max + HEALTH_RESERVE * everybody_busy:
            # The newcomer itself only when nobody else waits.
            self.drop(next(iter(self._fresh)) if len(self._fresh) > 1 else next(iter(self._idle or self._fresh)), "too_many")

    def begin(self, guest: Guest) -> bool:
        """A request of this one begins; gives whether it may be more than a health check.

        A connection can be lost between the arrival of its request and this call. It is gone then, and is not counted again.
        """
        room = len(self._busy) < self._max
        if guest in self._fresh or guest in self._idle:
            self._fresh.pop(guest, None)
            self._idle.pop(guest, None)
            self._busy.add(guest)
        return room

    def end(self, guest: Guest) -> None:
        """Its request was answered."""
        if guest in self._busy:
            self._busy.remove(guest)
            self._idle[guest] = None

    def leave(self, guest: Guest) -> None:
        """It is gone."""
        self._fresh.pop(guest, None)
        self._idle.pop(guest, None)
        self._busy.discard(guest)

    def is_silent(self, guest: Guest) -> bool:
        """Whether it never asked for anything."""
        return guest in self._fresh

    def drop(self, guest: Guest, why: str) -> None:
        """End a connection that has no request under way."""
        self.leave(guest)
        self._metrics.console_connections_dropped.labels(why).inc()
        if why == "too_many":
            self._full.warn(asyncio.get_running_loop().time(), connections_max=self._max)
        guest.drop()
