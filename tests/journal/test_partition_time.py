"""A partition's time as its readers know it."""

from __future__ import annotations

from liveroom.journal.partition_time import PartitionTime


class Clocks:
    """A reader's own clock, and the time that passes for it."""

    def __init__(self) -> None:
        self.passed_s, self.clock_s = 100.0, 1_000.0

    def time(self) -> PartitionTime:
        return PartitionTime(lambda: self.passed_s, lambda: self.clock_s)

    def passes(self, seconds: float) -> None:
        self.passed_s += seconds
        self.clock_s += seconds


def test_after_news_time_goes_on_from_the_record_whatever_the_readers_clock_says() -> None:
    """The partition's time may be behind or ahead of the reader's own, and the reader's may be set meanwhile."""
    for record_ms in (5_000, 9_000_000):
        clocks = Clocks()
        time = clocks.time()
        time.note(record_ms, live=True)
        clocks.passes(2.5)
        clocks.clock_s += 7_777
        assert time.now_ms() == record_ms + 2_500


def test_what_is_read_of_the_past_counts_only_when_it_is_ahead() -> None:
    """A log with a last record hours ago does not give the present time; a log ahead of the reader's clock does."""
    clocks = Clocks()
    time = clocks.time()
    assert time.now_ms() == 1_000_000
    time.note(400_000, live=False)
    clocks.passes(1)
    assert time.now_ms() == 1_001_000
    time.note(5_000_000, live=False)
    clocks.passes(1)
    assert time.now_ms() == 5_001_000
