"""A crowd of viewers in several processes, as the process that runs the test sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct

from loadtests.crowd.frame_audit import AuditResult
from loadtests.crowd.worker import CrowdFinish, CrowdProgress, ViewerRange, ViewersReport
from loadtests.lib.latency import LatencySeries
from loadtests.lib.target import Target, TargetError
from loadtests.lib.worker_pool import Workers, share_of, workers_of

__all__ = ["Crowd", "CrowdReport", "crowd_of", "sources_for"]

#: Connections from one source address: below a kernel's usual range of free ports and the gateway's limit per address.
CONNECTIONS_PER_SOURCE: Final = 10_000
#: Time to report, beside that in which the slowest reader may get the last frame.
REPORT_S: Final = 10.0


class CrowdReport(Struct):
    """The reports of all processes together."""

    audit: AuditResult
    latency: LatencySeries
    frames: int = 0
    gaps: int = 0
    disorders: int = 0
    rewritten: int = 0
    skipped: int = 0
    disconnected: int = 0
    cpu_s: float = 0


class Crowd:
    """Its processes; made by `crowd_of`."""

    def __init__(self, workers: Workers[CrowdProgress, ViewersReport]) -> None:
        self._workers = workers

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        return self._workers.pids

    @property
    def joined(self) -> int:
        """Viewers who are in."""
        return sum(progress.joined for progress in self._workers.progress)

    @property
    def delivered(self) -> int:
        """Announcements that arrived, counted once for each viewer."""
        return sum(progress.delivered for progress in self._workers.progress)

    async def until_joined(self, viewers: int, on_progress: Callable[[int], None]) -> None:
        """Wait until everybody is in. Raises `TargetError` when somebody cannot get in."""
        while self.joined < viewers:
            if words := next((p.failed for p in self._workers.progress if p.failed), ""):
                raise TargetError(f"{self.joined} of {viewers} viewers got in, then: {words}")
            self._workers.check()
            on_progress(self.joined)
            await asyncio.sleep(0.1)
        on_progress(self.joined)

    async def finish(self, finish: CrowdFinish) -> CrowdReport:
        """Have everybody audited. Raises `TargetError` when a process is lost."""
        await self._workers.tell(finish)
        total = CrowdReport(AuditResult(), LatencySeries())
        for report in await self._workers.reports(finish.settle_s + REPORT_S):
            total.audit.add(report.audit)
            total.latency.merge(LatencySeries.from_plain(report.latency))
            for name in ("frames", "gaps", "disorders", "rewritten", "skipped", "disconnected", "cpu_s"):
                setattr(total, name, getattr(total, name) + getattr(report, name))
        return total


@asynccontextmanager
async def crowd_of(target: Target, room: str, *, viewers: int, stalled: int, processes: int, deflate: bool) -> AsyncIterator[Crowd]:
    """Start `viewers` viewers, `stalled` of whom never read, in so many processes; they are ended on the way out."""
    parts: list[ViewerRange] = []
    for number in range(processes):
        part = ViewerRange(
            gateway_url=target.gateway_url,
            room=room,
            auth=target.auth,
            first=sum(before.viewers for before in parts),
            viewers=share_of(viewers, processes, number),
            stalled=share_of(stalled, processes, number),
            sources=sources_for(viewers, target.gateway_url),
            deflate=deflate,
        )
        parts.append(part)
    async with workers_of("loadtests.crowd.worker", parts, CrowdProgress(0, 0), ViewersReport) as workers:
        yield Crowd(workers)


def sources_for(connections: int, gateway_url: str) -> list[str]:
    """Local addresses to come from, when one has not enough ports: only for a gateway on this machine."""
    if connections <= CONNECTIONS_PER_SOURCE * 2 or not gateway_url.startswith("ws://127."):
        return []
    return [f"127.0.{1 + number // 250}.{1 + number % 250}" for number in range(-(-connections // CONNECTIONS_PER_SOURCE))]
