"""A crowd of viewers in several processes, as the process that runs the test sees it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from msgspec import Struct

from loadtests.crowd_worker import LINE_BYTES_MAX, Finish, Part, Progress, Report
from loadtests.latency import Latency
from loadtests.target import Target, TargetError
from loadtests.trail import Audit

__all__ = ["Crowd", "CrowdReport", "crowd_of", "sources_for"]

#: Viewers from one source address: below a kernel's usual range of free ports and the gateway's limit per address.
VIEWERS_PER_SOURCE: Final = 10_000
STOP_S: Final = 10.0

_message: msgspec.json.Decoder[Progress | Report] = msgspec.json.Decoder(Progress | Report)


class CrowdReport(Struct):
    """The reports of all processes together."""

    audit: Audit
    latency: Latency
    frames: int = 0
    gaps: int = 0
    disorders: int = 0
    skipped: int = 0
    disconnected: int = 0
    cpu_s: float = 0


class Crowd:
    """Its processes; made by `crowd_of`."""

    def __init__(self, processes: list[asyncio.subprocess.Process]) -> None:
        self._processes = processes
        self._progress = [Progress(0, 0) for _ in processes]
        self._reports: list[Report | None] = [None] * len(processes)
        self._readers = [asyncio.create_task(self._read(i)) for i in range(len(processes))]

    @property
    def joined(self) -> int:
        """Viewers who are in."""
        return sum(progress.joined for progress in self._progress)

    @property
    def delivered(self) -> int:
        """Announcements that arrived, counted once for each viewer."""
        return sum(progress.delivered for progress in self._progress)

    async def until_joined(self, viewers: int, on_progress: Callable[[int], None]) -> None:
        """Wait until everybody is in. Raises `TargetError` when somebody cannot get in."""
        while self.joined < viewers:
            if words := next((p.failed for p in self._progress if p.failed), ""):
                raise TargetError(f"{self.joined} of {viewers} viewers got in, then: {words}")
            if any(reader.done() for reader in self._readers):
                raise TargetError("a process of the load generator ended early; see its words above")
            on_progress(self.joined)
            await asyncio.sleep(0.1)
        on_progress(self.joined)

    async def finish(self, finish: Finish) -> CrowdReport:
        """Have everybody audited. Raises `TargetError` when a process is lost."""
        line = msgspec.json.encode(finish) + b"\n"
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(line)
            await process.stdin.drain()
        await asyncio.wait(self._readers, timeout=finish.settle_s + STOP_S)
        total = CrowdReport(Audit(), Latency())
        for report in self._reports:
            if report is None:
                raise TargetError("a process of the load generator ended without its report")
            total.audit.add(report.audit)
            total.latency.merge(Latency.from_plain(report.latency))
            for name in ("frames", "gaps", "disorders", "skipped", "disconnected", "cpu_s"):
                setattr(total, name, getattr(total, name) + getattr(report, name))
        return total

    async def stop(self) -> None:
        """End all processes."""
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        waiting = [asyncio.create_task(process.wait()) for process in self._processes]
        try:
            await asyncio.wait(waiting, timeout=STOP_S)
        finally:
            for process in self._processes:
                if process.returncode is None:
                    process.kill()
            for task in (*waiting, *self._readers):
                task.cancel()
            await asyncio.gather(*waiting, *self._readers, return_exceptions=True)

    async def _read(self, number: int) -> None:
        stdout = self._processes[number].stdout
        assert stdout is not None
        while line := await stdout.readline():
            message = _message.decode(line)
            if isinstance(message, Report):
                self._reports[number] = message
                return
            self._progress[number] = message


@asynccontextmanager
async def crowd_of(target: Target, room: str, *, viewers: int, stalled: int, processes: int, deflate: bool) -> AsyncIterator[Crowd]:
    """Start `viewers` viewers, `stalled` of whom never read, in so many processes; they are ended on the way out."""
    started: list[asyncio.subprocess.Process] = []
    crowd: Crowd | None = None
    try:
        first = 0
        for number in range(processes):
            part = Part(
                gateway_url=target.gateway_url,
                room=room,
                auth=target.auth,
                first=first,
                viewers=_share(viewers, processes, number),
                stalled=_share(stalled, processes, number),
                sources=sources_for(viewers, target.gateway_url),
                deflate=deflate,
            )
            first += part.viewers
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "loadtests.crowd_worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LINE_BYTES_MAX,
                start_new_session=True,  # Ctrl-C is for us; their input ends when we do
            )
            started.append(process)
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(part) + b"\n")
            await process.stdin.drain()
        crowd = Crowd(started)
        yield crowd
    finally:
        await (crowd or Crowd(started)).stop()


def _share(total: int, processes: int, number: int) -> int:
    return total // processes + (number < total % processes)


def sources_for(viewers: int, gateway_url: str) -> list[str]:
    """Local addresses to come from, when one has not enough ports: only for a gateway on this machine."""
    if viewers <= VIEWERS_PER_SOURCE * 2 or not gateway_url.startswith("ws://127."):
        return []
    return [f"127.0.{1 + number // 250}.{1 + number % 250}" for number in range(-(-viewers // VIEWERS_PER_SOURCE))]
