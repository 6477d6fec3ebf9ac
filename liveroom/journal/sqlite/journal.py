"""The embedded journal: one SQLite file, one process, durable.
Commands only pass through memory.

`events[p]` are rows of the file.
Appends are queued in the order of the calls, and the writer's thread commits them in groups.
Readers at the end of the log share a bounded window of typed entries.
Readers further behind read the file.
A command stays in memory until the record that answers it is durable.
"""

from __future__ import annotations

import asyncio
import sqlite3
from asyncio import Future
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from liveroom.config.schema import JournalConfig
from liveroom.journal.base import CommandBatch, DeadLetter, Journal, Snapshot, StoredEntry, write_future
from liveroom.journal.commands_log import CommandsLog
from liveroom.journal.sqlite.file import FILE_NAME, chain_before, read_entries, translated
from liveroom.journal.sqlite.lock import DirectoryLock
from liveroom.journal.sqlite.snapshots import get_parts, load, put_parts, save
from liveroom.journal.sqlite.start import Opened, open_file
from liveroom.journal.sqlite.writer import Committed, SqliteWriter, Tail
from liveroom.messages.errors import InvariantBroken, JournalDamaged, JournalUnavailable
from liveroom.protocol.records import Entry, Request, Takeover
from liveroom.telemetry.metrics import Metrics

__all__ = ["SqliteJournal"]

#: Newest entries that a partition keeps in memory for readers at the end of the log.
RECENT_ENTRIES_MAX = 2_048
#: Limit of these entries in bytes of JSON, over all partitions.
RECENT_BYTES_MAX = 64 * 1024 * 1024
#: Entries that a reader gets in one batch.
READ_ENTRIES_MAX = 256
#: Limit of a batch in bytes of JSON, for entries from the file.
READ_BYTES_MAX = 4 * 1024 * 1024
DEAD_LETTERS_KEPT = 10_000
#: Time for which a background reader collects entries: each wakeup of a reader costs more than an entry.
BACKGROUND_S = 0.05

T = TypeVar("T")


class SqliteJournal(Journal):
    """The embedded journal, made by `open`. One instance owns the data directory until `close`."""

    def __init__(self, path: Path, config: JournalConfig, metrics: Metrics, lock: DirectoryLock, opened: Opened) -> None:
        self.partitions = config.partitions
        self._identity = opened.identity
        self._path = path
        self._snapshots_kept = config.snapshots_kept
        self._lock = lock
        recent_bytes = RECENT_BYTES_MAX // config.partitions
        self._partitions = [_Partition(tail, config.commands_waiting_max, recent_bytes) for tail in opened.tails]
        self._damage: JournalDamaged | None = None
        self._damaged = asyncio.Event()
        self._writer = SqliteWriter(
            path, opened.writing, opened.tails, opened.mark, opened.watch, config.group_commit_records_max, metrics, self._committed, self._on_damage
        )
        self._reading = opened.reading
        self._read_thread = ThreadPoolExecutor(1, "journal-reader")
        self._closed = False

    @classmethod
    async def open(cls, data_dir: Path, config: JournalConfig, metrics: Metrics) -> SqliteJournal:
        """Open or make the journal in `data_dir`.

        Raises: `JournalLocked`, `JournalVersion`, `JournalMismatch`, `JournalDamaged`, `JournalUnavailable`.
        """
        path = data_dir / FILE_NAME
        lock = DirectoryLock(data_dir)
        try:
            opened = await asyncio.to_thread(open_file, path, config.partitions)
        except BaseException:
            lock.release()
            raise
        return cls(path, config, metrics, lock, opened)

    async def until_damaged(self) -> JournalDamaged:
        await self._damaged.wait()
        assert self._damage is not None
        return self._damage

    @property
    def identity(self) -> str:
        return self._identity.journal_id

    def incarnation(self, partition: int) -> str:
        return self._identity.incarnation

    async def send_commands(self, partition: int, requests: Sequence[Request]) -> None:
        self._must_be_whole()
        self._partitions[partition].commands.append(requests)

    def read_commands(self, partition: int, offset: int) -> AsyncGenerator[CommandBatch]:
        return self._partitions[partition].commands.read(offset)

    def append(self, partition: int, entry: Entry) -> Future[int]:
        if self._closed:
            future = write_future()
            future.set_exception(_closed())
            return future
        return self._writer.append(partition, entry)

    def read_events(self, partition: int, offset: int) -> AsyncGenerator[StoredEntry]:
        return self._follow(partition, offset, 0.0)

    def read_events_in_background(self, partition: int, offset: int) -> AsyncGenerator[StoredEntry]:
        return self._follow(partition, offset, BACKGROUND_S)

    async def _follow(self, partition: int, offset: int, collect_s: float) -> AsyncGenerator[StoredEntry]:
        """Give the entries from `offset` on. At the end of the log, wait for news and then for `collect_s`, in which more may come."""
        source = self._partitions[partition]
        while True:
            self._must_be_open()
            if offset >= source.end:
                await source.news.wait()
                if collect_s:
                    await asyncio.sleep(collect_s)
                continue
            entries = source.recent(offset, READ_ENTRIES_MAX)
            if not entries:
                end = min(source.end, offset + READ_ENTRIES_MAX)
                entries = await self._read(self._read_some, partition, offset, end)
            for stored in entries:
                yield stored
            offset += len(entries)

    async def events_end(self, partition: int) -> int:
        self._must_be_open()
        return self._partitions[partition].end

    async def _put_parts(self, partition: int, parts: Sequence[tuple[str, bytes]]) -> list[int]:
        return await self._write(put_parts, partition, [body for _, body in parts])

    async def _get_parts(self, partition: int, places: Sequence[int]) -> list[bytes | None]:
        return await self._read(get_parts, partition, places)

    async def save_snapshot(self, partition: int, snapshot: Snapshot) -> None:
        await self._write(save, partition, snapshot, self._snapshots_kept, self._chain_before)

    async def load_snapshots(self, partition: int) -> list[Snapshot]:
        return await self._read(load, partition, self._chain_before)

    async def write_dead_letter(self, letter: DeadLetter) -> None:
        await self._write(_put_letter, letter)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for partition in self._partitions:
            partition.commands.close()
        await asyncio.get_running_loop().run_in_executor(self._read_thread, self._reading.close)
        self._read_thread.shutdown()
        await asyncio.to_thread(self._writer.stop)  # It closes last, which copies the write-ahead log into the file.
        for partition in self._partitions:
            partition.ring()
        self._lock.release()

    def _committed(self, committed: Sequence[Committed]) -> None:
        for item in committed:
            self._partitions[item.partition].add(item)
        for partition in {item.partition for item in committed}:
            self._partitions[partition].ring()

    def _chain_before(self, connection: sqlite3.Connection, partition: int, offset: int) -> bytes:
        return chain_before(connection, self._path, self._identity, partition, offset)

    def _read_some(self, connection: sqlite3.Connection, partition: int, start: int, end: int) -> list[StoredEntry]:
        chain = self._chain_before(connection, partition, start)
        some = read_entries(connection, self._path, partition, start, end, chain, bytes_max=READ_BYTES_MAX)
        return [StoredEntry(past.offset, past.entry) for past in some]

    def _on_damage(self, damage: JournalDamaged) -> None:
        """Stop accepting, writing and reading, and end `until_damaged`."""
        if self._damage is None:
            self._damage = damage
            self._writer.give_up(damage)
            self._damaged.set()

    async def _write(self, work: Callable[..., T], *args: object) -> T:
        self._must_be_open()
        return await self._writer.run(lambda connection: work(connection, *args))

    async def _read(self, work: Callable[..., T], *args: object) -> T:
        self._must_be_open()

        def call() -> T:
            with translated(self._path):
                return work(self._reading, *args)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._read_thread, call)
        except JournalDamaged as damage:
            self._on_damage(damage)
            raise

    def _must_be_open(self) -> None:
        if self._closed:
            raise _closed()
        self._must_be_whole()

    def _must_be_whole(self) -> None:
        if self._damage is not None:
            raise JournalDamaged(str(self._damage))


