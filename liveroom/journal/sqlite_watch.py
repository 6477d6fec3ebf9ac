"""Notices that the open database, or its write-ahead log, is not what lies in the directory any more."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from liveroom.journal.sqlite_file import WAL_BYTES_KEPT

__all__ = ["FileWatch", "wal_of"]


def wal_of(path: Path) -> Path:
    """The write-ahead log of a database."""
    return path.with_name(path.name + "-wal")


class _Seen(Struct):
    path: Path
    device: int
    inode: int
    size: int


class FileWatch:
    """Compares the names in the directory with the files that were opened. SQLite itself would go on writing into deleted files."""

    def __init__(self, path: Path) -> None:
        """Take the files as they are now; they must be open. Raises `OSError`."""
        self._database = _seen(path)
        self._wal = _seen(wal_of(path))
        #: The write-ahead log was cut below what SQLite keeps: what is in it has to be read again.
        self.wal_cut = False

    def look(self) -> str:
        """What happened to the files, in words; empty when nothing did."""
        for seen in (self._database, self._wal):
            try:
                found = os.stat(seen.path)
            except (FileNotFoundError, NotADirectoryError):
                return f"{seen.path}: was removed while it was in use"
            except OSError:  # the directory cannot be looked at; the open files are as they were
                return ""
            if (found.st_dev, found.st_ino) != (seen.device, seen.inode):
                return f"{seen.path}: was replaced by another file while it was in use"
            before, seen.size = seen.size, found.st_size
            if seen is self._wal:
                self.wal_cut |= found.st_size < min(before, WAL_BYTES_KEPT)
            elif found.st_size < before:
                return f"{seen.path}: was cut from {before} to {found.st_size} bytes while it was in use"
        return ""


def _seen(path: Path) -> _Seen:
    found = os.stat(path)
    return _Seen(path, found.st_dev, found.st_ino, found.st_size)
