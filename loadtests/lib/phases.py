"""Quiet and hostile phases that take turns within one run, by a clock that all processes of this machine share."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["NO_PHASE", "Phases"]

#: Before the first phase and after the last one.
NO_PHASE = -1


class Phases(Struct, frozen=True):
    """Phase 0 warms up and is hostile; then quiet (odd) and hostile (even) phases take turns. Times are ns of the monotonic clock."""

    start_ns: int
    phase_ns: int
    pairs: int

    @property
    def count(self) -> int:
        """Phases altogether."""
        return 1 + 2 * self.pairs

    @property
    def end_ns(self) -> int:
        """When the last one is over."""
        return self.start_ns + self.count * self.phase_ns

    def number(self, ns: int) -> int:
        """The phase that a time belongs to, or `NO_PHASE`."""
        number = (ns - self.start_ns) // self.phase_ns
        return number if 0 <= number < self.count else NO_PHASE

    def hostile(self, number: int) -> bool:
        """Whether attackers are at work in this phase."""
        return number >= 0 and number % 2 == 0

    def begin_ns(self, number: int) -> int:
        """When a phase begins."""
        return self.start_ns + number * self.phase_ns
