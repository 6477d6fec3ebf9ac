"""One process of a crowd: `python -m loadtests.crowd_worker`, started by `loadtests.crowd`.

It talks JSON lines: in comes its `Part`, later a `Finish`; out go `Progress` lines and at last a `Report`. It ends
when its input does.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
from typing import Final

import msgspec
from msgspec import Struct

from liveroom.config import AuthConfig
from liveroom.messages.fields import Role
from liveroom.tokens import make_token
from loadtests.lean import ATTEMPTS_MAX, RETRY_S, Address, HandshakeRefused, LeanConnection, open_connection
from loadtests.trail import Audit, Step, Trail

__all__ = ["Finish", "Part", "Progress", "Report"]

#: Handshakes of one process that are under way at once.
OPENING_MAX: Final = 64
PROGRESS_S: Final = 0.25
SETTLE_POLL_S: Final = 0.05
JOIN_S: Final = 30.0
#: Kernel receive buffer of a viewer who never reads: small, so that the server feels it soon.
STALLED_RECEIVE_BYTES: Final = 4_096
LINE_BYTES_MAX: Final = 64 * 1024 * 1024


class Part(Struct):
    """What one process is to do; viewers of ordinals [first, first + viewers), of which the last `stalled` never read."""

    gateway_url: str
    room: str
    auth: AuthConfig
    first: int
    viewers: int
    stalled: int
    sources: list[str]
    deflate: bool


class Finish(Struct):
    """Wait until all readers are at `seq`, for `settle_s` at most, then audit."""

    seq: int
    accepted: list[int]
    undecided: list[int]
    settle_s: float


class Progress(Struct, tag="progress"):
    """How far it is."""

    joined: int
    delivered: int
    failed: str = ""


class Report(Struct, tag="report"):
    """The audit and what was measured."""

    audit: Audit
    latency: dict[str, object]
    frames: int
    gaps: int
    disorders: int
    skipped: int
    disconnected: int
    cpu_s: float


class _Frame(Struct):
    type: str
    seq: int = 0


_frame = msgspec.json.Decoder(_Frame)


class Viewer(LeanConnection):
    """A viewer that reads, or one that stops reading for good once it has joined."""

    def __init__(self, address: Address, path: str, token: str, trail: Trail, *, stalled: bool, deflate: bool) -> None:
        super().__init__(address, path, token, deflate=deflate)
        self._trail = trail
        self.stalled = stalled
        self.at: Step | None = None
        self.skipped = 0
        self.end = ""
        self.joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """The common case, a frame that another viewer has decoded, costs one comparison."""
        at = self.at
        if at is not None and (step := at.next) is not None and data == step.raw and not self._buffer:
            self.at = step
            step.arrivals_ns.append(time.monotonic_ns())
        else:
            super().data_received(data)

    def _on_frame(self, raw: bytes) -> None:
        if self.at is not None and (step := self.at.next) is not None and raw == step.raw:
            self.at = step
            step.arrivals_ns.append(time.monotonic_ns())
        else:
            super()._on_frame(raw)

    def on_text(self, raw: bytes, text: bytes) -> None:
        """A frame that nobody before has decoded."""
        if text.startswith(b'{"type":"delta"') and self.at is not None:
            self.at = self._trail.advance(self.at, raw, text)
            return
        frame = _frame.decode(text)
        if frame.type == "keyframe":
            self.at = self._trail.begin(frame.seq) if self.at is None else self._trail.jump(self.at, frame.seq)
            if not self.joined.done():
                self.joined.set_result(None)
            if self.stalled and self.transport is not None:
                self.transport.pause_reading()
        elif frame.type == "skipped" and self.at is not None:
            self.skipped += 1
            self.at = self._trail.skip(self.at)

    def on_end(self, code: int, reason: str) -> None:
        """The server ended it, or it was lost."""
        self.end = f"{code} {reason}".strip()
        if not self.joined.done():
            self.joined.set_exception(HandshakeRefused(0, f"closed with {self.end} before the room's state came"))


class Worker:
    """The viewers of this process."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._address = Address.of(part.gateway_url)
        self._trail = Trail()
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
        async with self._opening:
            for attempt in range(ATTEMPTS_MAX):
                viewer = Viewer(self._address, f"/v1/rooms/{part.room}", token, self._trail, stalled=stalled, deflate=part.deflate)
                try:
                    await open_connection(viewer, self._address, source=source, receive_bytes=STALLED_RECEIVE_BYTES if stalled else 0)
                    async with asyncio.timeout(JOIN_S):
                        await viewer.joined
                    break
                except (HandshakeRefused, OSError, TimeoutError) as error:
                    _forget(viewer)
                    passing = not isinstance(error, HandshakeRefused) or error.status in (0, 429, 503)
                    if attempt == ATTEMPTS_MAX - 1 or not passing:
                        raise
                    await asyncio.sleep(random.random() * RETRY_S * 2**attempt)
        self.viewers.append(viewer)

    def progress(self) -> Progress:
        """How far it is."""
        self._trail.harvest(self._part.viewers - self._part.stalled)
        return Progress(joined=len(self.viewers), delivered=self._trail.delivered)

    async def finish(self, finish: Finish) -> Report:
        """Wait for the slowest reader, then audit."""
        readers = [viewer for viewer in self.viewers if not viewer.stalled]
        for _ in range(int(finish.settle_s / SETTLE_POLL_S)):
            if not any(v.at and v.at.to < finish.seq and not v.end for v in readers):
                break
            await asyncio.sleep(SETTLE_POLL_S)
        self.progress()
        places = [viewer.at for viewer in readers if viewer.at is not None]
        return Report(
            audit=self._trail.audit(places, set(finish.accepted), set(finish.undecided)),
            latency=self._trail.latency.to_plain(),
            frames=self._trail.frames,
            gaps=self._trail.gaps,
            disorders=self._trail.disorders,
            skipped=sum(viewer.skipped for viewer in readers),
            disconnected=sum(bool(viewer.end) for viewer in readers),
            cpu_s=time.process_time(),
        )


def _forget(viewer: Viewer) -> None:
    for future in (viewer.opened, viewer.joined):
        if future.done() and not future.cancelled():
            future.exception()  # seen: nobody else will look at it
    if viewer.transport is not None:
        viewer.transport.abort()


def _say(message: Progress | Report) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


async def _run() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    worker = Worker(msgspec.json.decode(await reader.readline(), type=Part))

    async def tell() -> None:
        while True:
            _say(worker.progress())
            await asyncio.sleep(PROGRESS_S)

    telling = loop.create_task(tell())
    opening = loop.create_task(worker.open_all())
    command = loop.create_task(reader.readline())
    await asyncio.wait([opening, command], return_when=asyncio.FIRST_COMPLETED)
    if opening.done() and (error := opening.exception()):
        _say(Progress(joined=len(worker.viewers), delivered=0, failed=_words_of(error)))
    else:
        gc.freeze()  # the viewers are there to stay: nothing to collect among them
    line = await command
    telling.cancel()
    if line:
        _say(await worker.finish(msgspec.json.decode(line, type=Finish)))
    for viewer in worker.viewers:
        viewer.close()
    await asyncio.sleep(0)


def _words_of(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def main() -> None:
    """Run until the input ends."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(_run())
    else:
        uvloop.run(_run())


if __name__ == "__main__":
    main()
