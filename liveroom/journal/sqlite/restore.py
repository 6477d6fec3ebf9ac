"""Replaces the embedded journal by a copy. The next start notices a kill in between."""

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

#: The folder in the data directory where the copy is checked.
RESTORING = "restoring"
#: The folder in there from which SQLite reads files with a write-ahead log.
UNCHECKED = "unchecked"
#: The name of a folder with replaced files, before its time in UTC.
REPLACED = "replaced-%Y%m%dT%H%M%SZ"


def copy_into(data_dir: Path, file: Path) -> Path:
    """Copy a journal and the content of its write-ahead log into a folder below `data_dir`; gives that folder.

    Raises: `JournalUnavailable`, `JournalDamaged`.
    """
    try:
        if not file.is_file():
            raise JournalUnavailable(f"{file}: there is no such file")
        source = file.resolve()  # SQLite's other files lie beside the file itself, not beside a link to it
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
    """Open a copy without making a file beside it.

    With a write-ahead log, SQLite makes an index beside the file.
    Another program may share that index, and then it cannot be removed safely.
    Files with a log are therefore copied first.
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
    """The sizes and times that change when another program writes the file or its write-ahead log."""
    found = [file.stat() if file.exists() else None for file in (source, wal_of(source))]
    return [stat and (stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found]


def _check_finished(source: Path) -> None:
    """Raises `JournalUnavailable` for a file whose last write was not finished: a rollback journal holds pages that it had replaced."""
    rollback = source.with_name(source.name + "-journal")
    if not rollback.is_file():
        return
    with open(rollback, "rb") as file:
        if file.read(1) not in (b"", b"\0"):  # a finished one is empty or begins with a zero byte
            words = "it was not copied to the end, or another program writes it; make the copy once more"
            raise JournalUnavailable(f"{source}: {rollback.name} beside it says that a write was not finished: {words}")


def put_in_place(data_dir: Path, copy: Path, heads: Sequence[Head]) -> Path | None:
    """Make a checked copy the current journal, under a new incarnation.
    Gives the folder of the replaced files, if there were any.

    The mark comes last.
    Until then the next start finds another journal than the mark's, and says so.

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
            replaced = _moved_away(path)
            os.replace(copy, path)
            sync_directory(data_dir)
    except OSError as error:
        raise JournalUnavailable(f"{error.filename}: cannot be written: {error.strerror}") from None
    Mark.begin(data_dir, Marked(identity.journal_id, identity.incarnation, tuple(heads))).close()
    return replaced


def _moved_away(path: Path) -> Path | None:
    """A folder for the old database and its write-ahead log, which SQLite would otherwise read as a part of the new one."""
    old = [file for file in (path, wal_of(path), path.with_name(path.name + "-shm")) if file.exists()]
    if not old:
        return None
    directory = path.with_name(time.strftime(REPLACED, time.gmtime()))
    make_directory(directory)
    for file in old:
        if file == path:
            os.link(file, directory / file.name)  # the old name stays until the copy takes its place
        else:
            os.rename(file, directory / file.name)
    return directory
