"""The one thread with the one writing connection: it commits in groups and knows what a failed write means.

How it works:

1. `append` queues an entry. The thread takes all queued entries, up to a limit, and commits them in one transaction. The futures get their
   offsets in the event loop after the commit.
2. A transaction that fails before COMMIT is rolled back: nothing was written (`JournalUnavailable`). A COMMIT on a full disk counts as
   well, because its commit frame was not written whole.
3. Any other failure of COMMIT may have left the commit frame in the write-ahead log, where a restart after a crash would apply it. The
   outcome is unknown (`WriteUnknown`).
4. After every failure the thread opens a new connection and reads the end of each partition before the next write. Entries that it finds
   there are durable for good. All others are overwritten by that write.

The order has no gaps.
When entries could not be written, all entries queued behind them fail in the same turn of the event loop.
Later appends are tried again.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import sqlite3
import threading
import time
from asyncio import Future
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.base import PastEntry, StoredEntry, write_future
from liveroom.journal.chain import chained
from liveroom.journal.sqlite.file import check_pages_of_small, connect, events_end, head_chain, read_entries, translate
from liveroom.journal.sqlite.mark import Head, Mark
from liveroom.journal.sqlite.watch import FileWatch
from liveroom.messages.errors import JournalDamaged, JournalUnavailable, WriteUnknown
from liveroom.protocol.codec import encode
from liveroom.protocol.records import Entry
from liveroom.telemetry.metrics import Metrics

__all__ = ["Committed", "SqliteWriter", "Tail"]

logger = logging.getLogger(__name__)

#: Limit of the entries in one commit, in bytes of JSON.
COMMIT_BYTES_MAX = 16 * 1024 * 1024
#: Pause between two looks at the files while nothing is written.
WATCH_S = 1.0
#: A checkpoint runs when the write-ahead log holds about this many pages, which is SQLite's own default.
CHECKPOINT_PAGES = 1_000
#: Pages that a commit writes: of the table, its index, and their inner nodes. Then the bytes of entries that fill one more page.
PAGES_A_COMMIT = 4
PAGE_BODY_BYTES = 4_000
#: The files are checked before a commit unless the last look is more recent than this. A look costs as much as a commit's own work.
LOOKED_S = 0.005

T = TypeVar("T")


class _Append(Struct, frozen=True, eq=False):
    """An entry on its way to the file."""

    partition: int
    entry: Entry
    body: bytes
    future: Future[int]


class Committed(Struct, frozen=True):
    """A durable entry; `future` is its caller's, if it has one."""

    partition: int
    stored: StoredEntry
    accepted: bool
    size: int
    future: Future[int] | None


class Tail(Struct):
    """The end of a partition: the next offset, the acceptance rule's state, and the chain value."""

    partition: int
    end: int
    acceptance: Acceptance
    chain: bytes

    def add(self, entry: Entry, body: bytes) -> tuple[int, Verdict]:
        """Give the entry the next offset, judge it and chain it."""
        offset = self.end
        self.end += 1
        self.chain = chained(self.chain, self.partition, offset, body)
        return offset, self.acceptance.judge(offset, entry)

    def copy(self) -> Tail:
        """An independent copy."""
        return Tail(self.partition, self.end, self.acceptance.copy(), self.chain)

    @property
    def head(self) -> Head:
        """The mark's entry for this partition."""
        return Head(self.end, self.chain)


class _Job(Struct, frozen=True, eq=False):
    work: Callable[[sqlite3.Connection], Any]
    future: Future[Any]


