"""The servers that `fanout` compares: each runs in a process of its own and writes the same frames to its viewers.

A contender process prints nothing; each `True` on its pipe lets it send one frame, and it answers with a `FrameSample` when the frame is out.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import shutil
import socket
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
import uvloop
from msgspec import Struct

from liveroom.auth.tokens import TokenChecker
from liveroom.config.schema import AuthConfig, GatewayConfig, JournalConfig
from liveroom.features.chat.messages import ChatSent
from liveroom.features.lifecycle.messages import RequestKeyframe
from liveroom.gateway.gateway import Gateway
from liveroom.journal.memory import MemoryJournal
from liveroom.protocol.codec import encode, event_object
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Accepted, Delta, Keyframe, RoomDetail
from liveroom.protocol.records import RECORD_VERSION, CommandReply, Record, RoomSpan, Takeover
from liveroom.telemetry.metrics import Metrics

__all__ = ["CENTRIFUGO_INSTALL", "ROOM", "SECRET", "FrameSample", "run_contender"]

ROOM = "fanout"
SECRET = "fanout-secret-fanout-secret-fanout-secret"
STREAM_ID = "fanout"
#: Time between two checks for a frame that is out; only the contender that needs them pays for them.
POLL_S = 0.01
#: A server without a signal has written its frame when it uses less CPU than this between two checks.
QUIET_CPU_S = 0.000_3
START_S_MAX = 20
CENTRIFUGO_INSTALL = "go install github.com/centrifugal/centrifugo/v6@v6.9.1"
#: One line of chat, about 200 bytes as JSON with its seq.
LINE = "this line is as long as lines of chat are when somebody has a real question about the shoes in size 42"


class FrameSample(Struct, frozen=True):
    """The process's CPU time and memory since the previous sample: for one frame, and everything else that it does."""

    cpu_s: float
    rss_bytes: int


class Contender:
    """A server under test."""

    port: int
    #: The path that a viewer asks for; `{token}` stands for the viewer's token.
    path = f"/v1/rooms/{ROOM}?token={{token}}"

    async def start(self, viewers: int) -> None:
        """Listen on a free port of 127.0.0.1."""
        raise NotImplementedError

    async def send(self, events: list[Event], from_: int) -> None:
        """Fan one frame with these events out; returns when it has been written to every viewer."""
        raise NotImplementedError

    def stop(self) -> None:
        """End what is not part of this process."""

    def cpu_s(self) -> float:
        """CPU time of the server's process so far."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    def rss_bytes(self) -> int:
        """Resident memory of the server's process."""
        return rss_bytes_of("self")


class Liveroom(Contender):
    """The real gateway on the memory journal; records are appended as the engine would."""

    async def start(self, viewers: int) -> None:
        self._journal = MemoryJournal(JournalConfig(kind="memory", partitions=1))
        await self._journal.append(0, Takeover(RECORD_VERSION, "fanout", 0))
        self._viewers = viewers
        self._metrics = Metrics()
        self._step = self._commands = 0
        self._seq = 0
        # A shorter tick than the crowd would get, so that every record is a frame of its own.
        config = GatewayConfig(port=0, connections_max=max(20_000, viewers), tick_ms_min=1, tick_ms_max=2, idle_ms=3_600_000, beat_ms=0)
        self._gateway = Gateway(
            self._journal, config, TokenChecker(AuthConfig(), SECRET), name="fanout", metrics=self._metrics, address_key=b"k" * 32
        )
        await self._gateway.start()
        self.port = self._gateway.port
        self._task = asyncio.create_task(self._answer())

    async def _answer(self) -> None:
        """A substitute for the engine: it answers each request for a room's detail, and accepts everything else."""
        async for batch in self._journal.read_commands(0, 0):
            replies, details = [], []
            for r in batch.requests:
                replies.append(CommandReply(r.room, r.sender.user, 0, Accepted(r.id, self._seq), r.source, r.connection))
                if isinstance(r.command, RequestKeyframe):
                    details.append(RoomDetail(Keyframe(ROOM, STREAM_ID, self._seq, 0, "Fan-out", "anna", True, 0), entitlements=0))
            self._append({}, to=batch.offset + 1, replies=tuple(replies), details=tuple(details))

    async def send(self, events: list[Event], from_: int) -> None:
        self._seq = from_ + len(events)
        written = self._frames_sent()
        self._append({ROOM: RoomSpan(from_, tuple(events))}, to=self._commands)
        while self._frames_sent() < written + self._viewers:  # noqa: ASYNC110 (the gateway has no event for it)
            await asyncio.sleep(POLL_S)

    def _frames_sent(self) -> int:
        return int(next(iter(self._metrics.gateway_frames_sent.collect())).samples[0].value)

    def _append(self, rooms: dict[str, RoomSpan], to: int, **more: Any) -> None:
        self._journal.append(0, Record(RECORD_VERSION, 0, self._step, self._commands, to, 0, rooms, **more))
        self._step += 1
        self._commands = to


