"""Puts a copy of the embedded journal into the place of what was there, so that a kill in between is found by the next start."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from liveroom.journal.sqlite.file import FILE_NAME, begin_incarnation, connect, translated, wal_of
from liveroom.journal.sqlite.mark import Head, Mark, Marked, sync_directory
from liveroom.messages.errors import JournalUnavailable
from liveroom.process.owner_only import FILE_MODE, make_directory

__all__ = ["RESTORING", "copy_into", "put_in_place"]

#: Where the copy lies while it is checked, in the data directory.
RESTORING = "restoring"
#: Where files that have a write-ahead log lie while SQLite reads them, in that directory.
UNCHECKED = "unchecked"
#: What the directories of what was replaced are called, with the time behind it (UTC).
REPLACED = "replaced-%Y%m%dT%H%M%SZ"


def copy_into(data_dir: Path, file: Path) -> Path:
    """Copy a journal, with what its write-ahead log holds, into a directory of its own below `data_dir`; gives that directory.

    Raises: `JournalUnavailable`, `JournalDamaged`.
    """
    try:
        if not file.is_file():
            raise JournalUnavailable(f"{file}: there is no such file")
        source = file.resolve()  # SQLite keeps its other files beside the file itself, not beside a link to it
        _check_finished(source)
        directory = data_dir / RESTORING
        if directory.resolve() in source.parents:
            raise JournalUnavailable(f"{file}: lies in the folder that a restore works in and empties; move it elsewhere first")
        with translated(file):
            shutil.rmtree(directory, ignore_errors=True)
            make_directory(directory)
            os.close(os.open(directory / FILE_NAME, os.O_CREAT | os.O_RDWR, FILE_MODE))
            before = _state(source)
            with closing(_open_copy(source, directory)) as reading, closing(sqlite3.connect(directory / FILE_NAME)) as target:
                reading.backup(target)
            shutil.rmtree(directory / UNCHECKED, ignore_errors=True)
            _check_finished(source)
            if _state(source) != before:
                raise JournalUnavailable(f"{file}: another program writes it; stop that program, or make a copy with sqlite3's .backup")
    except OSError as error:
        raise JournalUnavailable(f"{error.filename or data_dir}: cannot be copied: {error.strerror}") from None
    return directory


def _open_copy(source: Path, directory: Path) -> sqlite3.Connection:
    """Open a copy so that no file is made beside it.

    With a write-ahead log, SQLite makes an index beside the file it opens. Another program may come to share that index, and then nobody
    can remove it safely. So files with a log are copied first.
    """
    if not wal_of(source).exists():
        return connect(source, "ro", immutable=True)
    files = directory / UNCHECKED
    make_directory(files)
    for file in (source, wal_of(source)):
        with open(file, "rb") as reading, open(files / file.name, "xb", opener=_for_owner) as writing:
            shutil.copyfileobj(reading, writing)
    return connect(files / source.name, "ro")


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, FILE_MODE)


def _state(source: Path) -> list[tuple[int, int, int] | None]:
    """What changes when another program writes the file or its write-ahead log."""
    found = [file.stat() if file.exists() else None for file in (source, wal_of(source))]
    return [stat and (stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found]


def _check_finished(source: Path) -> None:
    """Raises `JournalUnavailable` for a file that a program was still writing: pages that it had replaced are in a rollback journal."""
    rollback = source.with_name(source.name + "-journal")
    if not rollback.is_file():
        return
    with open(rollback, "rb") as file:
        if file.read(1) not in (b"", b"\0"):  # one that is done with is emptied, or its first bytes are
            words = "it was not copied to the end, or another program writes it; make the copy once more"
            raise JournalUnavailable(f"{source}: {rollback.name} beside it says that a write was not finished: {words}")


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
