"""The high-water mark of the embedded journal, in a file of its own: which journal was here, and how far it had come.

A database that was deleted, truncated or replaced by an older copy looks whole.
Only data outside of it can show the loss.
Every commit is noted here after it is durable, so the mark is never ahead of the database.
A note is not synced at once: it survives a killed process, but a power failure may leave it some seconds behind.

The file holds lines of JSON of a fixed size: a head, then one line per partition.
A line never crosses a page, so a note is written whole or not at all.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from liveroom.messages.errors import JournalDamaged, JournalUnavailable
from liveroom.process.owner_only import FILE_MODE

__all__ = ["MARK_FILE", "Head", "Mark", "Marked", "read_mark", "sync_directory"]

logger = logging.getLogger(__name__)

MARK_FILE = "journal.mark"
LINE_BYTES = 256
VERSION = 1
#: Pause between two syncs while entries are written.
SYNC_S = 5.0
#: A larger file is not a mark: a mark has a head and at most as many lines as a journal has partitions.
FILE_BYTES_MAX = LINE_BYTES * 1_025


class Head(Struct, frozen=True):
    """The end of a partition: the offset of its next entry and the chain value before it."""

    end: int
    chain: bytes


class Marked(Struct, frozen=True):
    """The content of a mark: the journal, its incarnation, and the end of each partition."""

    journal_id: str
    incarnation: str
    heads: tuple[Head, ...]

    @property
    def entries(self) -> int:
        """The number of entries in the mark."""
        return sum(head.end for head in self.heads)


class _First(Struct, frozen=True):
    mark: int  # format version
    journal: str
    incarnation: str
    partitions: int


class _Line(Struct, frozen=True):
    partition: int
    end: int
    chain: str


def read_mark(data_dir: Path) -> Marked | None:
    """Read the mark in `data_dir`, if there is one. Raises `JournalDamaged` when it cannot be read, `JournalUnavailable`."""
    path = data_dir / MARK_FILE
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalUnavailable(f"{path}: cannot be read: {error.strerror}") from None
    lines = [content[at : at + LINE_BYTES] for at in range(0, len(content), LINE_BYTES)]
    try:
        first = msgspec.json.decode(lines[0], type=_First)
        found = [msgspec.json.decode(line, type=_Line) for line in lines[1:]]
        whole = [_line(first), *map(_line, found)]
        heads = tuple(Head(line.end, bytes.fromhex(line.chain)) for line in found)
    except (IndexError, ValueError):
        raise _damaged(path) from None
    if whole != lines or first.mark != VERSION or [line.partition for line in found] != list(range(first.partitions)):
        raise _damaged(path)
    return Marked(first.journal, first.incarnation, heads)


class Mark:
    """The mark's file while the journal is open.

    Each start makes a new one.
    Only the writer's thread calls `note`.
    """

    def __init__(self, data_dir: Path, marked: Marked) -> None:
        """Write and sync the file, but not the directory: see `begin`. Raises `JournalUnavailable`."""
        self.path = path = data_dir / MARK_FILE
        self._marked = marked
        self._file = -1
        self._failed = False
        draft = path.with_name(path.name + ".part")
        first = _First(VERSION, marked.journal_id, marked.incarnation, len(marked.heads))
        lines = [_line(first), *(_line(_Line(p, head.end, head.chain.hex())) for p, head in enumerate(marked.heads))]
        try:
            self._file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
            os.write(self._file, b"".join(lines))
            os.fsync(self._file)
            os.replace(draft, path)
        except OSError as error:
            self.close()
            raise JournalUnavailable(f"{path}: cannot be written: {error.strerror}") from None
        self._synced = time.monotonic()

    @classmethod
    def begin(cls, data_dir: Path, marked: Marked) -> Mark:
        """Make a mark that also survives a power failure. Raises `JournalUnavailable`."""
        mark = cls(data_dir, marked)
        try:
            sync_directory(data_dir)
        except OSError as error:
            mark.close()
            raise JournalUnavailable(f"{data_dir}: cannot be written: {error.strerror}") from None
        return mark

    def note(self, heads: Iterable[tuple[int, Head]]) -> None:
        """Note the new ends of partitions; their entries must be durable. A failure is only logged, since entries do not depend on the mark."""
        try:
            for partition, head in heads:
                os.pwrite(self._file, _line(_Line(partition, head.end, head.chain.hex())), LINE_BYTES * (1 + partition))
            now = time.monotonic()
            if now - self._synced >= SYNC_S:
                self._synced = now
                os.fsync(self._file)
        except OSError as error:
            if not self._failed:
                words = "the journal's mark cannot be written; until it can, a lost end of the journal may go unseen"
                logger.warning(words, extra={"error": str(error)})
            self._failed = True
        else:
            self._failed = False

    @property
    def is_there(self) -> bool:
        """Whether the file is still the one in the directory."""
        return _same_file(self._file, self.path)

    @property
    def is_replaced(self) -> bool:
        """Whether another file has its name; false where that cannot be checked."""
        try:
            there, ours = os.stat(self.path), os.fstat(self._file)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def again(self, heads: Iterable[Head]) -> Mark:
        """Write the mark again after somebody removed the file. Gives this mark when that fails."""
        try:
            again = Mark(self.path.parent, replace(self._marked, heads=tuple(heads)))
        except JournalUnavailable as error:
            logger.warning("the journal's mark cannot be written", extra={"error": str(error)})
            return self
        self.close()
        try:
            sync_directory(self.path.parent)
        except OSError as error:  # the file exists; only a power failure could lose it
            logger.warning("the directory of the journal's mark cannot be synced", extra={"error": str(error)})
        return again

    def close(self) -> None:
        """Close the file and leave it in place."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _line(line: _First | _Line) -> bytes:
    """A line of fixed length with its checksum, so that every change shows."""
    text = msgspec.json.encode(line)
    return b'%b,"crc":"%08x"}' % (text[:-1], crc32(text)) + b" " * (LINE_BYTES - len(text) - 18) + b"\n"


def _damaged(path: Path) -> JournalDamaged:
    return JournalDamaged(
        f"{path}: is damaged, so it cannot show whether the journal beside it is whole and up to date; "
        f"if you know that it is, accept it: `liveroom restore-journal {path.with_name('journal.sqlite')}`"
    )


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        there, ours = os.stat(path), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable. Raises `OSError`."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
