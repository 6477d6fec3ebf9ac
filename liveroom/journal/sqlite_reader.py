"""Reads the embedded journal's file from another process while it is written, or when nothing runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from liveroom.errors import JournalUnavailable
from liveroom.journal.base import StoredEntry
from liveroom.journal.sqlite_file import FILE_NAME, connect, events_end, partitions_of, read_entries, translated

__all__ = ["SqliteReader", "open_reader"]

#: Entries that are read at once, so that a reader never keeps the write-ahead log from being cut for long.
CHUNK_ENTRIES = 256


def open_reader(data_dir: Path) -> SqliteReader:
    """Open the journal in `data_dir` for reading only.

    Raises: `JournalUnavailable` when there is none, `JournalVersion`, `JournalDamaged`.
    """
    path = data_dir / FILE_NAME
    if not path.is_file():
        raise JournalUnavailable(f"{path}: there is no journal; was `liveroom serve` started with this data directory?")
    with translated(path):
        connection = connect(path, "ro")
        try:
            return SqliteReader(path, connection, partitions_of(connection, path))
        except BaseException:
            connection.close()
            raise


class SqliteReader:
    """A context manager; what it does blocks, so in an event loop it belongs into a thread."""

    def __init__(self, path: Path, connection: sqlite3.Connection, partitions: int) -> None:
        self.partitions = partitions
        self._path = path
        self._connection = connection

    def __enter__(self) -> SqliteReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def entries(self, partition: int, offset: int = 0) -> Iterator[StoredEntry]:
        """Entries from `offset` up to the present end; to follow, ask again from the next offset every 200 ms or so."""
        with translated(self._path):
            end = events_end(self._connection, partition)
        while offset < end:
            stop = min(end, offset + CHUNK_ENTRIES)
            with translated(self._path):
                some = list(read_entries(self._connection, self._path, partition, offset, stop))
            yield from some
            offset = stop
