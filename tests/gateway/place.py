"""A gateway with viewers of every kind: a real engine behind it, or a script that writes the journal by hand."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import orjson
import websockets
from websockets.asyncio.client import ClientConnection

from liveroom.auth.tokens import TokenChecker, make_token
from liveroom.config.schema import AuthConfig, Config, EngineConfig, GatewayConfig, JournalConfig
from liveroom.engine.clock import SteadyClock
from liveroom.engine.engine import Engine
from liveroom.features.chat.messages import ChatSent
from liveroom.features.lifecycle.messages import OpenRoom, RequestKeyframe
from liveroom.gateway.gateway import Gateway
from liveroom.journal.command_sender import CommandSender
from liveroom.journal.memory import MemoryJournal
from liveroom.journal.partition import partition_of
from liveroom.messages.fields import Role
from liveroom.protocol.commands import Command
from liveroom.protocol.entitlements import EntitlementsChunk
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Accepted, Keyframe, Refused, RoomDetail
from liveroom.protocol.records import RECORD_VERSION, CommandReply, Record, Request, RoomSpan, Sender, Takeover
from liveroom.telemetry.metrics import Metrics
from tests.clock import MovableClock

SECRET = "gateway-tests-gateway-tests-gateway-tests"
ROOM = "demo"
WAIT_S = 10
ANCHOR = Sender("anna", "Anna", Role.anchor)

Object = dict[str, Any]


def token(user: str, *, role: Role = Role.viewer, room: str = ROOM, lifetime_s: int = 600) -> str:
    """A token as the platform would sign it."""
    return make_token(SECRET, AuthConfig(), user=user, room=room, role=role, lifetime_s=lifetime_s)


class Viewer:
    """A client that websockets wrote, with frames as plain objects."""

    def __init__(self, socket_: ClientConnection) -> None:
        self.socket = socket_
        self._ids = itertools.count(1)

    async def next(self) -> Object:
        """The next frame."""
        frame: Object = orjson.loads(await asyncio.wait_for(self.socket.recv(), WAIT_S))
        return frame

    async def until(self, kind: str, **fields: Any) -> Object:
        """The next frame of this type that has these fields; what comes before is dropped."""
        while True:
            frame = await self.next()
            if frame["type"] == kind and all(frame.get(k) == v for k, v in fields.items()):
                return frame

    async def events(self, count: int) -> list[Object]:
        """The next events, out of as many deltas as it takes."""
        events: list[Object] = []
        while len(events) < count:
            events += (await self.until("delta"))["events"]
        return events

    async def send(self, command: str, command_id: str = "", **fields: Any) -> str:
        """Send a command; gives its id."""
        command_id = command_id or f"c{next(self._ids)}"
        await self.socket.send(orjson.dumps({"id": command_id, "command": {"type": command, **fields}}).decode())
        return command_id

    async def ask(self, command: str, **fields: Any) -> Object:
        """Send a command and wait for its reply."""
        command_id = await self.send(command, **fields)
        while True:
            frame = await self.next()
            if frame.get("id") == command_id:
                return frame

    async def closed(self) -> int:
        """Wait until the server closes; gives the code."""
        try:
            while True:
                await asyncio.wait_for(self.socket.recv(), WAIT_S)
        except websockets.ConnectionClosed as error:
            return error.rcvd.code if error.rcvd else 1006


class Place:
    """One gateway on a journal in memory. `clock` is the gateway's."""

    def __init__(self, gateway: Gateway, journal: MemoryJournal, metrics: Metrics, clock: MovableClock) -> None:
        self.gateway = gateway
        self.clock = clock
        self.journal = journal
        self.metrics = metrics
        self._command_sender = CommandSender(journal, "test", metrics, batch_commands_max=1, batch_wait_ms=0, reply_wait_ms=WAIT_S * 1000)
        self._scheme = "ws"
        self.tls: Any = None

    def url(self, room: str = ROOM, **query: Any) -> str:
        """Where a room is."""
        words = "&".join(f"{k}={v}" for k, v in query.items())
        scheme, host = ("wss", "localhost") if self.tls else ("ws", "127.0.0.1")
        return f"{scheme}://{host}:{self.gateway.port}/v1/rooms/{room}" + (f"?{words}" if words else "")

    @asynccontextmanager
    async def viewer(
        self,
        user: str,
        *,
        role: Role = Role.viewer,
        room: str = ROOM,
        deflate: bool = True,
        forwarded_for: str = "",
        lifetime_s: int = 600,
        **query: Any,
    ) -> AsyncIterator[Viewer]:
        """A connected viewer; `forwarded_for` as a proxy would say it."""
        headers = {"Authorization": f"Bearer {token(user, role=role, room=room, lifetime_s=lifetime_s)}"}
        if forwarded_for:
            headers["X-Forwarded-For"] = forwarded_for
        async with websockets.connect(
            self.url(room, **query),
            additional_headers=headers,
            compression="deflate" if deflate else None,
            max_size=None,
            max_queue=None,  # with a full queue it would not read the server's goodbye, and closing would take its ten seconds
            ssl=self.tls,
        ) as connection:
            yield Viewer(connection)

    async def until_broadcast(self, seq: int, room: str = ROOM) -> None:
        """Wait until the gateway has begun to write all events below `seq` to the room's viewers."""
        async with asyncio.timeout(WAIT_S):
            while self.gateway._hub.rooms[room].broadcast_end < seq:
                await asyncio.sleep(0.001)

    async def until_slot_begins(self) -> None:
        """Wait for the first half of a slot of the tick, so that news of the next moments share a broadcast."""
        grid = self.gateway._hub._grid
        await until(lambda: grid.due(ROOM, now := self.clock.monotonic_s(), now - 60) - now > grid.tick_s / 2)

    def metric(self, name: str, **labels: str) -> float:
        """A metric's value now."""
        return self.metrics.registry.get_sample_value(f"liveroom_gateway_{name}", labels) or 0.0


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0)


