"""The SQLite file of the embedded journal: its tables, how it is opened and checked, and the meaning of its errors."""

from __future__ import annotations

import functools
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from liveroom.journal.base import PastEntry
from liveroom.journal.chain import chain_start, chained
from liveroom.messages.errors import BadMessage, JournalDamaged, JournalError, JournalMismatch, JournalUnavailable, JournalVersion
from liveroom.process.owner_only import FILE_MODE
from liveroom.protocol.codec import decode_entry
from liveroom.protocol.records import Entry

__all__ = [
    "FILE_NAME",
    "RESTORE_HINT",
    "SCHEMA_VERSION",
    "JournalIdentity",
    "begin_incarnation",
    "chain_before",
    "check_pages",
    "check_pages_of_small",
    "connect",
    "events_end",
    "head_chain",
    "holds_tables",
    "identity_of",
    "make_journal",
    "note_opening",
    "read_entries",
    "translate",
    "translated",
    "wal_of",
]

FILE_NAME = "journal.sqlite"
#: The remedy for a damaged file.
RESTORE_HINT = "restore a whole copy with `liveroom restore-journal FILE`"
#: Version 10: events of stock say whether their item is closed. A journal of another version is left unchanged.
SCHEMA_VERSION = 10

#: Time in seconds that a transaction waits for another program that writes to the file. No other program should.
BUSY_S = 5.0
#: The write-ahead log is truncated to this size after a checkpoint.
WAL_BYTES_KEPT = 64 * 1024 * 1024
INCARNATION_CHARS = 8
#: SQLite checks every page of a file up to this size at each start, which takes about a second. `liveroom audit` checks files of any size.
PAGES_CHECKED_BYTES_MAX = 256 * 1024 * 1024
#: Limit of the text that SQLite gives about damaged pages.
PAGE_WORDS_MAX = 200

_TABLES = """
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE events (
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    verdict TEXT NOT NULL,   -- takeover, accepted, or why every reader skips it
    chain BLOB NOT NULL,     -- hash over the chain before it, its place and its body
    body TEXT NOT NULL,      -- the entry as JSON; a column that is computed from it would be computed at each insert
    PRIMARY KEY (partition, offset)
);
CREATE TABLE snapshots (     -- written after its parts
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    parts_end INTEGER NOT NULL,  -- parts from this number on are not of this snapshot
    chain BLOB NOT NULL,     -- of the last entry that was folded
    hash TEXT NOT NULL,
    body TEXT NOT NULL,      -- the snapshot as JSON: it names its parts with their hashes
    time_ms INTEGER AS (json_extract(body, '$.time_ms'))
);
CREATE TABLE parts (         -- each is named by any number of snapshots, and goes with the last of them
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    partition INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX parts_of_partition ON parts (partition);
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    payload TEXT NOT NULL
);
CREATE VIEW room_events AS
    SELECT
        room.key AS room,
        json_extract(room.value, '$.from') + event.key AS seq,
        strftime('%Y-%m-%d %H:%M:%f', json_extract(events.body, '$.time_ms') / 1000.0, 'unixepoch') AS time,
        json_extract(event.value, '$.type') AS type,
        event.value AS event,
        json_extract(events.body, '$.time_ms') AS time_ms,
        events.partition, events.offset
    FROM events, json_each(events.body, '$.rooms') AS room, json_each(room.value, '$.events') AS event
    WHERE events.verdict = 'accepted';
"""


def connect(path: Path, mode: str, *, immutable: bool = False) -> sqlite3.Connection:
    """Open the file with SQLite's `mode` (ro, rw).
    The caller begins transactions.
    Raises `sqlite3.Error`.

    `immutable`: no program writes the file and it has no write-ahead log, so SQLite makes no files beside it.
    """
    address = f"{path.absolute().as_uri()}?mode={mode}{'&immutable=1' if immutable else ''}"
    connection = sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        if mode != "ro":
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = ON")  # on macOS, fsync alone does not reach the disk
            connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
            connection.execute("PRAGMA wal_autocheckpoint = 0")  # the writer checkpoints by itself: see `Writer`
    except BaseException:
        connection.close()
        raise
    return connection


