"""The one thread with the one connection that writes: group commit, and what a failed write means.

A transaction that fails before COMMIT was rolled back: nothing was written (`JournalUnavailable`). The same
holds for a COMMIT that found the disk full: the frame that would commit was not written whole. Any other
failure of COMMIT may have left that frame in the write-ahead log, where a crash would bring it to life:
nobody can know (`WriteUnknown`). After every failure the connection is opened anew and the end of each
partition is read again before the next write: what is there then is there for good, and what is not there
is overwritten by that write.

Order has no holes: when entries could not be written, every entry that is queued behind them fails with them,
in the same turn of the event loop. What is appended after that is tried again.
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

from liveroom.codec import encode
from liveroom.errors import JournalDamaged, JournalUnavailable, WriteUnknown
from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.base import StoredEntry
from liveroom.journal.sqlite_file import connect, events_end, read_entries, translate
from liveroom.messages.records import Claim, Entry
from liveroom.telemetry.metrics import Metrics

__all__ = ["Committed", "Tail", "Writer"]

logger = logging.getLogger(__name__)

#: Entries that one commit may hold, in bytes of JSON.
COMMIT_BYTES_MAX = 16 * 1024 * 1024

T = TypeVar("T")


class _Append(Struct, frozen=True, eq=False):
    """An entry on its way to the file."""

    partition: int
    entry: Entry
    body: bytes
    future: Future[int]


class Committed(Struct, frozen=True):
    """An entry that is durable; `future` is its caller's, if it has one."""

    partition: int
    stored: StoredEntry
    accepted: bool
    size: int
    future: Future[int] | None


class Tail(Struct):
    """Where a partition ends: the next offset, and how the next entry will be judged."""

    end: int
    acceptance: Acceptance

    def add(self, entry: Entry) -> tuple[int, Verdict]:
        """Give the entry the next offset and judge it."""
        offset = self.end
        self.end += 1
        return offset, self.acceptance.judge(offset, entry)

    def copy(self) -> Tail:
        """An independent copy."""
        return Tail(self.end, self.acceptance.copy())


class _Job(Struct, frozen=True, eq=False):
    work: Callable[[sqlite3.Connection], Any]
    future: Future[Any]


class Writer:
    """Takes work from the event loop in order of the calls; `on_committed` runs in the loop, before the futures of its entries."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        tails: list[Tail],
        records_max: int,
        metrics: Metrics,
        on_committed: Callable[[Sequence[Committed]], None],
    ) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = connection
        self._tails = tails
        self._records_max = records_max
        self._metrics = metrics
        self._on_committed = on_committed
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Append | _Job] = deque()
        self._stopping = False
        self._filled = threading.Condition()  # guards the queue and _stopping
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def append(self, partition: int, entry: Entry) -> Future[int]:
        """Queue an entry; as many may wait as the engines let steps be in flight."""
        future: Future[int] = self._loop.create_future()
        self._put(_Append(partition, entry, encode(entry), future))
        return future

    def run(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue a transaction of its own."""
        future: Future[T] = self._loop.create_future()
        self._put(_Job(work, future))
        return future

    def stop(self) -> None:
        """Write what is queued and end the thread; blocks until it has ended, so never call it in the loop."""
        with self._filled:
            self._stopping = True
            self._filled.notify()
        self._thread.join()

    def _put(self, item: _Append | _Job) -> None:
        with self._filled:
            self._queue.append(item)
            self._filled.notify()

    def _run(self) -> None:
        try:
            while work := self._next():
                if isinstance(work, _Job):
                    self._do(work)
                else:
                    self._commit(work)
        finally:
            self._drop_connection()

    def _next(self) -> _Job | list[_Append] | None:
        with self._filled:
            while not self._queue and not self._stopping:
                self._filled.wait()
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

    def _commit(self, appends: list[_Append]) -> None:
        started = time.perf_counter()
        try:
            tails, committed = self._transaction(lambda connection: self._insert(connection, appends))
        except Exception as error:
            logger.warning("entries could not be written", extra={"entries": len(appends), "error": str(error)})
            told = threading.Event()  # until then nothing of what is queued may be taken
            if self._tell(self._break, appends, error, told):
                told.wait()
            return
        for partition, tail in tails.items():
            self._tails[partition] = tail
        self._metrics.journal_commit_seconds.observe(time.perf_counter() - started)
        self._metrics.journal_commit_records.observe(len(committed))
        self._tell(self._publish, committed)

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
            offset, verdict = tail.add(entry)
            kind = "claim" if isinstance(entry, Claim) else "record"
            rows.append((partition, offset, kind, verdict.value, entry.time_ms, body))
            committed.append(Committed(partition, StoredEntry(offset, entry), verdict is Verdict.accepted, len(body), append.future))
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, CAST(? AS TEXT))", rows)
        return tails, committed

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in one transaction. Raises `JournalUnavailable`, `JournalDamaged`, `WriteUnknown`, or what `work` raises."""
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

    def _connect_again(self) -> sqlite3.Connection:
        """A new connection after a failure; entries that turn out to be in the file are reported as committed."""
        connection = connect(self._path, "rw")
        try:
            for partition, tail in enumerate(self._tails):
                end = events_end(connection, partition)
                if end < tail.end:
                    raise JournalDamaged(
                        f"{self._path}: partition {partition} ends at {end}, but {tail.end} entries had been written; restore the file"
                    )
                found = list(read_entries(connection, self._path, partition, tail.end, end))
                if found:
                    self._tell(self._publish, [_found(partition, stored, tail) for stored in found])
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

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


def _found(partition: int, stored: StoredEntry, tail: Tail) -> Committed:
    _, verdict = tail.add(stored.entry)
    return Committed(partition, stored, verdict is Verdict.accepted, len(encode(stored.entry)), None)


def _succeed(future: Future[T], result: T) -> None:
    if not future.done():  # its caller may have gone
        future.set_result(result)


def _fail(future: Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
