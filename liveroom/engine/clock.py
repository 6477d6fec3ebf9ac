"""A partition's time: its owner's clock, as long as that goes forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["PartitionClock"]

#: While the clock is behind the partition's time, that goes on at this part of the clock's pace.
BEHIND_PACE: Final = 2


class PartitionClock:
    """Neither goes back nor stands still, whatever the owners' clocks say.

    The partition's time may be ahead of the clock: the owner before had another one, or this one was set back. It goes
    on at half the clock's pace then, until the clock has caught up: what is due comes late, and nothing waits for ever.
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