async def raw(place: Place, user: str = "raw", *, recv_buffer: int = 0, extra: str = "", path: str = "") -> socket.socket:
    """A socket after its handshake, non-blocking; with the small receive buffer that a stalled phone has."""
    loop = asyncio.get_running_loop()
    client = socket.socket()
    if recv_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, recv_buffer)
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", place.gateway.port))
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET {path or f'/v1/rooms/{ROOM}?token={token(user)}'} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n"
    )
    await loop.sock_sendall(client, request.encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = await asyncio.wait_for(loop.sock_recv(client, 1), WAIT_S)
        assert part, f"closed after {head!r}"
        head += part
    assert head.startswith(b"HTTP/1.1 101 "), head
    return client


def masked(payload: bytes, first: int = 0x81, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    """A client's frame."""
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + struct.pack("!H", length) if length < 65_536 else b"\xff" + struct.pack("!Q", length)
    return bytes([first]) + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


async def read_frame(client: socket.socket) -> Object:
    """The server's next frame; a close frame reads as `{"type": "close", "code": ...}`, a ping as `{"type": "ping"}`."""

    async def exactly(n: int) -> bytes:
        data = b""
        while len(data) < n:
            part = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, n - len(data)), WAIT_S)
            if not part:
                raise EOFError
            data += part
        return data

    first, length = await exactly(2)
    if length >= 126:
        length = int.from_bytes(await exactly(2 if length == 126 else 8), "big")
    payload = await exactly(length)
    if first == 0x81:
        frame: Object = orjson.loads(payload)
        return frame
    return {"type": "close", "code": int.from_bytes(payload[:2], "big")} if first == 0x88 else {"type": {0x89: "ping", 0x8A: "pong"}[first]}


async def read_frames(client: socket.socket, stop: str) -> list[Object]:
    """The server's frames up to the first of type `stop`."""
    frames = [await read_frame(client)]
    while frames[-1]["type"] != stop:
        frames.append(await read_frame(client))
    return frames


@asynccontextmanager
async def running(config: GatewayConfig, journal: MemoryJournal, *, name: str = "gateway-1", origins: tuple[str, ...] = ()) -> AsyncIterator[Place]:
    """A gateway on a journal that someone else writes."""
    metrics, clock, checker = Metrics(), MovableClock(), TokenChecker(AuthConfig(), SECRET)
    gateway = Gateway(journal, config, checker, name=name, metrics=metrics, address_key=b"k" * 32, console_origins=origins, clock=clock)
    await gateway.start()
    try:
        yield Place(gateway, journal, metrics, clock)
    finally:
        await gateway.drain()


class Show(Place):
    """A gateway with a real engine."""

    engine: Engine
    engine_metrics: Metrics

    def decided(self) -> float:
        """Commands that the engine has answered so far."""
        outcomes = ("accepted", "refused", "repeated", "poison")
        return sum(self.engine_metrics.registry.get_sample_value("liveroom_engine_commands_total", {"outcome": o}) or 0.0 for o in outcomes)

    async def command(self, command: Command, *, sender: Sender = ANCHOR, room: str = ROOM, command_id: str = "") -> Accepted | Refused:
        """Send a command past the gateway, as the console does."""
        request = Request(command_id or f"t-{next(_ids)}", room, sender, command, "", 0)
        reply: asyncio.Future[Accepted | Refused] = asyncio.get_running_loop().create_future()
        self._command_sender.submit(request, reply.set_result)
        return await asyncio.wait_for(reply, WAIT_S)


_ids = itertools.count(1)


