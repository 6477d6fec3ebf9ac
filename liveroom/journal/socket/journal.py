"""A journal that the main process of this machine serves over a Unix socket.

How it works:

1. One task keeps a connection. While there is none, every call raises `JournalUnavailable`, and `unreachable` names all partitions.
2. A call waits for the answer with its number. If the connection ends first, a read raises `JournalUnavailable`,
   and a write raises `WriteUnknown`, because the other process may have done it.
3. A stream buffers what has come. It grants more only when its reader has taken items, so its buffer has a limit.
4. The main process may end and start again. The connection comes back by itself, and readers begin again where they were.
   If the journal behind it is another one then, this one is damaged for good: its process has to start again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
from asyncio import Future, StreamReader, StreamWriter
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from liveroom import __version__
from liveroom.journal.base import CommandBatch, DeadLetter, Journal, Snapshot, StoredEntry, write_future
from liveroom.journal.socket.frames import (
    PROTOCOL_VERSION,
    STREAM_BYTES_MAX,
    Call,
    Failed,
    FromServer,
    Grant,
    Item,
    Open,
    Result,
    Stop,
    Welcome,
    frame_of,
    read_frame,
    unix_address,
)
from liveroom.messages.errors import JournalDamaged, JournalError, JournalFull, JournalUnavailable, LiveroomError, WriteUnknown
from liveroom.protocol.codec import decode_entry, encode
from liveroom.protocol.records import Entry, Request

__all__ = ["SocketJournal"]

log = logging.getLogger(__name__)

#: Pause before the next attempt to connect.
CONNECT_AGAIN_S: Final = 0.1
#: Time for the answers to writes when the journal closes. A process with the journal that stands still gives none.
CLOSE_S: Final = 5.0
#: Bytes that may wait to be written to the socket. More calls raise `JournalUnavailable`.
UNSENT_BYTES_MAX: Final = 128 * 1024 * 1024
#: A reader grants what it has taken once it is this much.
GRANT_BYTES: Final = STREAM_BYTES_MAX // 4

_messages: Final = msgspec.msgpack.Decoder(FromServer)
_offset: Final = msgspec.json.Decoder(int)
_places: Final = msgspec.json.Decoder(list[int])
_bodies: Final = msgspec.msgpack.Decoder(list[bytes | None])
_snapshots: Final = msgspec.json.Decoder(list[Snapshot])
_batch: Final = msgspec.json.Decoder(CommandBatch)


class _Stream:
    """Items that have come and were not taken, and the error that ends the stream."""

    def __init__(self) -> None:
        self.items: deque[Item] = deque()
        self.error: JournalError | None = None
        self.news = asyncio.Event()

    def fail(self, error: JournalError) -> None:
        self.error = self.error or error
        self.news.set()


class _Pending:
    """A call without an answer."""

    def __init__(self, future: Future[bytes], *, writes: bool) -> None:
        self.future = future
        self.writes = writes


class SocketJournal(Journal):
    """A client of `JournalServer`, made by `open`."""

    shared = True

    def __init__(self, path: Path, settings: str, alone_s: float) -> None:
        self._path = path
        self._settings = settings
        self._alone_s = alone_s
        self._numbers = itertools.count()
        self._pending: dict[int, _Pending] = {}
        self._streams: dict[int, _Stream] = {}
        self._writer: StreamWriter | None = None
        self._welcome: Welcome | None = None
        self._closed = False
        self._connected = asyncio.Event()
        self._damage: Future[JournalDamaged] = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(self._keep_connected())

    @classmethod
    async def open(cls, path: Path, *, wait_s: float, settings: str = "", alone_s: float = math.inf) -> SocketJournal:
        """Connect to the socket at `path`. The journal counts as damaged after `alone_s` without a server.

        Raises `JournalUnavailable` after `wait_s`, `JournalDamaged` for a server with another version or other `settings`.
        """
        journal = cls(path, settings, alone_s)
        connected = asyncio.create_task(journal._connected.wait())
        await asyncio.wait((connected, journal._damage), timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        connected.cancel()
        if not journal._connected.is_set():
            await journal.close()
            raise journal._damage.result() if journal._damage.done() else JournalUnavailable(f"{path}: no process serves the journal")
        return journal

    def incarnation(self, partition: int) -> str:
        assert self._welcome is not None
        return self._welcome.incarnations[partition]

    @property
    def unreachable(self) -> frozenset[int]:
        return frozenset() if self._connected.is_set() else frozenset(range(self.partitions))

    async def until_damaged(self) -> JournalDamaged:
        return await asyncio.shield(self._damage)

    # The connection

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        lost_at = loop.time()
        while True:
            with contextlib.suppress(OSError):
                with unix_address(self._path) as address:
                    reader, writer = await asyncio.open_unix_connection(address)
                try:
                    await self._serve(reader, writer)
                except (ValueError, LiveroomError) as error:  # msgspec raises these, too
                    log.warning("the process with the journal sent something that is no message", extra={"error": str(error)})
                finally:
                    if self._connected.is_set():
                        lost_at = loop.time()
                    writer.transport.abort()
                    self._on_lost()
            if loop.time() - lost_at > self._alone_s and not self._damage.done():
                self._damage.set_result(JournalDamaged(f"the process with the journal has been away for {self._alone_s:g} s"))
            if self._damage.done():
                return
            await asyncio.sleep(CONNECT_AGAIN_S)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        body = await read_frame(reader)
        welcome = _messages.decode(body) if body is not None else None
        if not isinstance(welcome, Welcome):
            return
        if fault := self._unfit(welcome):
            self._damage.set_result(JournalDamaged(fault))
            return
        self._welcome, self.partitions = welcome, len(welcome.incarnations)
        self._writer = writer
        self._connected.set()
        while (body := await read_frame(reader)) is not None:
            self._take(_messages.decode(body))

    def _unfit(self, welcome: Welcome) -> str:
        """The reason why this process cannot use the journal of the other one; empty if it can."""
        if (welcome.version, welcome.protocol) != (__version__, PROTOCOL_VERSION):
            return f"the process with the journal is liveroom {welcome.version}, and this one is {__version__}"
        if welcome.settings != self._settings:
            return "the process with the journal has other settings"
        before = self._welcome
        if before is not None and (before.identity, before.incarnations) != (welcome.identity, welcome.incarnations):
            return "another journal has taken the place of the one that this process has read"
        return ""

    def _take(self, message: FromServer) -> None:
        if isinstance(message, Item):
            if stream := self._streams.get(message.number):
                stream.items.append(message)
                stream.news.set()
        elif isinstance(message, Result):
            if (pending := self._pending.pop(message.number, None)) and not pending.future.done():
                pending.future.set_result(message.body)
        elif isinstance(message, Failed):
            error = _error_of(message)
            if (pending := self._pending.pop(message.number, None)) and not pending.future.done():
                pending.future.set_exception(error)
            if stream := self._streams.get(message.number):
                stream.fail(error)

    def _on_lost(self) -> None:
        """Fail everything that waits for the connection."""
        self._connected.clear()
        self._writer = None
        words = "the journal is closed" if self._closed else "the process with the journal does not answer"
        pending, self._pending = self._pending, {}
        for one in pending.values():
            if not one.future.done():
                one.future.set_exception(WriteUnknown(f"{words}; the write may have happened") if one.writes else JournalUnavailable(words))
        for stream in self._streams.values():
            stream.fail(JournalUnavailable(words))

    def _write(self, message: msgspec.Struct) -> None:
        """Send a message. Raises `JournalUnavailable`; nothing was sent then."""
        if self._closed:
            raise JournalUnavailable("the journal is closed")
        if self._writer is None:
            raise JournalUnavailable("the process with the journal does not answer")
        if self._writer.transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            raise JournalUnavailable("the process with the journal reads too slowly")
        self._writer.write(frame_of(message))

    def _call(self, operation: str, partition: int, body: bytes = b"", *, writes: bool = False) -> Future[bytes]:
        """Send a call. Raises `JournalUnavailable`; nothing was sent then."""
        number = next(self._numbers)
        self._write(Call(number, operation, partition, body))
        future: Future[bytes] = asyncio.get_running_loop().create_future()
        self._pending[number] = _Pending(future, writes=writes)
        return future

    # The interface

    async def send_commands(self, partition: int, requests: Sequence[Request]) -> None:
        await self._call("send_commands", partition, encode(requests), writes=True)

    async def read_commands(self, partition: int, offset: int) -> AsyncGenerator[CommandBatch]:
        async with contextlib.aclosing(self._follow("commands", partition, offset)) as items:
            async for item in items:
                yield _batch.decode(item.body)

    def append(self, partition: int, entry: Entry) -> Future[int]:
        future = write_future()
        try:
            answer = self._call("append", partition, encode(entry), writes=True)
        except JournalUnavailable as error:
            future.set_exception(error)
            return future

        def answered(done: Future[bytes]) -> None:
            if future.done():
                done.exception()  # the caller has given up; the entry may be there
            elif error := done.exception():
                future.set_exception(error)
            else:
                future.set_result(_offset.decode(done.result()))

        answer.add_done_callback(answered)
        return future

    def read_events(self, partition: int, offset: int) -> AsyncGenerator[StoredEntry]:
        return self._read_events("events", partition, offset)

    def read_events_in_background(self, partition: int, offset: int) -> AsyncGenerator[StoredEntry]:
        return self._read_events("events_in_background", partition, offset)

    async def _read_events(self, name: str, partition: int, offset: int) -> AsyncGenerator[StoredEntry]:
        async with contextlib.aclosing(self._follow(name, partition, offset)) as items:
            async for item in items:
                yield StoredEntry(item.offset, decode_entry(item.body))

    async def _follow(self, name: str, partition: int, offset: int) -> AsyncGenerator[Item]:
        number = next(self._numbers)
        self._write(Open(number, name, partition, offset))
        stream = self._streams[number] = _Stream()
        taken = 0
        try:
            while True:
                if stream.items:
                    item = stream.items.popleft()
                    yield item
                    taken += len(item.body)
                    if taken >= GRANT_BYTES and stream.error is None:
                        self._write(Grant(number, taken))
                        taken = 0
                elif stream.error is not None:
                    raise stream.error
                else:
                    stream.news.clear()
                    await stream.news.wait()
        finally:
            del self._streams[number]
            if stream.error is None:
                with contextlib.suppress(JournalUnavailable):
                    self._write(Stop(number))

    async def events_end(self, partition: int) -> int:
        return _offset.decode(await self._call("events_end", partition))

    async def _put_parts(self, partition: int, parts: Sequence[tuple[str, bytes]]) -> list[int]:
        bodies = msgspec.msgpack.encode([body for _, body in parts])
        return _places.decode(await self._call("put_parts", partition, bodies, writes=True))

    async def _get_parts(self, partition: int, places: Sequence[int]) -> list[bytes | None]:
        return _bodies.decode(await self._call("get_parts", partition, encode(list(places))))

    async def save_snapshot(self, partition: int, snapshot: Snapshot) -> None:
        await self._call("save_snapshot", partition, encode(snapshot), writes=True)

    async def load_snapshots(self, partition: int) -> list[Snapshot]:
        return _snapshots.decode(await self._call("load_snapshots", partition))

    async def write_dead_letter(self, letter: DeadLetter) -> None:
        await self._call("write_dead_letter", letter.partition, encode(letter), writes=True)

    async def assignments(self) -> AsyncGenerator[frozenset[int]]:
        """The main process alone owns partitions."""
        yield frozenset()
        await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        if self._closed:
            return
        if writes := [one.future for one in self._pending.values() if one.writes]:
            await asyncio.wait(writes, timeout=CLOSE_S)
        self._closed = True
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        self._on_lost()


#: Errors that the other process may name.
_ERRORS: Final = {kind.__name__: kind for kind in (JournalDamaged, JournalFull, JournalUnavailable, WriteUnknown)}


def _error_of(failed: Failed) -> JournalError:
    return _ERRORS.get(failed.error, JournalUnavailable)(failed.words)
