"""Notices when the open database or its write-ahead log is no longer the file in the directory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from msgspec import Struct

from liveroom.journal.sqlite.file import WAL_BYTES_KEPT, wal_of
from liveroom.journal.sqlite.lock import LOCK_FILE

__all__ = ["FileWatch"]


class _Seen(Struct):
    path: Path
    device: int
    inode: int
    size: int


class FileWatch:
    """Compares the names in the directory with the open files.
    SQLite itself would go on writing into deleted files.

    The lock is one of them: once its name leads elsewhere, another process may take the directory.
    """

    def __init__(self, path: Path) -> None:
        """Note the present files, which must be open. Raises `OSError`."""
        self._database = _seen(path)
        self._wal = _seen(wal_of(path))
        self._lock = _seen(path.with_name(LOCK_FILE))
        self._written_ns = os.stat(path).st_mtime_ns
        #: Another program wrote into the database: by a checkpoint, or over its content.
        self.overwritten = False
        #: The write-ahead log was truncated below SQLite's own size, so its content has to be read again.
        self.wal_cut = False

    def look(self) -> str:
        """A text about what happened to the files; empty when nothing did."""
        for seen in (self._database, self._wal, self._lock):
            try:
                found = os.stat(seen.path)
            except (FileNotFoundError, NotADirectoryError):
                return f"{seen.path}: was removed while it was in use"
            except OSError:  # the directory cannot be read; the open files are unchanged
                return ""
            if (found.st_dev, found.st_ino) != (seen.device, seen.inode):
                return f"{seen.path}: was replaced by another file while it was in use"
            before, seen.size = seen.size, found.st_size
            if seen is self._wal:
                self.wal_cut |= found.st_size < min(before, WAL_BYTES_KEPT)
            elif seen is self._database:
                if found.st_size < before:
                    return f"{seen.path}: was cut from {before} to {found.st_size} bytes while it was in use"
                self.overwritten |= found.st_mtime_ns != self._written_ns
                self._written_ns = found.st_mtime_ns
        return ""

    def wrote(self) -> None:
        """Note that this process has just checkpointed the write-ahead log into the database."""
        with contextlib.suppress(OSError):  # the next look finds it
            self._written_ns = os.stat(self._database.path).st_mtime_ns


def _seen(path: Path) -> _Seen:
    found = os.stat(path)
    return _Seen(path, found.st_dev, found.st_ino, found.st_size)