@asynccontextmanager
async def show(
    *,
    open_room: bool = True,
    origins: tuple[str, ...] = (),
    journal_type: type[MemoryJournal] = MemoryJournal,
    engine_config: EngineConfig | None = None,
    engine_clock: SteadyClock | None = None,
    **settings: Any,
) -> AsyncIterator[Show]:
    """An engine, a gateway with these settings, and the room open."""
    settings = {"port": 0, "drain_ms": 0, **settings}
    config = Config(gateway=GatewayConfig(**settings), journal=JournalConfig(kind="memory", partitions=2), engine=engine_config or EngineConfig())
    journal = journal_type(config.journal)
    engine_metrics = Metrics()
    engine = Engine(journal, config, name="engine-1", metrics=engine_metrics, clock=engine_clock)
    await engine.start()
    try:
        async with asyncio.timeout(WAIT_S):
            while not engine.ready:
                await asyncio.sleep(0.005)
        async with running(config.gateway, journal, origins=origins) as place:
            made = Show(place.gateway, journal, place.metrics, place.clock)
            made.engine, made.engine_metrics = engine, engine_metrics
            readers = [asyncio.create_task(_deliver(made, p)) for p in range(journal.partitions)]
            if open_room:
                assert isinstance(await made.command(OpenRoom("Evening show")), Accepted)
            try:
                yield made
            finally:
                for task in readers:
                    task.cancel()
                await asyncio.gather(*readers, return_exceptions=True)
                await made._command_sender.close()
    finally:
        await engine.stop()
        await journal.close()


async def _deliver(place: Show, partition: int) -> None:
    async for stored in place.journal.read_events(partition, 0):
        if isinstance(stored.entry, Record):
            for command_reply in stored.entry.replies:
                place._command_sender.deliver(command_reply)


class Script:
    """Writes one room's records by hand, so that a test decides when keyframes come; answers requests for them when told to."""

    def __init__(self, journal: MemoryJournal) -> None:
        self.journal = journal
        self.partition = partition_of(ROOM, journal.partitions)
        self.stream_id = "e1"
        self.seq = 1
        self.keyframes_asked = 0
        self.answering = True
        self.chunks: tuple[EntitlementsChunk, ...] = ()  # users' entitlements, with the seq to be filled in
        self.chunks_lost = 0  # how many of them do not arrive the next time
        self.asked_with: list[bool] = []  # whether each request for the room's detail was for what users own too
        self._step = self._command = self._claim = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take the partition over and answer."""
        await self.journal.append(self.partition, Takeover(RECORD_VERSION, "script", 0))
        self._tasks = [asyncio.create_task(self._answer(p)) for p in range(self.journal.partitions)]

    async def stop(self) -> None:
        """Answer no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def keyframe(self, **fields: Any) -> Keyframe:
        """The room's keyframe now."""
        return Keyframe(ROOM, self.stream_id, self.seq, 1, "Scripted", "anna", True, 1, **fields)

    async def emit(self, *events: Event, with_keyframe: bool = False, lost: int = 0) -> None:
        """One record with these events; `lost` seqs before them are missing."""
        from_ = self.seq + lost
        self.seq = from_ + len(events)
        rooms = {ROOM: RoomSpan(from_, events)} if events else {}
        await self._append(rooms=rooms, keyframes=(self.keyframe(),) if with_keyframe else ())

    async def say(self, count: int, *, length: int = 20) -> None:
        """Lines of chat, each in a record of its own."""
        for _ in range(count):
            await self.emit(ChatSent("bob", "Bob", f"{self.seq} ".ljust(length, "x")))

    async def _answer(self, partition: int) -> None:
        async for batch in self.journal.read_commands(partition, 0):
            replies, asked = [], None
            for r in batch.requests:
                if isinstance(r.command, RequestKeyframe):
                    self.keyframes_asked += 1
                    self.asked_with.append(r.command.entitlements)
                    if not self.answering:
                        continue
                    asked = r.command
                replies.append(CommandReply(r.room, r.sender.user, 0, Accepted(r.id, self.seq), r.source, r.connection))
            if partition == self.partition:
                await self._append(to=batch.offset + 1, replies=tuple(replies))
                if asked:
                    await self.transfer_state(asked.entitlements)

    async def transfer_state(self, with_entitlements: bool) -> None:
        """The room's detail, and before it what users own."""
        if with_entitlements:
            for chunk in self.chunks[: len(self.chunks) - self.chunks_lost]:
                await self.chunk(chunk)
            self.chunks_lost = 0
        await self._append(details=(RoomDetail(self.keyframe(), entitlements=len(self.chunks) if with_entitlements else None),))

    async def chunk(self, chunk: EntitlementsChunk) -> None:
        """One chunk of what users own, as of now."""
        await self._append(entitlements=(msgspec.structs.replace(chunk, room=ROOM, stream_id=self.stream_id, seq=self.seq),))

    async def _append(self, *, to: int | None = None, **content: Any) -> None:
        record = Record(RECORD_VERSION, self._claim, self._step, self._command, self._command if to is None else to, 1, **content)
        self._step += 1
        self._command = record.to
        await self.journal.append(self.partition, record)


@asynccontextmanager
async def scripted(**settings: Any) -> AsyncIterator[tuple[Place, Script]]:
    """A gateway whose journal the test writes itself."""
    journal = MemoryJournal(JournalConfig(kind="memory", partitions=1))
    script = Script(journal)
    await script.start()
    config = msgspec.structs.replace(GatewayConfig(port=0, drain_ms=0), **settings)
    try:
        async with running(config, journal) as place:
            yield place, script
    finally:
        await script.stop()
        await journal.close()
