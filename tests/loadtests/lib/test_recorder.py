"""The record of a run: rates, processes that come and go, latencies, and a length that is bounded."""

from __future__ import annotations

import os
from itertools import count

import pytest

from loadtests.lib import recorder as recording
from loadtests.lib.latency import LatencySeries
from loadtests.lib.meters import ProcessReading, read_process
from loadtests.lib.recorder import POINTS_MAX, SAMPLES_MAX, Point, Recorder, Sample


def test_counts_become_rates_and_levels_stay() -> None:
    """A count is shown as its growth a second, a level as it is; a count that begins again has no negative rate."""
    recorder = Recorder()
    recorder.samples += [Sample(at_s, {}, {"sent": sent}, {"in": sent}) for at_s, sent in ((0, 0), (2, 10), (4, 30), (5, 5))]
    assert recorder.rates() == {"sent": [Point(2, 5), Point(4, 10), Point(5, 0)]}
    assert [point.value for point in recorder.levels()["in"]] == [0, 10, 30, 5]
    assert recorder.seconds == 5


def test_a_process_that_is_started_again_counts_from_its_second_reading() -> None:
    """CPU time is a difference between two readings of one process, never across a kill."""
    readings = [{1: 5.0}, {1: 5.5}, {}, {2: 9.0}, {2: 9.25, 3: 4.0}]
    recorder = Recorder()
    for at_s, by_pid in enumerate(readings):
        recorder.samples.append(Sample(at_s, {"server": {pid: ProcessReading(cpu_s, 2**20, 7) for pid, cpu_s in by_pid.items()}}, {}, {}))
    series = recorder.processes()["server"]
    assert series.cpu_percent == [Point(1, 50.0), Point(4, 25.0)]
    assert series.rss_mib == [Point(1, 1.0), Point(4, 2.0)]
    assert series.files == [Point(1, 7), Point(4, 14)]


def test_a_run_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the run lasts, this process is looked at, its counts are read, and stages are marked."""
    monkeypatch.setattr(recording, "SAMPLE_S", 0.001)
    numbers = count()
    with Recorder() as recorder:
        recorder.watch("this", lambda: [os.getpid(), None])
        recorder.count("looks", lambda: next(numbers))
        recorder.stage("busy", 1)
        while len(recorder.samples) < 20:
            pass
    assert [mark.words for mark in recorder.marks] == ["busy"]
    assert sum(point.value for point in recorder.rates()["looks"]) > 0
    assert recorder.processes()["this"].rss_mib[-1].value > 1
    before = len(recorder.samples)
    assert len(recorder.samples) == before, "the thread has ended"


def test_a_long_run_keeps_every_second_sample() -> None:
    """Memory is bounded: at the most samples, every second one is forgotten, and the next ones come half as often."""
    recorder = Recorder()
    recorder.samples += [Sample(at_s, {}, {"sent": at_s}, {}) for at_s in range(SAMPLES_MAX - 1)]
    recorder._sample()
    assert len(recorder.samples) == SAMPLES_MAX // 2
    rates = recorder.rates()["sent"][:-1]
    assert len(rates) <= POINTS_MAX
    assert {round(point.value, 6) for point in rates if point.at_s > 0} == {1.0}


def test_percentiles_over_time() -> None:
    """Each second has its own percentiles; a long run is shown in wider steps, and no latency is left out."""
    recorder = Recorder()
    second = recorder._began_ns // 1_000_000_000
    for number in range(1_000):
        recorder.latencies["answer"].add((second + number) * 1_000_000_000, number * 1_000)
    lines = recorder.percentiles("answer", (50.0, 99.0))
    assert len(lines[50.0]) <= POINTS_MAX + 1
    assert lines[99.0][-1].value == pytest.approx(999, rel=0.02)
    assert [point.value for point in lines[50.0]] == sorted(point.value for point in lines[50.0])
    assert recorder.percentiles("nothing", (50.0,)) == {}


def test_series_of_several_processes_add_up() -> None:
    """Plain data has all that a series has."""
    one, two = LatencySeries(), LatencySeries()
    one.add(5_000_000_000, 100)
    two.add(5_999_999_999, 300)
    two.add(6_000_000_000, 900)
    one.merge(LatencySeries.from_plain(two.to_plain()))
    assert {second: latency.count for second, latency in one.by_second.items()} == {5: 2, 6: 1}
    assert (one.total().count, one.total([6, 7]).summary()["max"]) == (3, 0.9)


def test_a_process_is_read() -> None:
    """This process has CPU time, memory and open files; one that is not there has nothing."""
    reading = read_process(os.getpid())
    assert reading is not None
    assert reading.cpu_s > 0
    assert reading.rss_bytes > 2**20
    with open(os.devnull), open(os.devnull):
        more = read_process(os.getpid())
        assert more is not None
        assert more.files == reading.files + 2
    assert read_process(None) is None
    assert read_process(2**22 + 1) is None
