"""One process of a crowd: `python -m loadtests.crowd.worker`, started by `loadtests.crowd.crowd`.

In comes its `ViewerRange`, then any `CrowdOrder`, at last a `CrowdFinish`; out go `CrowdProgress` and at last a `ViewersReport`.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

from liveroom.auth.tokens import make_token
from liveroom.features.chat.messages import SendChat
from liveroom.messages.fields import Role
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Accepted, Refused
from liveroom.protocol.inbound import ClientMessage
from loadtests.crowd.frame_audit import AuditStep, FrameAudit, LatencyProbe, announced, probe_text, said
from loadtests.crowd.orders import CrowdFinish, CrowdOrder, CrowdProgress, Cut, ReadAgain, Stall, Talk, ViewerRange, ViewersReport
from loadtests.crowd.viewer import Viewer
from loadtests.lib.latency import LatencySeries, second_of
from loadtests.lib.lean_client import Address
from loadtests.lib.pace import paced
from loadtests.lib.room_connection import join_with_retries
from loadtests.lib.worker_process import orders, run, say, words_of

__all__ = ["CrowdWorker"]

#: Handshakes of one process that are under way at once: viewers do not wait for each other, and a listening socket holds a few thousand.
OPENING_MAX: Final = 256
PROGRESS_S: Final = 0.25
SETTLE_POLL_S: Final = 0.05
#: Kernel receive buffer of a viewer who does not read: small, so that the server feels it soon.
STALLED_RECEIVE_BYTES: Final = 4_096
#: Bytes that wait in a viewer who talks to a server that does not read; beyond it, lines are not sent.
WRITE_BYTES_MAX: Final = 65_536

_order: msgspec.json.Decoder[CrowdOrder] = msgspec.json.Decoder(CrowdOrder)
_reply: msgspec.json.Decoder[Accepted | Refused] = msgspec.json.Decoder(Accepted | Refused)


class _CrowdViewer(Viewer):
    """A viewer of a crowd: `ordinal` counts over all processes; `place` is its index in this one."""

    def __init__(self, worker: CrowdWorker, place: int, at: AuditStep | None, stream_id: str) -> None:
        ordinal = worker.part.first + place
        room = worker.room_of(ordinal)
        resume = f"?stream_id={stream_id}&seq={at.to}" if at is not None else ""
        audit = worker.slow_audit if worker.is_slow(place) else worker.audits[room]
        super().__init__(worker.address, f"/v1/rooms/{room}{resume}", worker.token(ordinal, room), audit, at=at, deflate=worker.part.deflate)
        self.place = place
        self._worker = worker

    def on_join(self) -> None:
        """A viewer who never reads stops now."""
        super().on_join()
        if self._worker.is_stalled(self.place) and self.transport is not None:
            self.transport.pause_reading()

    def on_other(self, type: str, text: bytes) -> None:
        """Replies belong to the lines that this viewer sent."""
        if type in ("accepted", "refused"):
            self._worker.on_reply(_reply.decode(text))

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be sent: the server does not read, or the connection is gone."""
        return bool(self.end) or self.transport is None or self.transport.get_write_buffer_size() > WRITE_BYTES_MAX

    def cut(self) -> None:
        """Break the connection with a reset, as a network does that is gone."""
        transport = self.transport
        if transport is not None and (sock := transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()


class CrowdWorker:
    """The viewers of this process."""

    def __init__(self, part: ViewerRange) -> None:
        self.part = part
        self.address = Address.of(part.gateway_url)
        observe = said if part.audits_chat else announced
        self.audits = {room: FrameAudit(observe, second_of) for room in part.rooms}
        self.slow_audit = FrameAudit(observe, second_of)  # apart, because slow viewers' times are not those of others
        self._opening = asyncio.Semaphore(OPENING_MAX)
        self._viewers: list[_CrowdViewer | None] = [None] * part.viewers
        self._tokens: dict[int, str] = {}
        self._opening_ns = self._opened_ns = 0
        self._joined = 0
        self._failed = ""
        self._coming: asyncio.Task[None] | None = None
        self._back = LatencySeries()
        self._back_kinds: Counter[str] = Counter()
        self._talking: asyncio.Task[None] | None = None
        self._talked = 0
        self._lines: Counter[int] = Counter()
        self._due_ns: dict[str, int] = {}
        self._answers: Counter[str] = Counter()
        self._answer_latency = LatencySeries()

    # Groups of viewers

    def room_of(self, ordinal: int) -> str:
        """The room of a viewer."""
        return self.part.rooms[ordinal % len(self.part.rooms)]

    def token(self, ordinal: int, room: str) -> str:
        """The viewer's token, made once."""
        auth = self.part.auth
        if ordinal not in self._tokens:
            self._tokens[ordinal] = make_token(auth.secret, auth, user=f"viewer-{ordinal}", room=room, role=Role.viewer, lifetime_s=86_400)
        return self._tokens[ordinal]

    def is_slow(self, place: int) -> bool:
        """Whether it stops reading, for good or by order."""
        return place >= self.part.viewers - self.part.stalled - self.part.slow

    def is_stalled(self, place: int) -> bool:
        """Whether it never reads."""
        return place >= self.part.viewers - self.part.stalled

    def _here(self, places: Iterable[int]) -> list[_CrowdViewer]:
        return [viewer for place in places if (viewer := self._viewers[place]) is not None]

    @property
    def _readers(self) -> list[_CrowdViewer]:
        return self._here(place for place in range(self.part.viewers) if not self.is_slow(place))

    @property
    def _slow(self) -> list[_CrowdViewer]:
        return self._here(range(self.part.viewers - self.part.stalled - self.part.slow, self.part.viewers - self.part.stalled))

    def fail(self, error: BaseException) -> None:
        """Somebody cannot get in."""
        self._failed = words_of(error)

    # Coming and going

    async def open_all(self) -> None:
        """Let everybody in. Raises what the first one met that could not get in."""
        self._opening_ns = time.monotonic_ns()
        async with asyncio.TaskGroup() as tasks:
            for place in range(self.part.viewers):
                tasks.create_task(self._join(place))
        self._opened_ns = time.monotonic_ns()

    async def _join(self, place: int) -> None:
        self._viewers[place] = await self._open(place, None, "")
        self._joined += 1

    async def _open(self, place: int, at: AuditStep | None, stream_id: str) -> _CrowdViewer:
        ordinal, sources = self.part.first + place, self.part.sources
        async with self._opening:
            return await join_with_retries(
                lambda: _CrowdViewer(self, place, at, stream_id),
                self.address,
                source=sources[ordinal % len(sources)] if sources else "",
                receive_bytes=STALLED_RECEIVE_BYTES if self.is_slow(place) else 0,
            )

    def cut(self) -> None:
        """Break all connections at once, and let their viewers come back to the places where they were."""
        lost = self._here(range(self.part.viewers))
        began_ns = time.monotonic_ns()
        for viewer in lost:
            viewer.cut()
            self._viewers[viewer.place] = None
        self._coming = asyncio.create_task(self._come_back(lost, began_ns))

    async def _come_back(self, lost: list[_CrowdViewer], began_ns: int) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for viewer in lost:
                    tasks.create_task(self._return(viewer, began_ns))
        except* Exception as error:
            self.fail(error)

    async def _return(self, lost: _CrowdViewer, began_ns: int) -> None:
        assert lost.at is not None, "it had joined"
        viewer = self._viewers[lost.place] = await self._open(lost.place, lost.at, lost.stream_id)
        self._back.add(began_ns, (time.monotonic_ns() - began_ns) // 1_000)
        self._back_kinds["resumed" if viewer.resumed else "keyframe"] += 1

    def stall(self) -> None:
        """The slow viewers stop reading."""
        for viewer in self._slow:
            if viewer.transport is not None:
                viewer.transport.pause_reading()

    def read_again(self) -> None:
        """The slow viewers go on."""
        for viewer in self._slow:
            if viewer.transport is not None and not viewer.end:
                viewer.transport.resume_reading()

    # Chat

    def talk(self, talk: Talk) -> None:
        """Send this process' part of the lines."""
        mine = min(max(0, self.part.talkers - self.part.first), self.part.viewers)
        if self._talking is not None:
            self._talking.cancel()
            self._talking = None
        if talk.rate and mine:
            self._talking = asyncio.create_task(self._talk(talk.rate * mine / self.part.talkers, mine, talk.lines * mine or None))

    async def _talk(self, rate: float, mine: int, count: int | None) -> None:
        async for _, due_ns in paced(rate, count):
            place = self._talked % mine
            id = f"t{self._talked}"
            line, self._lines[place] = self._lines[place], self._lines[place] + 1
            self._talked += 1
            viewer = self._viewers[place]
            if viewer is None or viewer.is_full:
                self._answers["not_sent"] += 1
                continue
            self._due_ns[id] = due_ns
            viewer.send_text(encode(ClientMessage(id, SendChat(probe_text(LatencyProbe(line, self.part.first + place, due_ns))))))

    def on_reply(self, reply: Accepted | Refused) -> None:
        """A line got its answer."""
        due_ns = self._due_ns.pop(reply.id, None)
        if due_ns is None:
            return
        self._answer_latency.add(due_ns, (time.monotonic_ns() - due_ns) // 1_000)
        if isinstance(reply, Accepted):
            self._answers["shown" if reply.result["shown"] else "over_budget"] += 1
        else:
            self._answers[reply.code] += 1

    # Progress and report

    def progress(self) -> CrowdProgress:
        """How far it is."""
        readers = self.part.viewers - self.part.stalled - self.part.slow
        per_room = -(-readers // len(self.part.rooms))
        for audit in self.audits.values():
            audit.harvest(per_room)
        self.slow_audit.harvest(self.part.slow)
        return CrowdProgress(
            joined=self._joined,
            delivered=sum(audit.delivered for audit in self.audits.values()),
            deltas=sum(audit.deltas for audit in self.audits.values()),
            back=self._back_kinds.total(),
            talked=self._talked,
            answered=self._answers.total(),
            decided=self._answers["shown"] + self._answers["over_budget"],
            failed=self._failed,
        )

    async def finish(self, finish: CrowdFinish) -> ViewersReport:
        """Wait for the slowest reader, then audit."""
        for _ in range(int(finish.settle_s / SETTLE_POLL_S)):
            if not any(_misses(viewer, finish) for viewer in (*self._readers, *self._slow)):
                break
            await asyncio.sleep(SETTLE_POLL_S)
        self.progress()
        readers, slow, audits = self._readers, self._slow, list(self.audits.values())
        accepted, undecided = set(finish.accepted), set(finish.undecided)
        latency = LatencySeries()
        for audit in audits:
            latency.merge(LatencySeries(audit.latencies))
        return ViewersReport(
            audit=FrameAudit.audit([viewer.at for viewer in readers if viewer.at is not None], accepted, undecided),
            latency=latency.to_plain(),
            frames=sum(audit.frames for audit in audits),
            gaps=sum(audit.gaps for audit in (*audits, self.slow_audit)),
            disorders=sum(audit.disorders for audit in (*audits, self.slow_audit)),
            rewritten=sum(audit.rewritten for audit in (*audits, self.slow_audit)),
            skipped=sum(viewer.skipped for viewer in readers),
            disconnected=sum(bool(viewer.end) for viewer in readers),
            cpu_s=time.process_time(),
            opening_ns=self._opening_ns,
            opened_ns=self._opened_ns,
            back=self._back.to_plain(),
            back_kinds=dict(self._back_kinds),
            # Frames that a viewer skipped hold events that it never gets: only those without a skip must have everything.
            slow_audit=FrameAudit.audit([viewer.at for viewer in slow if viewer.at is not None and not viewer.skipped], accepted, undecided),
            slow_skipped=sum(bool(viewer.skipped) for viewer in slow),
            slow_behind=sum(viewer.at is None or viewer.at.to < finish.seq for viewer in slow),
            slow_disconnected=sum(bool(viewer.end) for viewer in slow),
            answers={**self._answers, "unanswered": len(self._due_ns)},
            answer_latency=self._answer_latency.to_plain(),
        )

    def close(self) -> None:
        """Let everybody leave."""
        for task in (self._coming, self._talking):
            if task is not None:
                task.cancel()
        for viewer in self._here(range(self.part.viewers)):
            viewer.close()


def _misses(viewer: _CrowdViewer, finish: CrowdFinish) -> bool:
    """Whether there is something for it to wait for."""
    if viewer.end or viewer.at is None:
        return False
    return viewer.at.to < finish.seq if finish.seq else viewer.at.length < len(finish.accepted)


async def _run() -> None:
    loop = asyncio.get_running_loop()
    reader = await orders()
    worker = CrowdWorker(msgspec.json.decode(await reader.readline(), type=ViewerRange))

    async def tell() -> None:
        while True:
            say(worker.progress())
            await asyncio.sleep(PROGRESS_S)

    async def open_all() -> None:
        try:
            await worker.open_all()
        except* Exception as error:
            worker.fail(error)
        gc.freeze()  # the viewers are there to stay: nothing to collect among them

    telling, opening = loop.create_task(tell()), loop.create_task(open_all())
    while line := await reader.readline():
        match _order.decode(line):
            case Stall():
                worker.stall()
            case ReadAgain():
                worker.read_again()
            case Cut():
                worker.cut()
            case Talk() as talk:
                worker.talk(talk)
            case CrowdFinish() as finish:
                telling.cancel()
                say(await worker.finish(finish))
    opening.cancel()
    worker.close()
    await asyncio.sleep(0)


if __name__ == "__main__":
    run(_run())
