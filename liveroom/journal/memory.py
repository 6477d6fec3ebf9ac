"""The journal in memory: for tests, simulation and trials. It keeps everything and forgets it at exit."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from asyncio import Future
from collections import deque
from collections.abc import AsyncGenerator, Sequence

from liveroom.config.schema import JournalConfig
from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.base import CommandBatch, DeadLetter, Journal, Snapshot, StoredEntry, decode_gone, write_future
from liveroom.journal.commands_log import CommandsLog
from liveroom.messages.errors import JournalUnavailable
from liveroom.protocol.records import Entry, Request, Takeover

__all__ = ["MemoryJournal"]

DEAD_LETTERS_MAX = 1_000


class MemoryJournal(Journal):
    """One process, no files; an entry counts as durable one turn of the event loop after `append`."""

    def __init__(self, config: JournalConfig) -> None:
        self.partitions = config.partitions
        self.dead_letters: deque[DeadLetter] = deque(maxlen=DEAD_LETTERS_MAX)
        self._partitions = [_Partition(config) for _ in range(config.partitions)]
        self._identity = secrets.token_hex(8)
        self._closed = False

    @property
    def identity(self) -> str:
        return self._identity

    async def send_commands(self, partition: int, requests: Sequence[Request]) -> None:
        self._partitions[partition].commands.append(requests)

    def read_commands(self, partition: int, offset: int) -> AsyncGenerator[CommandBatch]:
        return self._partitions[partition].commands.read(offset)

    def append(self, partition: int, entry: Entry) -> Future[int]:
        return self._partitions[partition].append(entry)

    def read_events(self, partition: int, offset: int) -> AsyncGenerator[StoredEntry]:
        return self._partitions[partition].read(offset)

    async def events_end(self, partition: int) -> int:
        self._must_be_open()
        return len(self._partitions[partition].entries)

    async def _put_parts(self, partition: int, parts: Sequence[tuple[str, bytes]]) -> list[int]:
        self._must_be_open()
        return self._partitions[partition].put_parts([body for _, body in parts])

    async def _get_parts(self, partition: int, places: Sequence[int]) -> list[bytes | None]:
        self._must_be_open()
        return [self._partitions[partition].parts.get(place) for place in places]

    async def save_snapshot(self, partition: int, snapshot: Snapshot) -> None:
        self._must_be_open()
        self._partitions[partition].save(snapshot)

    async def load_snapshots(self, partition: int) -> list[Snapshot]:
        self._must_be_open()
        return list(self._partitions[partition].snapshots)

    async def write_dead_letter(self, letter: DeadLetter) -> None:
        self._must_be_open()
        self.dead_letters.append(letter)

    async def close(self) -> None:
        self._closed = True
        for partition in self._partitions:
            partition.close()

    def _must_be_open(self) -> None:
        if self._closed:
            raise JournalUnavailable("the journal is closed")


class _Partition:
    def __init__(self, config: JournalConfig) -> None:
        self.commands = CommandsLog(0, config.commands_waiting_max)
        self.entries: list[StoredEntry] = []
        self.snapshots: list[Snapshot] = []  # newest first
        self.parts: dict[int, bytes] = {}
        self._places = itertools.count()
        self._snapshots_kept = config.snapshots_kept
        self._acceptance = Acceptance()
        self._pending: list[tuple[Entry, Future[int]]] = []
        self._news = asyncio.Event()
        self._closed = False

    def append(self, entry: Entry) -> Future[int]:
        loop = asyncio.get_running_loop()
        future = write_future()
        if self._closed:
            future.set_exception(JournalUnavailable("the journal is closed"))
            return future
        if not self._pending:
            loop.call_soon(self._commit)
        self._pending.append((entry, future))
        return future

    async def read(self, offset: int) -> AsyncGenerator[StoredEntry]:
        while True:
            if self._closed:
                raise JournalUnavailable("the journal is closed")
            if offset < len(self.entries):
                yield self.entries[offset]
                offset += 1
            else:
                await self._news.wait()

    def put_parts(self, bodies: Sequence[bytes]) -> list[int]:
        places = [next(self._places) for _ in bodies]
        self.parts.update(zip(places, bodies, strict=True))
        return places

    def save(self, snapshot: Snapshot) -> None:
        """Store a snapshot. Parts of unfinished snapshots stay until the process ends."""
        older = [other for other in self.snapshots if other.offset <= snapshot.before]
        self.snapshots = [snapshot, *older][: self._snapshots_kept]
        for listed in self.snapshots[-1].gone:
            for part in decode_gone(self.parts.get(listed.place, b"[]")):
                self.parts.pop(part.place, None)

    def close(self) -> None:
        self._commit()
        self._closed = True
        self.commands.close()
        self._news.set()

    def _commit(self) -> None:
        pending, self._pending = self._pending, []
        for entry, future in pending:
            offset = len(self.entries)
            if self._acceptance.judge(offset, entry) is Verdict.accepted:
                assert not isinstance(entry, Takeover)
                self.commands.trim(entry.to)
            self.entries.append(StoredEntry(offset, entry))
            if not future.done():  # the caller may have given up
                future.set_result(offset)
        if pending:
            self._news.set()
            self._news = asyncio.Event()
