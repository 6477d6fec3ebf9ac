"""Latencies as counts in buckets: any number of them in little memory, and those of several processes add up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

__all__ = ["Latency", "LatencySeries", "second_of"]

#: Each power of two is cut into so many buckets: a value is off by less than 1.6 %.
_PARTS = 64


class Latency:
    """A histogram of times in microseconds."""

    def __init__(self, counts: dict[int, int] | None = None, max_us: int = 0) -> None:
        self._counts: Counter[int] = Counter(counts or {})
        self._max_us = max_us

    def add(self, us: int, count: int = 1) -> None:
        """Count a time `count` times; below 0 counts as 0."""
        us = max(0, us)
        self._max_us = max(self._max_us, us)
        shift = max(0, us.bit_length() - _PARTS.bit_length())
        self._counts[(shift << 8) | (us >> shift)] += count

    def merge(self, other: Latency) -> None:
        """Add the counts of another one."""
        self._counts.update(other._counts)
        self._max_us = max(self._max_us, other._max_us)

    @property
    def count(self) -> int:
        """How many times were counted."""
        return self._counts.total()

    def percentile_ms(self, percent: float) -> float | None:
        """The time that `percent` of all did not exceed; `None` when there are none."""
        left = self.count * percent / 100
        for bucket in sorted(self._counts, key=_low_us):
            left -= self._counts[bucket]
            if left <= 0:
                return round(min(_high_us(bucket), self._max_us) / 1000, 2)
        return None

    def summary(self) -> dict[str, float | None]:
        """p50, p99 and the largest, in ms."""
        return {"p50": self.percentile_ms(50), "p99": self.percentile_ms(99), "max": round(self._max_us / 1000, 2) if self.count else None}

    def to_plain(self) -> dict[str, object]:
        """The histogram as plain JSON data."""
        return {"counts": {str(bucket): count for bucket, count in self._counts.items()}, "max_us": self._max_us}

    @classmethod
    def from_plain(cls, plain: dict[str, object]) -> Latency:
        """The histogram from the output of `to_plain`."""
        counts, max_us = plain["counts"], plain["max_us"]
        assert isinstance(counts, dict)
        assert isinstance(max_us, int)
        return cls({int(bucket): count for bucket, count in counts.items()}, max_us)


def second_of(ns: int) -> int:
    """The second of the monotonic clock that a time in ns belongs to, as all processes of this machine see it."""
    return ns // 1_000_000_000


class LatencySeries:
    """Latencies by the second in which they began; see `second_of`."""

    def __init__(self, by_second: Mapping[int, Latency] | None = None) -> None:
        self.by_second: defaultdict[int, Latency] = defaultdict(Latency, by_second or {})

    def add(self, began_ns: int, us: int) -> None:
        """Count a time that began then."""
        self.by_second[second_of(began_ns)].add(us)

    def merge(self, other: LatencySeries) -> None:
        """Add the counts of another one."""
        for second, latency in other.by_second.items():
            self.by_second[second].merge(latency)

    def total(self, seconds: Iterable[int] | None = None) -> Latency:
        """The latencies of these seconds together, or of all."""
        total = Latency()
        for second in list(self.by_second) if seconds is None else seconds:
            if second in self.by_second:
                total.merge(self.by_second[second])
        return total

    def to_plain(self) -> dict[str, dict[str, object]]:
        """The series as plain JSON data."""
        return {str(second): latency.to_plain() for second, latency in self.by_second.items()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, dict[str, object]]) -> LatencySeries:
        """The series from the output of `to_plain`."""
        return cls({int(second): Latency.from_plain(latency) for second, latency in plain.items()})


def _low_us(bucket: int) -> int:
    return (bucket & 0xFF) << (bucket >> 8)


def _high_us(bucket: int) -> int:
    return ((bucket & 0xFF) + 1 << (bucket >> 8)) - 1
