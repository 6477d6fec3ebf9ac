"""Records a run for its report: CPU time, memory and open files of processes, the test's own counts, its stages and its latencies."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from types import TracebackType
from typing import Final, NamedTuple

from loadtests.lib.latency import Latency, LatencySeries
from loadtests.lib.meters import ProcessReading, read_process
from loadtests.lib.progress import Bar

__all__ = ["ChartMark", "Point", "ProcessSeries", "Recorder"]

#: Time between two samples at the beginning; it doubles whenever there are `SAMPLES_MAX`, and every second sample is forgotten.
SAMPLE_S: Final = 0.5
SAMPLES_MAX: Final = 4_096
#: Points of a line in a chart.
POINTS_MAX: Final = 240


class Point(NamedTuple):
    """A value at a time, in s since the beginning of the run."""

    at_s: float
    value: float


class ChartMark(NamedTuple):
    """A moment of the run, in s since its beginning: a stage begins, a server is killed."""

    at_s: float
    words: str


class ProcessSeries(NamedTuple):
    """Processes over time: their part of a core in percent, their memory in MiB, their open files."""

    cpu_percent: list[Point]
    rss_mib: list[Point]
    files: list[Point]


class Sample(NamedTuple):
    """One look at everything; readings by process id, because a process that is started again counts from 0."""

    at_s: float
    processes: dict[str, dict[int, ProcessReading]]
    counts: dict[str, float]
    levels: dict[str, float]


class Recorder(Bar):
    """A bar whose run is recorded by a thread, from entry to exit."""

    def __init__(self) -> None:
        super().__init__()
        self.latencies: defaultdict[str, LatencySeries] = defaultdict(LatencySeries)
        self.marks: list[ChartMark] = []
        self.samples: list[Sample] = []
        self._began_ns = time.monotonic_ns()
        self._sample_s = SAMPLE_S
        self._processes: dict[str, Callable[[], Iterable[int | None]]] = {}
        self._counts: dict[str, Callable[[], float]] = {}
        self._levels: dict[str, Callable[[], float]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._record, name="recorder", daemon=True)

    def __enter__(self) -> Recorder:
        super().__enter__()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        super().__exit__(kind, error, trace)

    # Things to record

    def watch(self, name: str, pids: Callable[[], Iterable[int | None]]) -> None:
        """Record the processes that `pids` gives at each moment, added up. `None` is a process that cannot be seen from here."""
        self._processes[name] = pids

    def count(self, name: str, read: Callable[[], float]) -> None:
        """Record a number that only grows; charts show its growth a second."""
        self._counts[name] = read

    def level(self, name: str, read: Callable[[], float]) -> None:
        """Record a number as it is."""
        self._levels[name] = read

    def mark(self, words: str) -> None:
        """Something happens now that explains the charts."""
        self.marks.append(ChartMark(self._now_s(), words))

    def stage(self, name: str, total: float) -> None:
        """A new part begins; it is also a mark."""
        super().stage(name, total)
        self.mark(name)

    # The record

    @property
    def seconds(self) -> float:
        """Length of the record."""
        return self.samples[-1].at_s if self.samples else 0.0

    def processes(self) -> dict[str, ProcessSeries]:
        """The recorded processes that could be read."""
        found: dict[str, ProcessSeries] = defaultdict(lambda: ProcessSeries([], [], []))
        for before, after in pairwise(self._thinned()):
            for name, readings in after.processes.items():
                # A process counts from its second reading: the first one holds all its time since its start.
                known = readings.keys() & before.processes.get(name, {}).keys()
                if not known:
                    continue
                series = found[name]
                used_s = sum(readings[pid].cpu_s - before.processes[name][pid].cpu_s for pid in known)
                series.cpu_percent.append(Point(after.at_s, 100 * used_s / (after.at_s - before.at_s)))
                series.rss_mib.append(Point(after.at_s, sum(one.rss_bytes for one in readings.values()) / 2**20))
                series.files.append(Point(after.at_s, sum(one.files for one in readings.values())))
        return dict(found)

    def rates(self) -> dict[str, list[Point]]:
        """Every recorded count as its growth a second."""
        found: dict[str, list[Point]] = defaultdict(list)
        for before, after in pairwise(self._thinned()):
            for name, value in after.counts.items():
                grown = value - before.counts.get(name, 0)
                found[name].append(Point(after.at_s, max(0.0, grown) / (after.at_s - before.at_s)))
        return dict(found)

    def levels(self) -> dict[str, list[Point]]:
        """Every recorded level."""
        found: dict[str, list[Point]] = defaultdict(list)
        for sample in self._thinned():
            for name, value in sample.levels.items():
                found[name].append(Point(sample.at_s, value))
        return dict(found)

    def percentiles(self, name: str, percents: tuple[float, ...]) -> dict[float, list[Point]]:
        """Percentiles of a kind of latency over time, in ms."""
        by_second = self.latencies[name].by_second
        if not by_second:
            return {}
        width_s = max(1, -(-(max(by_second) - min(by_second)) // POINTS_MAX))
        merged: dict[int, Latency] = defaultdict(Latency)
        for second, latency in by_second.items():
            merged[second // width_s].merge(latency)
        lines: dict[float, list[Point]] = {percent: [] for percent in percents}
        for bucket, latency in sorted(merged.items()):
            at_s = max(0.0, (bucket + 0.5) * width_s - self._began_ns / 1e9)
            for percent, line in lines.items():
                if (value := latency.percentile_ms(percent)) is not None:
                    line.append(Point(at_s, value))
        return lines

    def _thinned(self) -> Iterator[Sample]:
        """At most `POINTS_MAX` samples, evenly; the last one is among them."""
        step = max(1, -(-len(self.samples) // POINTS_MAX))
        return iter(self.samples[(len(self.samples) - 1) % step :: step])

    # The thread

    def _now_s(self) -> float:
        return (time.monotonic_ns() - self._began_ns) / 1e9

    def _record(self) -> None:
        self._sample()
        while not self._over.wait(self._sample_s):
            self._sample()
        if len(self.samples) > 1 and self._now_s() - self.samples[-1].at_s < self._sample_s / 2:
            self.samples.pop()  # a rate over so short a time would only be noise
        self._sample()

    def _sample(self) -> None:
        readings: dict[str, dict[int, ProcessReading]] = {}
        for name, pids in list(self._processes.items()):
            readings[name] = {pid: reading for pid in pids() if pid is not None and (reading := read_process(pid)) is not None}
        counts = {name: read() for name, read in list(self._counts.items())}
        levels = {name: read() for name, read in list(self._levels.items())}
        self.samples.append(Sample(self._now_s(), readings, counts, levels))
        if len(self.samples) >= SAMPLES_MAX:
            del self.samples[1::2]
            self._sample_s *= 2