class JournalIdentity(Struct, frozen=True):
    """The identity of this journal. The incarnation changes when an older copy replaces the journal."""

    journal_id: str
    partitions: int
    incarnation: str = ""

    @property
    def chain_text(self) -> str:
        """The text from which the hash chain starts."""
        return f"{self.journal_id} {self.partitions}"


def make_journal(path: Path, partitions: int) -> None:
    """Make a new journal in an empty file. Raises `sqlite3.Error`, `OSError`."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))  # SQLite gives its other files the same mode
    connection = connect(path, "rw")
    try:
        connection.execute("BEGIN IMMEDIATE")
        _make_tables(connection)
        made = {"schema_version": SCHEMA_VERSION, "partitions": partitions, "journal_id": uuid.uuid4().hex, "incarnation": ""}
        connection.executemany("INSERT INTO meta VALUES (?, ?)", [(name, str(value)) for name, value in made.items()])
        connection.execute("COMMIT")
    finally:
        connection.close()


def holds_tables(connection: sqlite3.Connection) -> bool:
    """Whether the file holds any table."""
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def note_opening(connection: sqlite3.Connection) -> None:
    """Write the time of opening, so that an unwritable file is found now. Raises `sqlite3.Error`."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('opened_ms', ?)", (str(time.time_ns() // 1_000_000),))
    connection.execute("COMMIT")


def begin_incarnation(connection: sqlite3.Connection, path: Path) -> JournalIdentity:
    """Give the journal a new incarnation, which makes all readers' cursors into its rooms invalid."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('incarnation', ?)", (uuid.uuid4().hex[:INCARNATION_CHARS],))
    connection.execute("COMMIT")
    return identity_of(connection, path)


def identity_of(connection: sqlite3.Connection, path: Path) -> JournalIdentity:
    """The identity of a journal that this version can read. Raises `JournalVersion`, `JournalMismatch`, `JournalDamaged`."""
    meta = _meta(connection)
    if not meta and holds_tables(connection) and not {name for name, _ in _tables_in(connection)} & {name for name, _ in _tables_expected()}:
        raise JournalMismatch(f"{path}: is a database, but not a journal of liveroom")
    try:
        version = int(meta["schema_version"])
    except (KeyError, TypeError, ValueError):
        raise JournalDamaged(f"{path}: says nothing of its version; it is no journal of liveroom or damaged") from None
    if version > SCHEMA_VERSION:
        raise JournalVersion(
            f"{path}: has schema version {version}, this liveroom knows up to {SCHEMA_VERSION}; use the newer liveroom that wrote it"
        )
    if version < SCHEMA_VERSION:
        raise JournalVersion(
            f"{path}: has schema version {version}, this liveroom reads {SCHEMA_VERSION} alone; "
            "use the older liveroom that wrote it, or another data directory"
        )
    try:
        identity = JournalIdentity(meta["journal_id"], int(meta["partitions"]), meta["incarnation"])
    except (KeyError, TypeError, ValueError):
        raise JournalDamaged(f"{path}: does not say which journal it is; it is damaged") from None
    if changed := _tables_expected() - _tables_in(connection):
        raise JournalDamaged(f"{path}: {', '.join(sorted(name for name, _ in changed))} is not as liveroom made it; {RESTORE_HINT}")
    return identity


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in _TABLES.split(";\n"):
        connection.execute(statement)


def _tables_in(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    return set(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))


@functools.cache
def _tables_expected() -> frozenset[tuple[str, str]]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        _make_tables(connection)
        return frozenset(_tables_in(connection))
    finally:
        connection.close()


def check_pages(connection: sqlite3.Connection, path: Path, *, whole: bool) -> None:
    """Have SQLite check every page and, with `whole`, compare indexes with their tables. Raises `JournalDamaged`."""
    found = connection.execute("PRAGMA integrity_check(1)" if whole else "PRAGMA quick_check(1)").fetchone()
    if found is None or found[0] != "ok":
        raise JournalDamaged(f"{path}: is damaged ({str(found and found[0])[:PAGE_WORDS_MAX]}); {RESTORE_HINT}")


def check_pages_of_small(connection: sqlite3.Connection, path: Path) -> None:
    """Like `check_pages`, but skip a file that is too large for a quick check at the start of a server."""
    if sum(file.stat().st_size for file in (path, wal_of(path)) if file.exists()) <= PAGES_CHECKED_BYTES_MAX:
        check_pages(connection, path, whole=False)


def wal_of(path: Path) -> Path:
    """The write-ahead log of a database."""
    return path.with_name(path.name + "-wal")


def chain_before(connection: sqlite3.Connection, path: Path, identity: JournalIdentity, partition: int, offset: int) -> bytes:
    """The chain value before the entry at `offset`. Raises `JournalDamaged` when the entry before it is missing."""
    if offset == 0:
        return chain_start(identity.chain_text)
    chain = head_chain(connection, partition, offset)
    if chain is None:
        raise JournalDamaged(f"{path}: partition {partition} has no entry {offset - 1}; {RESTORE_HINT}")
    return chain


def head_chain(connection: sqlite3.Connection, partition: int, end: int) -> bytes | None:
    """The chain value stored with the entry before `end`, or `None`."""
    found = connection.execute("SELECT chain FROM events WHERE partition = ? AND offset = ?", (partition, end - 1)).fetchone()
    return bytes(found[0]) if found is not None and isinstance(found[0], bytes) else None


def read_entries(
    connection: sqlite3.Connection, path: Path, partition: int, start: int, end: int, chain: bytes, *, bytes_max: int = 2**62
) -> Iterator[PastEntry]:
    """Entries of `events[partition]` in [start, end), until `bytes_max` is passed.
    `chain` is the value before the first.

    Raises: `JournalDamaged` at a gap, at an unreadable entry, and at an entry that was changed.
    """
    sql = "SELECT offset, CAST(body AS BLOB), chain, verdict FROM events WHERE partition = ? AND offset >= ? AND offset < ? ORDER BY offset"
    cursor = connection.execute(sql, (partition, start, end))
    expected = start
    size = 0
    try:
        for offset, body, stored_chain, verdict in cursor:
            if offset != expected:
                break
            body = body or b""  # a damaged row may hold nothing
            chain = chained(chain, partition, offset, body)
            if chain != stored_chain:
                raise JournalDamaged(f"{path}: entry {offset} of partition {partition} is not the one that was written; {RESTORE_HINT}")
            yield PastEntry(offset, _decode(body, path, partition, offset), body, verdict)
            expected += 1
            size += len(body)
            if size >= bytes_max:
                return
    finally:
        cursor.close()  # an open cursor would keep the write-ahead log from being truncated
    if expected < end:
        raise JournalDamaged(f"{path}: partition {partition} has no entry {expected}; {RESTORE_HINT}")


def events_end(connection: sqlite3.Connection, partition: int) -> int:
    """The offset after the last entry of `events[partition]`."""
    end: int = connection.execute("SELECT coalesce(max(offset) + 1, 0) FROM events WHERE partition = ?", (partition,)).fetchone()[0]
    return end


def _decode(body: bytes, path: Path, partition: int, offset: int) -> Entry:
    try:
        return decode_entry(body)
    except BadMessage as error:
        raise JournalDamaged(f"{path}: entry {offset} of partition {partition} cannot be read: {error.detail}; {RESTORE_HINT}") from None


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Translates SQLite's errors, for work that writes nothing or was rolled back."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path) from error


def translate(error: sqlite3.Error, path: Path) -> JournalError:
    """The meaning of an SQLite error outside COMMIT: a damaged file, or nothing was written."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_IOERR_SHORT_READ:
        return JournalDamaged(f"{path}: was cut short while it was open ({error}); {RESTORE_HINT}")
    if not code and "decode" in str(error):  # text that is not UTF-8 raises an error of Python without a code
        return JournalDamaged(f"{path}: is damaged ({error}); {RESTORE_HINT}")
    match code & 0xFF:
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR:  # SQLITE_ERROR: the statements meet other tables
            return JournalDamaged(f"{path}: is damaged ({error}); {RESTORE_HINT}")
        case sqlite3.SQLITE_FULL:
            return JournalUnavailable(f"{path}: the disk is full")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return JournalUnavailable(f"{path}: cannot be opened for writing ({error}); check the directory's owner, mode and mount")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return JournalUnavailable(f"{path}: another program keeps it locked ({error})")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return JournalUnavailable(f"{path}: {error} ({name})")


def _meta(connection: sqlite3.Connection) -> dict[str, str]:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        return {}
    return dict(connection.execute("SELECT name, value FROM meta"))
