"""A crowd of viewers in several processes, as the process that runs the test sees it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct

from loadtests.crowd.frame_audit import AuditResult
from loadtests.crowd.orders import CrowdFinish, CrowdOrder, CrowdProgress, ViewerRange, ViewersReport
from loadtests.lib.latency import LatencySeries
from loadtests.lib.target import Target, TargetError
from loadtests.lib.worker_pool import Workers, share_of, workers_of

__all__ = ["Crowd", "CrowdPlan", "CrowdReport", "crowd_of", "sources_for"]

#: Connections from one source address: below a kernel's usual range of free ports and the gateway's limit per address.
CONNECTIONS_PER_SOURCE: Final = 10_000
#: Time to report, beside that in which the slowest reader may get the last frame.
REPORT_S: Final = 10.0
POLL_S: Final = 0.1
NEVER_S: Final = 86_400.0
#: Numbers of a report that add up.
NUMBERS: Final = (
    *("frames", "gaps", "disorders", "rewritten", "skipped", "disconnected", "cpu_s"),
    *("slow_skipped", "slow_behind", "slow_disconnected"),
)


class CrowdPlan(Struct, frozen=True):
    """The crowd to start, in so many processes; see `ViewerRange`. `connections`: those of the whole run, if viewers come back.

    `first` is the ordinal of the first one, for a second crowd in the same room.
    """

    viewers: int
    processes: int
    stalled: int = 0
    slow: int = 0
    talkers: int = 0
    connections: int = 0
    first: int = 0
    deflate: bool = False
    audits_chat: bool = False


class CrowdReport(Struct):
    """The reports of all processes together."""

    audit: AuditResult
    latency: LatencySeries
    back: LatencySeries
    slow_audit: AuditResult
    answer_latency: LatencySeries
    back_kinds: Counter[str]
    answers: Counter[str]
    opening_ns: int = 2**63
    opened_ns: int = 0
    frames: int = 0
    gaps: int = 0
    disorders: int = 0
    rewritten: int = 0
    skipped: int = 0
    disconnected: int = 0
    slow_skipped: int = 0
    slow_behind: int = 0
    slow_disconnected: int = 0
    cpu_s: float = 0

    @property
    def opening_s(self) -> float:
        """Time from the first viewer's setting out until the last one was in."""
        return (self.opened_ns - self.opening_ns) / 1e9

    @property
    def audit_fields(self) -> dict[str, int]:
        """The findings of the audit, as reports have them."""
        audit = self.audit
        return {
            "delivered": audit.delivered,
            "expected": audit.expected,
            "lost": audit.lost,
            "doubled": audit.doubled,
            "out_of_order": audit.out_of_order + self.disorders,
            "unexpected": audit.unexpected,
            "rewritten": self.rewritten,
            "gaps": self.gaps,
            "skipped": self.skipped,
            "disconnected": self.disconnected,
        }

    def add(self, report: ViewersReport) -> None:
        """Add the report of one process."""
        self.audit.add(report.audit)
        self.slow_audit.add(report.slow_audit)
        self.opening_ns = min(self.opening_ns, report.opening_ns)
        self.opened_ns = max(self.opened_ns, report.opened_ns)
        self.back_kinds.update(report.back_kinds)
        self.answers.update(report.answers)
        for name in ("latency", "back", "answer_latency"):
            getattr(self, name).merge(LatencySeries.from_plain(getattr(report, name)))
        for name in NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(report, name))


class Crowd:
    """Its processes; made by `crowd_of`."""

    def __init__(self, workers: Workers[CrowdProgress, ViewersReport]) -> None:
        self._workers = workers

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        return self._workers.pids

    def sum(self, name: str) -> int:
        """A number of `CrowdProgress`, summed over the processes as far as they told."""
        return sum(getattr(progress, name) for progress in self._workers.progress)

    def check(self) -> None:
        """Raises `TargetError` when somebody cannot get in, or a process is lost."""
        if words := next((p.failed for p in self._workers.progress if p.failed), ""):
            raise TargetError(f"{self.sum('joined')} viewers got in, then: {words}")
        self._workers.check()

    async def until(self, name: str, wanted: int, on_progress: Callable[[int], None], within_s: float = NEVER_S) -> bool:
        """Wait until a number of `CrowdProgress` is as wanted; whether it was in time. Raises `TargetError`."""
        deadline_s = time.monotonic() + within_s
        while (now := self.sum(name)) < wanted and time.monotonic() < deadline_s:
            self.check()
            on_progress(now)
            await self._workers.news(POLL_S)
        on_progress(self.sum(name))
        return self.sum(name) >= wanted

    async def tell(self, order: CrowdOrder) -> None:
        """Give all processes an order."""
        await self._workers.tell(order)

    async def finish(self, finish: CrowdFinish) -> CrowdReport:
        """Have everybody audited. Raises `TargetError` when a process is lost."""
        await self._workers.tell(finish)
        total = CrowdReport(AuditResult(), LatencySeries(), LatencySeries(), AuditResult(), LatencySeries(), Counter(), Counter())
        for report in await self._workers.reports(finish.settle_s + REPORT_S):
            total.add(report)
        return total


@asynccontextmanager
async def crowd_of(target: Target, rooms: list[str], plan: CrowdPlan) -> AsyncIterator[Crowd]:
    """Start a crowd that shares `rooms` evenly; its processes are ended on the way out."""
    parts: list[ViewerRange] = []
    for number in range(plan.processes):
        part = ViewerRange(
            gateway_url=target.gateway_url,
            rooms=rooms,
            auth=target.auth,
            first=plan.first + sum(before.viewers for before in parts),
            viewers=share_of(plan.viewers, plan.processes, number),
            sources=sources_for(plan.connections or plan.viewers, target.gateway_url),
            stalled=share_of(plan.stalled, plan.processes, number),
            slow=share_of(plan.slow, plan.processes, number),
            talkers=plan.talkers,
            deflate=plan.deflate,
            audits_chat=plan.audits_chat,
        )
        parts.append(part)
    async with workers_of("loadtests.crowd.worker", parts, CrowdProgress(), ViewersReport) as workers:
        yield Crowd(workers)


def sources_for(connections: int, gateway_url: str) -> list[str]:
    """Local addresses to come from, when one has not enough ports: only for a gateway on this machine."""
    if connections <= CONNECTIONS_PER_SOURCE * 2 or not gateway_url.startswith("ws://127."):
        return []
    return [f"127.0.{1 + number // 250}.{1 + number % 250}" for number in range(-(-connections // CONNECTIONS_PER_SOURCE))]
