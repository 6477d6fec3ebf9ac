"""One process of a crowd: `python -m loadtests.crowd.worker`, started by `loadtests.crowd.crowd`.

In comes its `ViewerRange`, later a `CrowdFinish`; out go `CrowdProgress` and at last a `ViewersReport`.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Final

import msgspec
from msgspec import Struct

from liveroom.auth.tokens import make_token
from liveroom.config.schema import AuthConfig
from liveroom.messages.fields import Role
from loadtests.crowd.frame_audit import AuditResult, FrameAudit
from loadtests.crowd.viewer import Viewer
from loadtests.lib.latency import LatencySeries, second_of
from loadtests.lib.lean_client import Address
from loadtests.lib.room_connection import join_with_retries
from loadtests.lib.worker_process import orders, run, say, words_of

__all__ = ["CrowdFinish", "CrowdProgress", "ViewerRange", "ViewersReport"]

#: Handshakes of one process that are under way at once.
OPENING_MAX: Final = 64
PROGRESS_S: Final = 0.25
SETTLE_POLL_S: Final = 0.05
#: Kernel receive buffer of a viewer who never reads: small, so that the server feels it soon.
STALLED_RECEIVE_BYTES: Final = 4_096


class ViewerRange(Struct):
    """The part of one process: viewers of ordinals [first, first + viewers). The last `stalled` of them never read."""

    gateway_url: str
    room: str
    auth: AuthConfig
    first: int
    viewers: int
    stalled: int
    sources: list[str]
    deflate: bool


class CrowdFinish(Struct):
    """Wait until all readers are at `seq`, for `settle_s` at most, then audit."""

    seq: int
    accepted: list[int]
    undecided: list[int]
    settle_s: float


class CrowdProgress(Struct, tag="progress"):
    """How far it is."""

    joined: int
    delivered: int
    failed: str = ""


class ViewersReport(Struct, tag="report"):
    """The audit and the measurements."""

    audit: AuditResult
    latency: dict[str, dict[str, object]]
    frames: int
    gaps: int
    disorders: int
    rewritten: int
    skipped: int
    disconnected: int
    cpu_s: float


class _Stalling(Viewer):
    """A viewer who never reads again after it has joined."""

    def on_join(self) -> None:
        """Stop reading."""
        super().on_join()
        if self.transport is not None:
            self.transport.pause_reading()


class CrowdWorker:
    """The viewers of this process."""

    def __init__(self, part: ViewerRange) -> None:
        self._part = part
        self._address = Address.of(part.gateway_url)
        self._frame_audit = FrameAudit(phase_of=second_of)
        self._opening = asyncio.Semaphore(OPENING_MAX)
        self.viewers: list[Viewer] = []

    async def open_all(self) -> None:
        """Let everybody in. Raises what the first one met that could not get in."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._part.viewers):
                tasks.create_task(self._open(number))

    async def _open(self, number: int) -> None:
        part = self._part
        ordinal = part.first + number
        stalled = number >= part.viewers - part.stalled
        token = make_token(part.auth.secret, part.auth, user=f"viewer-{ordinal}", room=part.room, role=Role.viewer, lifetime_s=86_400)
        source = part.sources[ordinal % len(part.sources)] if part.sources else ""
        kind = _Stalling if stalled else Viewer
        async with self._opening:
            viewer = await join_with_retries(
                lambda: kind(self._address, f"/v1/rooms/{part.room}", token, self._frame_audit, deflate=part.deflate),
                self._address,
                source=source,
                receive_bytes=STALLED_RECEIVE_BYTES if stalled else 0,
            )
        self.viewers.append(viewer)

    def progress(self) -> CrowdProgress:
        """How far it is."""
        self._frame_audit.harvest(self._part.viewers - self._part.stalled)
        return CrowdProgress(joined=len(self.viewers), delivered=self._frame_audit.delivered)

    async def finish(self, finish: CrowdFinish) -> ViewersReport:
        """Wait for the slowest reader, then audit."""
        readers = [viewer for viewer in self.viewers if not isinstance(viewer, _Stalling)]
        for _ in range(int(finish.settle_s / SETTLE_POLL_S)):
            if not any(v.at and v.at.to < finish.seq and not v.end for v in readers):
                break
            await asyncio.sleep(SETTLE_POLL_S)
        self.progress()
        places = [viewer.at for viewer in readers if viewer.at is not None]
        return ViewersReport(
            audit=self._frame_audit.audit(places, set(finish.accepted), set(finish.undecided)),
            latency=LatencySeries(self._frame_audit.latencies).to_plain(),
            frames=self._frame_audit.frames,
            gaps=self._frame_audit.gaps,
            disorders=self._frame_audit.disorders,
            rewritten=self._frame_audit.rewritten,
            skipped=sum(viewer.skipped for viewer in readers),
            disconnected=sum(bool(viewer.end) for viewer in readers),
            cpu_s=time.process_time(),
        )


async def _run() -> None:
    loop = asyncio.get_running_loop()
    reader = await orders()
    worker = CrowdWorker(msgspec.json.decode(await reader.readline(), type=ViewerRange))

    async def tell() -> None:
        while True:
            say(worker.progress())
            await asyncio.sleep(PROGRESS_S)

    telling = loop.create_task(tell())
    opening = loop.create_task(worker.open_all())
    command = loop.create_task(reader.readline())
    await asyncio.wait([opening, command], return_when=asyncio.FIRST_COMPLETED)
    if opening.done() and (error := opening.exception()):
        say(CrowdProgress(joined=len(worker.viewers), delivered=0, failed=words_of(error)))
    else:
        gc.freeze()  # the viewers are there to stay: nothing to collect among them
    line = await command
    telling.cancel()
    if line:
        say(await worker.finish(msgspec.json.decode(line, type=CrowdFinish)))
    for viewer in worker.viewers:
        viewer.close()
    await asyncio.sleep(0)


if __name__ == "__main__":
    run(_run())
