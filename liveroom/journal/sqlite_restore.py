"""Puts a copy of the embedded journal into the place of what was there, so that a kill in between is found by the next start."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from liveroom.errors import JournalUnavailable
from liveroom.journal.mark import Head, Mark, Marked, sync_directory
from liveroom.journal.sqlite_file import FILE_NAME, begin_incarnation, connect, translated, wal_of
from liveroom.owner_only import FILE_MODE, make_directory

__all__ = ["RESTORING", "copy_into", "put_in_place"]

#: Where the copy lies while it is checked, in the data directory.
RESTORING = "restoring"
#: What the directories of what was replaced are called, with the time behind it (UTC).
REPLACED = "replaced-%Y%m%dT%H%M%SZ"


def copy_into(data_dir: Path, file: Path) -> Path:
    """Copy a journal, with what its write-ahead log holds, into a directory of its own below `data_dir`; gives that directory.

    Raises: `JournalUnavailable`, `JournalDamaged`.
    """
    if not file.is_file():
        raise JournalUnavailable(f"{file}: there is no such file")
    directory = data_dir / RESTORING
    if directory.resolve() in file.resolve().parents:
        raise JournalUnavailable(f"{file}: lies in the folder that a restore works in and empties; move it elsewhere first")
    index = file.with_name(file.name + "-shm")
    had_index = index.exists()
    with translated(file):
        try:
            shutil.rmtree(directory, ignore_errors=True)
            make_directory(directory)
            os.close(os.open(directory / FILE_NAME, os.O_CREAT | os.O_RDWR, FILE_MODE))
            with closing(_open_copy(file)) as source, closing(sqlite3.connect(directory / FILE_NAME)) as target:
                source.backup(target)
            if not had_index:
                index.unlink(missing_ok=True)  # a reader makes it for a write-ahead log, and cannot remove it
        except OSError as error:
            raise JournalUnavailable(f"{error.filename}: cannot be written: {error.strerror}") from None
    return directory


def _open_copy(file: Path) -> sqlite3.Connection:
    """Open a copy; where it has no write-ahead log, so that none is made beside it."""
    return connect(file, "ro", immutable=not wal_of(file).exists())


def put_in_place(data_dir: Path, copy: Path, heads: Sequence[Head]) -> Path | None:
    """Make a checked copy the present journal, under a new incarnation; gives where what was there lies now, if anything was.

    The mark comes last: until then the next start finds another journal than the mark's, and says so.
    Raises: `JournalUnavailable`, `JournalDamaged`.
    """
    path = data_dir / FILE_NAME
    with translated(copy):
        connection = connect(copy, "rw")
        try:
            identity = begin_incarnation(connection, copy)
        finally:
            connection.close()
    try:
        replaced = None
        if copy != path:
            replaced = _kept_aside(path)
            os.replace(copy, path)
            sync_directory(data_dir)
    except OSError as error:
        raise JournalUnavailable(f"{error.filename}: cannot be written: {error.strerror}") from None
    Mark.begin(data_dir, Marked(identity.journal_id, identity.incarnation, tuple(heads))).close()
    return replaced


def _kept_aside(path: Path) -> Path | None:
    """A directory with the database that is in the way and its write-ahead log, which would be read as a part of the new one."""
    old = [file for file in (path, wal_of(path), path.with_name(path.name + "-shm")) if file.exists()]
    if not old:
        return None
    directory = path.with_name(time.strftime(REPLACED, time.gmtime()))
    make_directory(directory)
    for file in old:
        if file == path:
            os.link(file, directory / file.name)  # it stays until the copy takes its place
        else:
            os.rename(file, directory / file.name)
    return directory