class Broadcast(Contender):
    """websockets' asyncio server and its `broadcast`, on uvloop as well."""

    async def start(self, viewers: int) -> None:
        from websockets.asyncio.server import ServerConnection, broadcast, serve

        self._broadcast = broadcast
        self._connections: set[ServerConnection] = set()

        async def hold(connection: ServerConnection) -> None:
            self._connections.add(connection)
            await connection.wait_closed()

        server = await serve(hold, "127.0.0.1", 0, compression="deflate", ping_interval=None, backlog=4_096)
        self.port = server.sockets[0].getsockname()[1]

    async def send(self, events: list[Event], from_: int) -> None:
        self._broadcast(self._connections, delta_text(events, from_))


class BareWriter(Contender):
    """The lower bound for Python: one `write` of ready bytes per socket, nothing else."""

    async def start(self, viewers: int) -> None:
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4_096)
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._task = asyncio.create_task(self._accept())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(self._listener)
            await loop.sock_recv(client, 65_536)
            await loop.sock_sendall(client, b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            self._sockets.append(client)

    async def send(self, events: list[Event], from_: int) -> None:
        data = delta_text(events, from_).encode()
        data = b"\x81\x7e" + len(data).to_bytes(2, "big") + data
        write = os.write
        for client in self._sockets:
            write(client.fileno(), data)


class Centrifugo(Contender):
    """Centrifugo with one Go processor. Viewers use its unidirectional transport, which is its cheapest."""

    path = "/connection/uni_websocket?cf_connect=" + quote(f'{{"subs":{{"{ROOM}":{{}}}}}}')

    async def start(self, viewers: int) -> None:
        binary = shutil.which("centrifugo")
        if binary is None:
            raise SystemExit(f"no centrifugo in PATH; get it with: {CENTRIFUGO_INSTALL}")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        settings = {
            "http_server": {"address": "127.0.0.1", "port": str(self.port)},
            "http_api": {"insecure": True},
            "log": {"level": "error"},
            "client": {"insecure": True, "ping_interval": "10h"},  # a ping is a text frame, and the readers count those
            "uni_websocket": {"enabled": True, "compression": True},
        }
        self._directory = tempfile.TemporaryDirectory()
        config = Path(self._directory.name) / "config.json"
        config.write_bytes(orjson.dumps(settings))
        self._process = await asyncio.create_subprocess_exec(binary, "--config", str(config), env={**os.environ, "GOMAXPROCS": "1"})
        self._http = aiohttp.ClientSession(f"http://127.0.0.1:{self.port}")
        async with asyncio.timeout(START_S_MAX):
            while not await self._is_up():  # noqa: ASYNC110 (nothing tells when it listens)
                await asyncio.sleep(POLL_S)

    async def _is_up(self) -> bool:
        try:
            async with self._http.post("/api/info", json={}) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def send(self, events: list[Event], from_: int) -> None:
        body = f'{{"channel":"{ROOM}","data":{delta_text(events, from_)}}}'
        async with self._http.post("/api/publish", data=body) as answer:
            if answer.status != 200 or "error" in await answer.json():
                raise SystemExit(f"centrifugo refused to publish: {await answer.text()}")
        before = -1.0
        while (used := self.cpu_s()) - before > QUIET_CPU_S:  # it writes after its answer, and nothing tells when it has written
            before = used
            await asyncio.sleep(2 * POLL_S)

    def stop(self) -> None:
        self._process.kill()
        self._directory.cleanup()

    def cpu_s(self) -> float:
        tasks = Path(f"/proc/{self._process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def rss_bytes(self) -> int:
        return rss_bytes_of(str(self._process.pid))


CONTENDERS: dict[str, type[Contender]] = {"liveroom": Liveroom, "broadcast": Broadcast, "bare": BareWriter, "centrifugo": Centrifugo}


def delta_text(events: list[Event], from_: int) -> str:
    """The delta that the gateway makes of these events."""
    objects = tuple(event_object(event, from_ + i) for i, event in enumerate(events))
    return encode(Delta(from_, from_ + len(events), 0, objects)).decode()


def make_events(count: int, from_: int) -> list[Event]:
    """Lines of chat."""
    return [ChatSent(f"viewer{from_ + i:08d}", f"Viewer {from_ + i:08d}", LINE) for i in range(count)]


def run_contender(kind: str, pipe: Connection, viewers: int, events_per_frame: int, cpu: int | None) -> None:
    """Body of a contender's process: sends its port and its memory, then a frame for each order until the pipe closes."""
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    uvloop.run(_serve(CONTENDERS[kind](), pipe, viewers, events_per_frame))


async def _serve(contender: Contender, pipe: Connection, viewers: int, events_per_frame: int) -> None:
    await contender.start(viewers)
    pipe.send((contender.port, contender.rss_bytes(), contender.path))
    orders: asyncio.Queue[bool] = asyncio.Queue()
    asyncio.get_running_loop().add_reader(pipe.fileno(), lambda: orders.put_nowait(_received(pipe)))
    from_ = 0
    before = 0.0
    while await orders.get():
        if not from_:
            gc.collect()
            gc.freeze()
        await contender.send(make_events(events_per_frame, from_), from_)
        from_ += events_per_frame
        now = contender.cpu_s()
        pipe.send(FrameSample(now - before, contender.rss_bytes()))
        before = now
    contender.stop()
    os._exit(0)  # thousands of connections are not closed one by one


def _received(pipe: Connection) -> bool:
    try:
        return bool(pipe.recv())
    except EOFError:
        return False


def rss_bytes_of(process: str) -> int:
    """Resident memory of a process, by its pid or `self`."""
    with open(f"/proc/{process}/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
