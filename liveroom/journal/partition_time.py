"""A partition's time in its readers. Mutes, bans and countdowns end by this clock, not by a reader's own."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["PartitionTime"]


class PartitionTime:
    """The time of the last record, plus the time that has passed since.

    Old records say little about the present.
    Until a live record arrives, the reader's own clock counts, unless the partition's time is ahead of it.
    """

    def __init__(self, passed_s: Callable[[], float] = time.monotonic, clock_s: Callable[[], float] = time.time) -> None:
        self._passed_s = passed_s
        self._clock_s = clock_s
        self._time_ms = 0
        self._at_s = 0.0
        self._live = False

    def note(self, time_ms: int, *, live: bool) -> None:
        """Note a record of `time_ms` that was just read; `live` means that it was written after reading began."""
        self._time_ms, self._at_s, self._live = time_ms, self._passed_s(), live

    def now_ms(self) -> int:
        """The partition's time in Unix ms."""
        time_ms = self._time_ms + int((self._passed_s() - self._at_s) * 1000)
        return time_ms if self._live else max(time_ms, int(self._clock_s() * 1000))