class _Partition:
    """The event loop's view of a partition: its end, its newest entries and its commands."""

    def __init__(self, tail: Tail, commands_waiting_max: int, recent_bytes_max: int) -> None:
        self.end = tail.end
        self.commands = CommandsLog(tail.acceptance.next_command, commands_waiting_max)
        self.news = asyncio.Event()
        self._recent: list[StoredEntry] = []
        self._sizes: list[int] = []
        self._bytes = 0
        self._bytes_max = recent_bytes_max

    def add(self, item: Committed) -> None:
        """Add a durable entry."""
        stored = item.stored
        if stored.offset != self.end:
            raise InvariantBroken("entries are reported in order, without gaps")
        self.end += 1
        self._recent.append(stored)
        self._sizes.append(item.size)
        self._bytes += item.size
        self._shrink()
        if item.accepted:
            assert not isinstance(stored.entry, Takeover)
            self.commands.trim(stored.entry.to)

    def recent(self, offset: int, count: int) -> list[StoredEntry]:
        """Up to `count` entries from `offset` on; an empty list if they are no longer in memory."""
        start = offset - (self.end - len(self._recent))
        return self._recent[start : start + count] if start >= 0 else []

    def ring(self) -> None:
        """Wake the waiting readers."""
        self.news.set()
        self.news = asyncio.Event()

    def _shrink(self) -> None:
        while len(self._recent) > RECENT_ENTRIES_MAX or self._bytes > self._bytes_max:
            gone = max(1, len(self._recent) // 8)  # many at once, because removing from the front of a list moves the rest
            self._bytes -= sum(self._sizes[:gone])
            del self._recent[:gone], self._sizes[:gone]


def _put_letter(connection: sqlite3.Connection, letter: DeadLetter) -> None:
    cursor = connection.execute(
        "INSERT INTO dead_letters (partition, offset, time_ms, reason, payload) VALUES (?, ?, ?, ?, ?)",
        (letter.partition, letter.offset, letter.time_ms, letter.reason, letter.payload),
    )
    connection.execute("DELETE FROM dead_letters WHERE id <= ?", ((cursor.lastrowid or 0) - DEAD_LETTERS_KEPT,))


def _closed() -> JournalUnavailable:
    return JournalUnavailable("the journal is closed")