class SqliteWriter:
    """The writer's thread and its queue.
    It takes work from the event loop in the order of the calls.

    `on_committed` runs in the loop, before the futures of its entries.
    `on_damage` runs there once, and nothing is written after that.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        tails: list[Tail],
        mark: Mark,
        watch: FileWatch,
        records_max: int,
        metrics: Metrics,
        on_committed: Callable[[Sequence[Committed]], None],
        on_damage: Callable[[JournalDamaged], None],
    ) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = connection
        self._tails = tails
        self._mark = mark
        self._watch = watch
        self._mark_seen = time.monotonic()  # when the mark was checked last
        self._looked = 0.0
        self._pages = 0  # estimated pages in the write-ahead log that are not in the database
        self._damage: JournalDamaged | None = None
        self._on_damage = on_damage
        self._records_max = records_max
        self._metrics = metrics
        self._on_committed = on_committed
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Append | _Job] = deque()
        self._notify_is_due = False
        self._stopping = False
        self._filled = threading.Condition()  # guards the queue and _stopping
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def append(self, partition: int, entry: Entry) -> Future[int]:
        """Queue an entry. The engines limit how many steps may be in flight."""
        future = write_future()
        self._put(_Append(partition, entry, encode(entry), future))
        return future

    def run(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue a transaction of its own."""
        future: Future[T] = self._loop.create_future()
        self._put(_Job(work, future))
        return future

    def stop(self) -> None:
        """Write the queued work and end the thread. Blocks until then, so never call it in the loop."""
        with self._filled:
            self._stopping = True
            self._filled.notify()
        self._thread.join()

    def _put(self, item: _Append | _Job) -> None:
        with self._filled:
            self._queue.append(item)
        if not self._notify_is_due:
            self._notify_is_due = True
            self._loop.call_soon(self._notify)

    def _notify(self) -> None:
        """Wake the thread once for all work of one turn of the loop. Each switch of threads costs more than the rest of a small commit."""
        self._notify_is_due = False
        with self._filled:
            self._filled.notify()

    def give_up(self, damage: JournalDamaged) -> None:
        """Stop writing: all queued and later work fails. Any thread may call it."""
        self._damage = self._damage or damage

    def _run(self) -> None:
        try:
            while (work := self._next()) is not None:
                try:
                    if isinstance(work, _Job):
                        self._do(work)
                    elif work:
                        self._commit(work)
                    else:
                        self._look_idle()
                    self._keep_mark()
                except Exception as error:  # a thread that ends silently would leave all callers waiting
                    logger.exception("the journal's writer failed")
                    self._give_up(JournalDamaged(f"{self._path}: the journal's writer failed ({type(error).__name__}: {error})"))
        finally:
            self._drop_connection()
            self._mark.close()

    def _next(self) -> _Job | list[_Append] | None:
        """The next work: an empty list after a while without any, `None` at the end."""
        with self._filled:
            while not self._queue and not self._stopping:
                if not self._filled.wait(WATCH_S):
                    return []
            if not self._queue:
                return None
            appends: list[_Append] = []
            size = 0
            while self._queue and len(appends) < self._records_max and size < COMMIT_BYTES_MAX:
                item = self._queue[0]
                if isinstance(item, _Job):
                    if not appends:
                        self._queue.popleft()
                        return item
                    break
                self._queue.popleft()
                appends.append(item)
                size += len(item.body)
            return appends

    def _do(self, job: _Job) -> None:
        try:
            result = self._transaction(job.work)
        except Exception as error:
            self._tell(_fail, job.future, error)
        else:
            self._tell(_succeed, job.future, result)
            self._checkpoint()  # such work is rare and may be large

    def _commit(self, appends: list[_Append]) -> None:
        started = time.perf_counter()
        try:
            tails, committed = self._transaction(lambda connection: self._insert(connection, appends))
        except Exception as error:
            logger.warning("entries could not be written", extra={"entries": len(appends), "error": str(error)})
            told = threading.Event()  # until then the thread must take nothing from the queue
            if self._tell(self._break, appends, error, told):
                told.wait()
            return
        for partition, tail in tails.items():
            self._tails[partition] = tail
        self._mark.note((partition, tail.head) for partition, tail in tails.items())
        self._metrics.journal_commit_seconds.observe(time.perf_counter() - started)
        self._metrics.journal_commit_records.observe(len(committed))
        self._tell(self._publish, committed)
        self._pages += PAGES_A_COMMIT + sum(len(append.body) for append in appends) // PAGE_BODY_BYTES
        if self._pages >= CHECKPOINT_PAGES:
            self._checkpoint()

    def _publish(self, committed: Sequence[Committed]) -> None:
        self._on_committed(committed)
        for item in committed:
            if item.future:
                _succeed(item.future, item.stored.offset)

    def _break(self, appends: list[_Append], error: Exception, told: threading.Event) -> None:
        with self._filled:
            behind = [item for item in self._queue if isinstance(item, _Append)]
            self._queue = deque(item for item in self._queue if isinstance(item, _Job))
        for append in appends:
            _fail(append.future, copy.copy(error))
        for append in behind:
            _fail(append.future, JournalUnavailable("nothing was written: an entry that was appended before could not be"))
        told.set()

    def _insert(self, connection: sqlite3.Connection, appends: list[_Append]) -> tuple[dict[int, Tail], list[Committed]]:
        tails: dict[int, Tail] = {}
        rows = []
        committed = []
        for append in appends:
            partition, entry, body = append.partition, append.entry, append.body
            tail = tails.get(partition) or tails.setdefault(partition, self._tails[partition].copy())
            offset, verdict = tail.add(entry, body)
            rows.append((partition, offset, verdict.value, tail.chain, body))
            committed.append(Committed(partition, StoredEntry(offset, entry), verdict is Verdict.accepted, len(body), append.future))
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, CAST(? AS TEXT))", rows)
        return tails, committed

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in one transaction. Raises `JournalUnavailable`, `JournalDamaged`, `WriteUnknown`, or what `work` raises."""
        if self._damage is not None:
            raise JournalDamaged(str(self._damage))
        try:
            if time.monotonic() - self._looked > LOOKED_S:
                self._look()
            result = self._try_transaction(work)
        except JournalDamaged as damage:
            self._give_up(damage)
            raise
        return result

    def _checkpoint(self) -> None:
        """Copy the write-ahead log into the database.

        This process writes that file at no other time, so any other change comes from another program.
        """
        self._pages = 0
        try:
            self._look()
            if self._connection is not None:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except JournalDamaged as damage:
            self._give_up(damage)
        except sqlite3.Error as error:  # the log grows until the next try
            logger.warning("the write-ahead log could not be copied into the database", extra={"error": str(error)})
        else:
            self._watch.wrote()

    def _give_up(self, damage: JournalDamaged) -> None:
        """Report damage.

        The connection stays open until the end: closing the last one copies the content of a removed write-ahead log into the file.
        """
        self.give_up(damage)
        self._tell(self._on_damage, damage)

    def _try_transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection = self._connection or self._connect_again()
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
        except sqlite3.Error as error:
            self._drop_connection()
            raise translate(error, self._path) from error
        except BaseException:
            self._drop_connection()
            raise
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._drop_connection()
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
                raise translate(error, self._path) from error
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            raise WriteUnknown(f"{self._path}: COMMIT failed, its outcome is unknown: {error} ({name})") from error
        return result

    def _look(self) -> None:
        """Check that the files are still those that the next start will open. Raises `JournalDamaged` when they are not."""
        self._looked = time.monotonic()
        if words := self._watch.look():
            raise JournalDamaged(f"{words}; this process cannot go on, and acknowledges nothing any more")
        if self._watch.wal_cut or self._watch.overwritten:
            self._check_files(pages=self._watch.overwritten)

    def _check_files(self, *, pages: bool) -> None:
        """Check the files after another program truncated the log or wrote the database.

        If it copied the log into the database, all is well; otherwise entries are missing.
        """
        try:
            connection = connect(self._path, "ro")
            try:
                if pages:
                    check_pages_of_small(connection, self._path)
                for tail in self._tails:
                    self._must_continue(connection, tail)
            finally:
                connection.close()
            self._watch.wal_cut = self._watch.overwritten = False
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_CANTOPEN:
                return  # for example, no file descriptor is left: the next look tries again
            what = f"{self._path}: was written over" if pages else f"{self._path}-wal: was cut"
            raise JournalDamaged(f"{what} while it was in use ({error}); this process cannot go on") from error

    def _look_idle(self) -> None:
        if self._damage is None:
            try:
                self._look()
            except JournalDamaged as damage:
                self._give_up(damage)

    def _keep_mark(self) -> None:
        """Write the mark again when somebody removed it. Checks once in `WATCH_S`, however busy the writer is."""
        now = time.monotonic()
        if self._damage is None and now - self._mark_seen >= WATCH_S:
            self._mark_seen = now
            if self._mark.is_replaced:
                self._give_up(JournalDamaged(f"{self._mark.path}: was replaced while it was in use: another process writes here, too"))
            elif not self._mark.is_there:
                logger.warning("the journal's mark was removed; it is written again")
                self._mark = self._mark.again(tail.head for tail in self._tails)

    def _connect_again(self) -> sqlite3.Connection:
        """Open a new connection after a failure. Entries that turn out to be in the file are reported as committed."""
        connection = connect(self._path, "rw")
        try:
            for partition, tail in enumerate(self._tails):
                end = self._must_continue(connection, tail)
                found = list(read_entries(connection, self._path, partition, tail.end, end, tail.chain))
                if found:
                    self._tell(self._publish, [_found(partition, stored, tail) for stored in found])
                    self._mark.note([(partition, tail.head)])
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _must_continue(self, connection: sqlite3.Connection, tail: Tail) -> int:
        """The end of a partition, which must equal or continue the written entries. Raises `JournalDamaged`."""
        end = events_end(connection, tail.partition)
        if end < tail.end:
            raise JournalDamaged(f"{self._path}: partition {tail.partition} ends at {end}, but {tail.end} entries had been written; restore the file")
        if tail.end and head_chain(connection, tail.partition, tail.end) != tail.chain:
            raise JournalDamaged(
                f"{self._path}: entry {tail.end - 1} of partition {tail.partition} is not the one that was written; restore the file"
            )
        return end

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            try:
                connection.close()  # rolls back
            except sqlite3.Error as error:
                logger.warning("the connection could not be closed", extra={"error": str(error)})

    def _tell(self, callback: Callable[..., None], *args: Any) -> bool:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            logger.warning("the event loop ended before the journal was closed")
            return False
        return True


def _found(partition: int, stored: PastEntry, tail: Tail) -> Committed:
    body = stored.body or b""
    _, verdict = tail.add(stored.entry, body)
    return Committed(partition, StoredEntry(stored.offset, stored.entry), verdict is Verdict.accepted, len(body), None)


def _succeed(future: Future[T], result: T) -> None:
    if not future.done():  # the caller may have given up
        future.set_result(result)


def _fail(future: Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
