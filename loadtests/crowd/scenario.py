"""The parts that all scenarios of a crowd share: the announcements, the server's cost, and the bounds that each of them keeps."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from loadtests.crowd.crowd import Crowd, CrowdReport
from loadtests.crowd.orders import CrowdFinish
from loadtests.crowd.pusher import Pusher
from loadtests.lib.bounds import Bound, at_most
from loadtests.lib.meters import ProcessMeter
from loadtests.lib.recorder import Recorder
from loadtests.lib.report_page import Figure
from loadtests.lib.target import Target

__all__ = ["SETTLE_S", "CrowdScenario", "Phase", "audit_bounds", "audited", "pushing", "record", "wait"]

SAMPLE_S: Final = 0.25
#: Time for the slowest reader to get the last event.
SETTLE_S: Final = 15.0
MIB: Final = 2**20


class CrowdScenario(NamedTuple):
    """A scenario as the command line runs it.

    `defaults` are those of the options that all scenarios have; `settings` are those of a server of our own.
    """

    words: str
    defaults: Mapping[str, int | float]
    add_options: Callable[[argparse.ArgumentParser], None]
    settings: Callable[[argparse.Namespace], list[str]]
    run: Callable[[Target, argparse.Namespace, Recorder], Awaitable[dict[str, Any]]]
    figures: Callable[[dict[str, Any]], list[Figure]]


class Phase:
    """The server in one part of a run: its time, its CPU time, its memory."""

    def __init__(self, target: Target) -> None:
        self._meter = ProcessMeter(target.pid)
        self.began_ns = time.monotonic_ns()
        self.ended_ns = 0
        self.cpu_s: float | None = None

    def sample(self) -> None:
        """Look at the memory."""
        self._meter.sample()

    def end(self) -> Phase:
        """The part is over."""
        self.cpu_s, self.ended_ns = self._meter.cpu_s(), time.monotonic_ns()
        self._meter.sample()
        return self

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.ended_ns - self.began_ns) / 1e9

    @property
    def clock_seconds(self) -> range:
        """The whole seconds of the monotonic clock within it, for a `LatencySeries`."""
        return range(-(-self.began_ns // 10**9), self.ended_ns // 10**9)

    @property
    def core_percent(self) -> float | None:
        """CPU time of the server in percent of a core."""
        return None if self.cpu_s is None else round(100 * self.cpu_s / self.seconds, 1)

    @property
    def growth_mib(self) -> float | None:
        """By how much the server's memory was higher than at the beginning, at most."""
        if self._meter.rss_bytes_max is None or self._meter.rss_bytes_start is None:
            return None
        return round((self._meter.rss_bytes_max - self._meter.rss_bytes_start) / MIB, 1)


def record(recorder: Recorder, target: Target, crowd: Crowd) -> None:
    """Record the server, the crowd, and what the crowd receives."""
    recorder.watch("server", lambda: [target.pid])
    recorder.watch("viewers", lambda: crowd.pids)
    recorder.count("Deliveries of audited events", lambda: crowd.sum("delivered"))
    recorder.count("Frames at all viewers", lambda: crowd.sum("deltas"))


async def wait(seconds: float, crowd: Crowd, recorder: Recorder, phase: Phase, words: Callable[[], str] = str) -> Phase:
    """Let `seconds` pass under a watched server; gives the phase, ended. Raises `TargetError` when the crowd broke."""
    began_s = time.monotonic()
    while (passed_s := time.monotonic() - began_s) < seconds:
        crowd.check()
        phase.sample()
        recorder.update(passed_s, f"s, {words()}".rstrip(", "))
        await asyncio.sleep(min(SAMPLE_S, max(0.0, seconds - passed_s)))
    return phase.end()


@asynccontextmanager
async def pushing(target: Target, room: str, rate: float, characters: int = 0) -> AsyncIterator[Pusher]:
    """Announcements at a steady rate until the way out."""
    pusher = await Pusher.open(target, room, rate, characters)
    task = asyncio.create_task(pusher.push(rate, 86_400.0))
    try:
        yield pusher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        pusher.close()


async def audited(crowd: Crowd, pusher: Pusher, recorder: Recorder, before: int = 0) -> CrowdReport:
    """The crowd's report, once nothing more is pushed. Announcements below `before` may have come or not: not everybody was in yet."""
    recorder.stage("audit", 1)
    early = [number for number in pusher.accepted if number < before]
    accepted = [number for number in pusher.accepted if number >= before]
    report = await crowd.finish(CrowdFinish(pusher.seq, accepted, sorted(pusher.undecided) + early, SETTLE_S))
    recorder.latencies["announcement"].merge(report.latency)
    return report


def audit_bounds(fields: Mapping[str, int], viewers: int, audited_viewers: int) -> list[Bound]:
    """Every reader has every audited event once and in order, and keeps its connection."""
    return [
        at_most("Readers that were not audited", viewers - audited_viewers, 0),
        at_most("Events lost", fields["lost"], 0),
        at_most("Events doubled, out of order, unexpected or rewritten", _sum(fields, "doubled", "out_of_order", "unexpected", "rewritten"), 0),
        at_most("Gaps and skips at readers", _sum(fields, "gaps", "skipped"), 0),
        at_most("Readers disconnected", fields["disconnected"], 0),
    ]


def _sum(fields: Mapping[str, int], *names: str) -> int:
    return sum(fields[name] for name in names)
