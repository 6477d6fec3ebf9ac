"""The SQLite file of the embedded journal: its tables, how it is opened and checked, what its errors mean."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from liveroom.codec import decode_entry
from liveroom.errors import BadMessage, JournalDamaged, JournalError, JournalMismatch, JournalUnavailable, JournalVersion
from liveroom.journal.base import StoredEntry
from liveroom.messages.records import Entry

__all__ = ["FILE_NAME", "SCHEMA_VERSION", "connect", "events_end", "partitions_of", "prepare", "read_entries", "translate", "translated"]

FILE_NAME = "journal.sqlite"
#: 2: digests of what readers fold are numbers. A journal of another version is left as it is.
SCHEMA_VERSION = 2

#: How long a transaction waits for another program that writes to the file (nobody should).
BUSY_S = 5.0
#: The write-ahead log is cut back to this size after it was copied into the file.
WAL_BYTES_KEPT = 64 * 1024 * 1024

_TABLES = """
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE events (
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    kind TEXT NOT NULL,      -- claim or record
    verdict TEXT NOT NULL,   -- claimed, accepted, or why every reader skips it
    time_ms INTEGER NOT NULL,
    body TEXT NOT NULL,      -- the entry as JSON
    PRIMARY KEY (partition, offset)
);
CREATE TABLE snapshots (     -- written after its chunks: a snapshot without all of them is not whole
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    acceptance TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE TABLE snapshot_chunks (
    snapshot INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    kind TEXT NOT NULL,      -- detail (one room, JSON) or state (the engine's own)
    body BLOB NOT NULL,
    PRIMARY KEY (snapshot, chunk)
);
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
        strftime('%Y-%m-%d %H:%M:%f', events.time_ms / 1000.0, 'unixepoch') AS time,
        json_extract(event.value, '$.type') AS type,
        event.value AS event,
        events.time_ms, events.partition, events.offset
    FROM events, json_each(events.body, '$.rooms') AS room, json_each(room.value, '$.events') AS event
    WHERE events.verdict = 'accepted';
"""


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open the file with SQLite's `mode` (ro, rw, rwc); transactions are begun by hand. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        if mode != "ro":
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone does not reach the disk there
            connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, path: Path, partitions: int) -> None:
    """Make the tables in a new file or check those of an old one; writes in either case, so that a file that cannot be written is found now."""
    connection.execute("BEGIN IMMEDIATE")
    if _meta(connection):
        made_with = partitions_of(connection, path)
        if made_with != partitions:
            raise JournalMismatch(f"{path}: was made with {made_with} partitions, the settings say {partitions} (journal.partitions)")
    elif connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise JournalMismatch(f"{path}: is a database, but not a journal of liveroom")
    else:
        for statement in _TABLES.split(";\n"):
            connection.execute(statement)
        made = {"schema_version": SCHEMA_VERSION, "partitions": partitions, "journal_id": uuid.uuid4().hex}
        connection.executemany("INSERT INTO meta VALUES (?, ?)", [(name, str(value)) for name, value in made.items()])
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('opened_ms', ?)", (str(time.time_ns() // 1_000_000),))
    connection.execute("COMMIT")


def partitions_of(connection: sqlite3.Connection, path: Path) -> int:
    """The number of partitions of a journal that this version can read. Raises `JournalVersion`, `JournalDamaged`."""
    meta = _meta(connection)
    try:
        version, partitions = int(meta["schema_version"]), int(meta["partitions"])
    except (KeyError, ValueError):
        raise JournalDamaged(f"{path}: says nothing of its version and partitions; it is no journal of liveroom or damaged") from None
    if version > SCHEMA_VERSION:
        raise JournalVersion(
            f"{path}: has schema version {version}, this liveroom knows up to {SCHEMA_VERSION}; use the newer liveroom that wrote it"
        )
    if version < SCHEMA_VERSION:
        raise JournalVersion(
            f"{path}: has schema version {version}, this liveroom reads {SCHEMA_VERSION} alone; "
            "use the older liveroom that wrote it, or another data directory"
        )
    return partitions


def read_entries(
    connection: sqlite3.Connection, path: Path, partition: int, start: int, end: int, *, bytes_max: int = 2**62
) -> Iterator[StoredEntry]:
    """Entries of `events[partition]` in [start, end), until `bytes_max` is passed.

    Raises: `JournalDamaged` at a hole or at what is no entry.
    """
    sql = "SELECT offset, CAST(body AS BLOB) FROM events WHERE partition = ? AND offset >= ? AND offset < ? ORDER BY offset"
    cursor = connection.execute(sql, (partition, start, end))
    expected = start
    size = 0
    try:
        for offset, body in cursor:
            if offset != expected:
                break
            yield StoredEntry(offset, _decode(body, path, partition, offset))
            expected += 1
            size += len(body)
            if size >= bytes_max:
                return
    finally:
        cursor.close()  # an open one would keep the write-ahead log from being cut
    if expected < end:
        raise JournalDamaged(f"{path}: partition {partition} has no entry {expected}; restore the file from a copy")


def events_end(connection: sqlite3.Connection, partition: int) -> int:
    """The offset after the last entry of `events[partition]`."""
    end: int = connection.execute("SELECT coalesce(max(offset) + 1, 0) FROM events WHERE partition = ?", (partition,)).fetchone()[0]
    return end


def _decode(body: bytes, path: Path, partition: int, offset: int) -> Entry:
    try:
        return decode_entry(body)
    except BadMessage as error:
        raise JournalDamaged(
            f"{path}: entry {offset} of partition {partition} cannot be read: {error.detail}; restore the file from a copy"
        ) from None


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours, for what writes nothing or was rolled back."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path) from error


def translate(error: sqlite3.Error, path: Path) -> JournalError:
    """What an error of SQLite outside COMMIT means: a damaged file, or that nothing was written."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return JournalDamaged(f"{path}: is damaged ({error}); restore it from a copy")
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
