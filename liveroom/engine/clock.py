"""A partition's time: its owner's clock, but it never goes back and never leaps."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

__all__ = ["AHEAD_PACE", "PartitionClock", "SteadyClock", "passed_ms", "wall_clock_ms"]

log = logging.getLogger("liveroom.engine")

#: While the system's clock is ahead of the time that really passed, time goes on at this many times its pace.
AHEAD_PACE: Final = 2
#: A step of the system's clock above this gets a line in the log.
STEP_TOLD_MS: Final = 1_000

#: While the clock is behind the partition's time, the partition's time goes on at the clock's pace divided by this.
BEHIND_PACE: Final = 2


def wall_clock_ms() -> int:
    """Unix time in ms."""
    return time.time_ns() // 1_000_000


def passed_ms() -> int:
    """Monotonic time in ms, which nobody can set. It includes the machine's sleep where the system can tell."""
    which = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime_ns(which) // 1_000_000


class SteadyClock:
    """The system's clock, protected against steps forward: its time then goes on at `AHEAD_PACE` until it has caught up.

    A step would make everything due at once.
    Holds would expire, and the ids of commands would be forgotten before their retries came.
    Such a retry would make a second hold.
    All partitions of a process share one such clock, so a partition that is taken over again does not leap either.
    A new process trusts the clock that it finds.
    """

    def __init__(self, clock_ms: Callable[[], int], passed_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._passed_ms = passed_ms
        self._seen_passed_ms = passed_ms()
        self._now_ms = clock_ms()
        self._told = False
        #: How far this clock is behind the system's, in ms.
        self.held_back_ms = 0

    def __call__(self) -> int:
        """Unix ms."""
        clock_ms, passed_ms = self._clock_ms(), self._passed_ms()
        most_ms = self._now_ms + AHEAD_PACE * (passed_ms - self._seen_passed_ms)
        self._seen_passed_ms = passed_ms
        self._now_ms = min(clock_ms, most_ms)
        self.held_back_ms = clock_ms - self._now_ms
        if self.held_back_ms > STEP_TOLD_MS and not self._told:
            self._told = True
            words = "the system's clock was stepped forward; rooms' time goes on at twice its pace until it has caught up"
            log.warning(words, extra={"step_ms": self.held_back_ms})
        elif not self.held_back_ms and self._told:
            self._told = False
            log.info("rooms' time has caught up with the system's clock")
        return self._now_ms


class PartitionClock:
    """A clock that neither goes back nor stands still, whatever the owners' clocks say.

    The partition's time may be ahead of the clock: the owner before had another clock, or this one was set back.
    It then goes on at half the clock's pace until the clock has caught up.
    Due events come late, but none waits forever.
    """

    def __init__(self, clock_ms: Callable[[], int], time_ms: int) -> None:
        self._clock_ms = clock_ms
        self._seen_ms = self._from_ms = clock_ms()
        self._now_ms = self._at_ms = max(time_ms, self._seen_ms)

    def __call__(self) -> int:
        """Unix ms."""
        clock_ms = self._clock_ms()
        if clock_ms < self._seen_ms:
            self._from_ms, self._at_ms = clock_ms, self._now_ms
        self._seen_ms = clock_ms
        self._now_ms = max(clock_ms, self._at_ms + (clock_ms - self._from_ms) // BEHIND_PACE)
        return self._now_ms
