"""Serves a journal to other processes of this machine.

How it works:

1. Each client has one connection. Its calls and streams have numbers, so that many are under way at once.
2. Calls begin in the order in which they came, so appends keep their order.
3. A stream is a reader of the journal. It sends items until `STREAM_BYTES_MAX` are on their way, and goes on when the client grants more.
   So a client that reads slowly holds back its own streams alone, and costs no memory.
4. An entry is encoded once for all clients that are near the end of the log.
5. Bytes that are no message end the connection of the client that sent them.
"""

from __future__ import annotations

import asyncio
import logging
import os
from asyncio import StreamReader, StreamWriter
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import msgspec

from liveroom import __version__
from liveroom.journal.base import DeadLetter, Journal, Snapshot, StoredEntry
from liveroom.journal.socket.frames import (
    PROTOCOL_VERSION,
    STREAM_BYTES_MAX,
    Call,
    Failed,
    FromClient,
    Grant,
    Item,
    Open,
    Result,
    Welcome,
    frame_of,
    read_frame,
    unix_address,
)
from liveroom.messages.errors import JournalError, JournalUnavailable, LiveroomError
from liveroom.process.owner_only import make_owner_only
from liveroom.protocol.codec import decode_entry, decode_requests, encode

__all__ = ["JournalServer"]

log = logging.getLogger(__name__)

#: Clients at once.
CLIENTS_MAX: Final = 256
#: Calls and streams of one client that are under way at once.
CALLS_MAX: Final = 100_000
STREAMS_MAX: Final = 4_096
#: Encoded entries that are kept for the other clients, in bytes.
ENCODED_BYTES_MAX: Final = 16 * 1024 * 1024
#: Characters of an error that a client gets.
WORDS_MAX: Final = 2_000

_messages: Final = msgspec.msgpack.Decoder(FromClient)
_places: Final = msgspec.json.Decoder(list[int])
_snapshot: Final = msgspec.json.Decoder(Snapshot)
_letter: Final = msgspec.json.Decoder(DeadLetter)
_bodies: Final = msgspec.msgpack.Decoder(list[bytes])


class JournalServer:
    """Serves `journal` at a Unix socket in a directory of the owner's. `identity` names the journal, `settings` is a digest of the settings."""

    def __init__(self, journal: Journal, path: Path, identity: str = "", settings: str = "") -> None:
        self._journal = journal
        self._path = path
        self._encoded = _EncodedEntries()
        self._clients: set[_Client] = set()
        self._server: asyncio.Server | None = None
        incarnations = tuple(journal.incarnation(partition) for partition in range(journal.partitions))
        self._welcome = frame_of(Welcome(__version__, PROTOCOL_VERSION, identity, settings, incarnations))

    async def start(self) -> None:
        """Listen. The socket of an earlier process is removed. Raises `OSError`, `BadConfig`."""
        self._path.unlink(missing_ok=True)
        mask = os.umask(0o177)  # only the owner may connect, from the first moment on
        try:
            with unix_address(self._path) as address:
                self._server = await asyncio.start_unix_server(self._serve, address)
        finally:
            os.umask(mask)
        make_owner_only(self._path)

    async def close(self) -> None:
        """End all connections, and remove the socket."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
        for client in list(self._clients):
            client.abort()
        await asyncio.gather(*(client.ended.wait() for client in self._clients))

    @property
    def clients(self) -> int:
        """The number of connected clients."""
        return len(self._clients)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        if len(self._clients) >= CLIENTS_MAX:
            writer.transport.abort()
            return
        client = _Client(self._journal, self._encoded, writer)
        self._clients.add(client)
        try:
            writer.write(self._welcome)
            await client.serve(reader)
        finally:
            self._clients.discard(client)


class _EncodedEntries:
    """The newest entries as JSON, so that each is encoded once for all clients."""

    def __init__(self) -> None:
        self._bodies: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._bytes = 0

    def body(self, partition: int, stored: StoredEntry) -> bytes:
        key = partition, stored.offset
        body = self._bodies.get(key)
        if body is None:
            body = self._bodies[key] = encode(stored.entry)
            self._bytes += len(body)
            while self._bytes > ENCODED_BYTES_MAX:
                self._bytes -= len(self._bodies.popitem(last=False)[1])
        return body


class _Stream:
    """One followed log: its task, and the bytes that the client has not taken yet."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None]
        self.under_way = 0
        self.has_space = asyncio.Event()
        self.has_space.set()

    def sent(self, size: int) -> None:
        self.under_way += size
        if self.under_way >= STREAM_BYTES_MAX:
            self.has_space.clear()

    def taken(self, size: int) -> None:
        self.under_way -= size
        if self.under_way < STREAM_BYTES_MAX:
            self.has_space.set()


