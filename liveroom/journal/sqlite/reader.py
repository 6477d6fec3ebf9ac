"""Reads the embedded journal's file from another process while it is written, or when nothing runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from liveroom.journal.base import PastEntry
from liveroom.journal.sqlite.file import (
    FILE_NAME,
    JournalIdentity,
    chain_before,
    check_pages,
    connect,
    events_end,
    identity_of,
    read_entries,
    translated,
)
from liveroom.journal.sqlite.mark import read_mark
from liveroom.journal.sqlite.snapshots import verify_all
from liveroom.journal.sqlite.start import check_against_mark, must_not_be_missing
from liveroom.messages.errors import JournalUnavailable

__all__ = ["SqliteReader", "open_reader"]

#: Entries that are read at once, so that a reader never keeps the write-ahead log from being cut for long.
CHUNK_ENTRIES = 256


def open_reader(data_dir: Path) -> SqliteReader:
    """Open the journal in `data_dir` for reading only.

    Raises: `JournalUnavailable` when there is none, `JournalVersion`, `JournalDamaged`.
    """
    path = data_dir / FILE_NAME
    try:
        if not path.is_file() or not path.stat().st_size:
            must_not_be_missing(path, read_mark(data_dir))
            raise JournalUnavailable(f"{path}: there is no journal; was `liveroom serve` started with this data directory?")
    except OSError as error:
        raise JournalUnavailable(f"{error.filename or path}: cannot be looked at: {error.strerror}") from None
    with translated(path):
        connection = connect(path, "ro")
        try:
            return SqliteReader(path, connection, identity_of(connection, path))
        except BaseException:
            connection.close()
            raise


class SqliteReader:
    """A context manager; what it does blocks, so in an event loop it belongs into a thread."""

    def __init__(self, path: Path, connection: sqlite3.Connection, identity: JournalIdentity) -> None:
        self.partitions = identity.partitions
        self.chain_text = identity.chain_text
        self._identity = identity
        self._path = path
        self._connection = connection

    def __enter__(self) -> SqliteReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def verify(self, *, against_mark: bool = True) -> None:
        """Check the pages, every snapshot and, if one is there, the mark. Raises `JournalDamaged`, `JournalUnavailable`."""
        with translated(self._path):
            marked = read_mark(self._path.parent) if against_mark else None
            if marked is not None:
                check_against_mark(self._connection, self._path, self._identity, marked)
            check_pages(self._connection, self._path, whole=True)
            for partition in range(self.partitions):
                verify_all(self._connection, partition, self._chain_before)

    def _chain_before(self, connection: sqlite3.Connection, partition: int, offset: int) -> bytes:
        return chain_before(connection, self._path, self._identity, partition, offset)

    def entries(self, partition: int, offset: int = 0) -> Iterator[PastEntry]:
        """Entries from `offset` up to the present end; to follow, ask again from the next offset every 200 ms or so."""
        with translated(self._path):
            end = events_end(self._connection, partition)
        while offset < end:
            stop = min(end, offset + CHUNK_ENTRIES)
            with translated(self._path):
                chain = self._chain_before(self._connection, partition, offset)
                some = list(read_entries(self._connection, self._path, partition, offset, stop, chain))
            yield from some
            offset = stop
