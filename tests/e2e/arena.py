"""One server under attack, with a well-behaved viewer who must see everything meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import websockets

from liveroom.messages.fields import Role
from tests.docs.traffic import check_server_frame
from tests.serving import Server

__all__ = ["FLAGS", "PER_ADDRESS_MAX", "ROOM", "Arena", "open_arena"]

ROOM = "demo"
PER_ADDRESS_MAX = 200
HANDSHAKE_MS = 1_500
#: How late the witness may see something on a busy machine.
SEE_S = 20
FLAGS = (
    *("--gateway-connections-per-address-max", str(PER_ADDRESS_MAX), "--gateway-handshake-ms", str(HANDSHAKE_MS)),
    *("--gateway-interruption-ms", str(SEE_S * 1_000)),  # before that it is not told that it waits
)
PUSH_S = 0.1
#: Growth that an attack may leave behind: space for the rings and records that chat fills, and for the allocator's habits.
RSS_GROWTH_MAX = 32 * 1024 * 1024
#: Descriptors that come and go without attacks: the pushers' own requests, SQLite's files.
FDS_GROWTH_MAX = 8


class Arena:
    """The server, the announcements in its room, and the witness's view of them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.announced: list[str] = []
        self.seen: list[str] = []
        self.fds = 10_000  # until measured
        self.rss = 1 << 40
        self.witness: asyncio.Task[None] | None = None
        self._pushing = asyncio.Lock()

    @property
    def gateway(self) -> tuple[str, int]:
        """Host and port of the gateway."""
        return _address(self.server.gateway_url)

    @property
    def console(self) -> tuple[str, int]:
        """Host and port of the console."""
        return _address(self.server.console_url)

    async def announce(self) -> None:
        """One more event that must reach everyone."""
        async with self._pushing:
            text = f"announcement {len(self.announced)}"
            answer = await self.server.command(ROOM, "set_announcement", {"text": text})
            assert answer["http_status"] == 200, answer
            self.announced.append(text)

    async def watch(self, arrived: asyncio.Event) -> None:
        """Stay in the room, keep the client's rules, and hold every frame against the documents; ends only by failing."""
        url = f"{self.server.gateway_url}/v1/rooms/{ROOM}?token={self.server.token(ROOM, 'witness')}"
        async with websockets.connect(url, max_size=None, max_queue=None) as connection:
            cursor = 0
            async for text in connection:
                frame = check_server_frame(text)
                assert frame["type"] in ("joined", "keyframe", "entitlements", "delta"), f"the witness got {frame}"
                if frame["type"] == "keyframe":
                    assert not cursor, "the witness was sent another keyframe: it had fallen behind"
                    cursor = frame["seq"]
                    arrived.set()
                elif frame["type"] == "delta":
                    assert frame["from"] == cursor, f"the witness stands at {cursor}, the delta begins at {frame['from']}"
                    cursor = frame["to"]
                    self.seen += [event["text"] for event in frame["events"] if event["type"] == "announcement_set"]
        raise AssertionError(f"the witness was sent away: {connection.close_code}")

    @asynccontextmanager
    async def attacked(self) -> AsyncIterator[None]:
        """While the body attacks, announcements go on; afterwards nothing may have suffered."""
        pusher = asyncio.create_task(self._push())
        try:
            yield
        finally:
            pusher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pusher
        await self.unharmed()

    async def _push(self) -> None:
        while True:
            await asyncio.shield(self.announce())
            await asyncio.sleep(PUSH_S)

    async def unharmed(self) -> None:
        """The process lives, is healthy and has let go of everything; the witness saw all, in order; no error was logged."""
        await self.announce()
        await self._until(lambda: self.seen[-1:] == self.announced[-1:], lambda: f"the witness saw {len(self.seen)} of {len(self.announced)}")
        assert self.seen == self.announced
        for path in ("/livez", "/readyz"):
            async with aiohttp.ClientSession() as session, session.get(self.server.console_url + path) as response:
                assert response.status == 200, await response.text()
        await self._until(lambda: self._fds() <= self.fds + FDS_GROWTH_MAX, lambda: f"{self._fds()} descriptors are open, {self.fds} were")
        assert self._rss() < self.rss + RSS_GROWTH_MAX, f"{self._rss() >> 20} MB of memory, {self.rss >> 20} MB before"
        log = self.server.log.read_text()
        assert "Traceback" not in log, log[-4000:]

    async def metric(self, name: str) -> float:
        """A metric without labels, now."""
        return await self.server.metric(name)

    async def settled(self, arrived: asyncio.Event) -> None:
        """Wait until the witness is there and has seen something."""
        await self._until(arrived.is_set, lambda: "the witness never arrived")
        await self.unharmed()

    def measure(self) -> None:
        """Take note of what the process holds before any attack."""
        self.fds, self.rss = self._fds(), self._rss()

    def _fds(self) -> int:
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.server.pids)

    def _rss(self) -> int:
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.server.pids) * os.sysconf("SC_PAGE_SIZE")

    async def _until(self, true: Callable[[], bool], words: Callable[[], str]) -> None:
        try:
            async with asyncio.timeout(SEE_S):
                while not true():
                    if self.witness and self.witness.done():
                        self.witness.result()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(words()) from None


@asynccontextmanager
async def open_arena(data_dir: Path) -> AsyncIterator[Arena]:
    """A server with an open room, its witness, and its measure taken after it has settled."""
    async with Server(data_dir, *FLAGS) as server:
        arena = Arena(server)
        opened = await server.command(ROOM, "open_room", {"title": "Under attack"}, role=Role.anchor)
        assert opened["http_status"] == 200, opened
        arrived = asyncio.Event()
        arena.witness = asyncio.create_task(arena.watch(arrived))
        await arena.settled(arrived)
        arena.measure()
        yield arena
        arena.witness.cancel()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port