class _Client:
    def __init__(self, journal: Journal, encoded: _EncodedEntries, writer: StreamWriter) -> None:
        self._journal = journal
        self._encoded = encoded
        self._writer = writer
        self._streams: dict[int, _Stream] = {}
        self._calls: set[asyncio.Future[Any]] = set()
        self.ended = asyncio.Event()
        self._operations: dict[str, Callable[[int, bytes], Awaitable[bytes]]] = {
            "send_commands": self._send_commands,
            "append": self._append,
            "events_end": self._events_end,
            "put_parts": self._put_parts,
            "get_parts": self._get_parts,
            "save_snapshot": self._save_snapshot,
            "load_snapshots": self._load_snapshots,
            "write_dead_letter": self._write_dead_letter,
        }

    def abort(self) -> None:
        self._writer.transport.abort()

    async def serve(self, reader: StreamReader) -> None:
        """Serve until the client goes away or sends something that is no message."""
        try:
            while (body := await read_frame(reader)) is not None:
                self._take(_messages.decode(body))
        except (ValueError, LiveroomError) as error:  # msgspec raises these, too
            log.warning("a client of the journal's socket is dropped", extra={"reason": str(error)[:WORDS_MAX]})
        finally:
            self._writer.transport.abort()
            work = [*self._calls, *(stream.task for stream in self._streams.values())]
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            self.ended.set()

    def _take(self, message: FromClient) -> None:
        if isinstance(message, Call):
            self._begin(message)
        elif isinstance(message, Open):
            if len(self._streams) >= STREAMS_MAX or message.number in self._streams:
                raise ValueError("too many streams, or a number twice")
            self._must_exist(message.partition)
            stream = self._streams[message.number] = _Stream()
            stream.task = asyncio.create_task(self._follow(message, stream))
        elif message.number in self._streams:  # else the stream has failed meanwhile
            if isinstance(message, Grant):
                self._streams[message.number].taken(message.bytes)
            else:
                self._streams.pop(message.number).task.cancel()

    def _must_exist(self, partition: int) -> None:
        if not 0 <= partition < self._journal.partitions:
            raise ValueError(f"there is no partition {partition}")

    def _begin(self, call: Call) -> None:
        """Begin a call at once, so that calls keep their order."""
        self._must_exist(call.partition)
        operation = self._operations.get(call.operation)
        if operation is None or len(self._calls) >= CALLS_MAX:
            raise ValueError(f"unknown operation {call.operation[:64]!r}, or too many calls")
        task: asyncio.Task[None] = asyncio.create_task(self._answer(call, operation))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _answer(self, call: Call, operation: Callable[[int, bytes], Awaitable[bytes]]) -> None:
        try:
            frame = frame_of(Result(call.number, await operation(call.partition, call.body)))
        except Exception as error:
            if not isinstance(error, LiveroomError):
                log.exception("a call over the journal's socket failed", extra={"operation": call.operation})
            frame = _failed(call.number, error)
        self._writer.write(frame)

    async def _follow(self, opened: Open, stream: _Stream) -> None:
        try:
            async with aclosing(self._bodies(opened)) as items:
                async for offset, body in items:
                    await stream.has_space.wait()
                    stream.sent(len(body))
                    self._writer.write(frame_of(Item(opened.number, offset, body)))
        except Exception as error:
            if not isinstance(error, LiveroomError):
                log.exception("a stream over the journal's socket failed", extra={"log": opened.log, "partition": opened.partition})
            self._streams.pop(opened.number, None)
            self._writer.write(_failed(opened.number, error))

    async def _bodies(self, opened: Open) -> AsyncGenerator[tuple[int, bytes]]:
        partition, offset = opened.partition, opened.offset
        if opened.log == "commands":
            async with aclosing(self._journal.read_commands(partition, offset)) as batches:
                async for batch in batches:
                    yield batch.offset, encode(batch)
            return
        read = self._journal.read_events_in_background if opened.log == "events_in_background" else self._journal.read_events
        async with aclosing(read(partition, offset)) as entries:
            async for stored in entries:
                yield stored.offset, self._encoded.body(partition, stored)

    # Operations

    async def _send_commands(self, partition: int, body: bytes) -> bytes:
        await self._journal.send_commands(partition, decode_requests(body))
        return b""

    async def _append(self, partition: int, body: bytes) -> bytes:
        return encode(await self._journal.append(partition, decode_entry(body)))

    async def _events_end(self, partition: int, body: bytes) -> bytes:
        return encode(await self._journal.events_end(partition))

    async def _put_parts(self, partition: int, body: bytes) -> bytes:
        return encode([part.place for part in await self._journal.put_parts(partition, _bodies.decode(body))])

    async def _get_parts(self, partition: int, body: bytes) -> bytes:
        return msgspec.msgpack.encode(await self._journal._get_parts(partition, _places.decode(body)))

    async def _save_snapshot(self, partition: int, body: bytes) -> bytes:
        await self._journal.save_snapshot(partition, _snapshot.decode(body))
        return b""

    async def _load_snapshots(self, partition: int, body: bytes) -> bytes:
        return encode(await self._journal.load_snapshots(partition))

    async def _write_dead_letter(self, partition: int, body: bytes) -> bytes:
        await self._journal.write_dead_letter(_letter.decode(body))
        return b""


def _failed(number: int, error: Exception) -> bytes:
    if isinstance(error, JournalError):
        return frame_of(Failed(number, type(error).__name__, str(error)[:WORDS_MAX]))
    return frame_of(Failed(number, JournalUnavailable.__name__, f"{type(error).__name__}: {error}"[:WORDS_MAX]))
