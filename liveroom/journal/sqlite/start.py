"""Opens the embedded journal's file.

It must be the journal that was here, whole and up to date; otherwise nothing is made in its place.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from msgspec import Struct

from liveroom.journal.acceptance import Acceptance
from liveroom.journal.sqlite.file import (
    JournalIdentity,
    begin_incarnation,
    chain_before,
    check_pages_of_small,
    connect,
    events_end,
    head_chain,
    holds_tables,
    identity_of,
    make_journal,
    note_opening,
    read_entries,
    translated,
    wal_of,
)
from liveroom.journal.sqlite.lock import LOCK_FILE
from liveroom.journal.sqlite.mark import MARK_FILE, Mark, Marked, read_mark
from liveroom.journal.sqlite.snapshots import load
from liveroom.journal.sqlite.watch import FileWatch
from liveroom.journal.sqlite.writer import Tail
from liveroom.messages.errors import JournalDamaged, JournalMismatch, JournalUnavailable
from liveroom.process.owner_only import is_open_to_others, make_owner_only

__all__ = ["Opened", "check_against_mark", "must_not_be_missing", "open_file"]

logger = logging.getLogger(__name__)

WAYS_OUT = (
    "put back what is missing, or restore a copy with `liveroom restore-journal FILE`; "
    "to begin with an empty journal, use another data directory or move everything out of this one"
)


class Opened(Struct):
    """An open journal: a connection that writes, one that reads, and the end of each partition."""

    writing: sqlite3.Connection
    reading: sqlite3.Connection
    tails: list[Tail]
    identity: JournalIdentity
    mark: Mark
    watch: FileWatch


def open_file(path: Path, partitions: int) -> Opened:
    """Open or make the file, check it against its mark, and verify the entries from the newest snapshots on.

    Raises: `JournalVersion`, `JournalMismatch`, `JournalDamaged`, `JournalUnavailable`.
    """
    try:
        _keep_others_out(path)
        with translated(path):
            return _open_file(path, partitions, read_mark(path.parent))
    except OSError as error:
        raise JournalUnavailable(f"{error.filename or path}: cannot be looked at: {error.strerror}") from None


def _open_file(path: Path, partitions: int, marked: Marked | None) -> Opened:
    must_not_be_missing(path, marked)
    if not path.exists() or not path.stat().st_size:
        make_journal(path, partitions)
    reading = connect(path, "ro")  # reads first, so that a refused file stays unchanged
    try:
        if not holds_tables(reading):  # its first start was killed, or it lost its content
            if marked is not None:
                raise _less(path, "holds nothing", marked)
            make_journal(path, partitions)
        identity = _checked(reading, path, partitions, marked)
        tails = [_tail(reading, path, identity, partition) for partition in range(partitions)]
        writing = connect(path, "rw")
        try:
            note_opening(writing)
            if marked is None and any(tail.end for tail in tails):
                logger.warning("journal.mark is missing; the journal is accepted with a new incarnation")
                identity = begin_incarnation(writing, path)
            mark = Mark.begin(path.parent, Marked(identity.journal_id, identity.incarnation, tuple(tail.head for tail in tails)))
            return Opened(writing, reading, tails, identity, mark, FileWatch(path))
        except BaseException:
            writing.close()
            raise
    except BaseException:
        reading.close()
        raise


def _checked(reading: sqlite3.Connection, path: Path, partitions: int, marked: Marked | None) -> JournalIdentity:
    identity = identity_of(reading, path)
    if identity.partitions != partitions:
        raise JournalMismatch(f"{path}: was made with {identity.partitions} partitions, the settings say {partitions} (journal.partitions)")
    check_pages_of_small(reading, path)
    if marked is not None:
        check_against_mark(reading, path, identity, marked)
    return identity


def _keep_others_out(path: Path) -> None:
    """Close files that older versions or copies left readable. The directory may have other uses, so it only gets a warning."""
    for file in (path, wal_of(path), path.with_name(path.name + "-shm"), path.with_name(MARK_FILE), path.with_name(LOCK_FILE)):
        try:
            if make_owner_only(file):
                logger.warning("others could read a file of the journal; now its owner alone can", extra={"file": str(file)})
        except FileNotFoundError:
            pass
        except OSError as error:
            logger.warning("others can read a file of the journal, and that cannot be changed", extra={"file": str(file), "error": str(error)})
    if is_open_to_others(path.parent):
        logger.warning("others may enter the data directory; if nothing else needs that: chmod 700", extra={"directory": str(path.parent)})


def must_not_be_missing(path: Path, marked: Marked | None) -> None:
    """Raises `JournalDamaged` when the file of a known journal is missing or empty."""
    size = path.stat().st_size if path.exists() else 0
    if size:
        return
    state = "is empty" if path.exists() else "is missing"
    if marked is not None:
        raise _less(path, state, marked)
    wal = wal_of(path)
    if wal.exists() and wal.stat().st_size:
        raise JournalDamaged(f"{path}: {state}, but its write-ahead log {wal.name} is here; {WAYS_OUT}")


def _less(path: Path, state: str, marked: Marked) -> JournalDamaged:
    return JournalDamaged(f"{path}: {state}, but journal {marked.journal_id} with {marked.entries} entries was here; {WAYS_OUT}")


def check_against_mark(connection: sqlite3.Connection, path: Path, identity: JournalIdentity, marked: Marked) -> None:
    """Raises `JournalDamaged` when this is another journal than the mark's, lacks entries, or has another history."""
    if identity.journal_id != marked.journal_id:
        raise JournalDamaged(f"{path}: is journal {identity.journal_id}, but {marked.journal_id} was here; {WAYS_OUT}")
    if identity.incarnation != marked.incarnation:
        raise JournalDamaged(
            f"{path}: is incarnation {identity.incarnation or 'one'} of its journal, but {marked.incarnation or 'one'} was here; {WAYS_OUT}"
        )
    if identity.partitions != len(marked.heads):
        raise JournalDamaged(f"{path}: says that it has {identity.partitions} partitions, but {len(marked.heads)} were here; {WAYS_OUT}")
    for partition, head in enumerate(marked.heads):
        end = events_end(connection, partition)
        if end < head.end:
            raise JournalDamaged(f"{path}: partition {partition} ends at {end}, but {head.end} entries of it had been written; {WAYS_OUT}")
        if head.end and head_chain(connection, partition, head.end) != head.chain:
            raise JournalDamaged(f"{path}: entry {head.end - 1} of partition {partition} is not the one that was here; {WAYS_OUT}")


def _tail(connection: sqlite3.Connection, path: Path, identity: JournalIdentity, partition: int) -> Tail:
    end = events_end(connection, partition)
    for _ in read_entries(connection, path, partition, 0, min(end, 1), chain_before(connection, path, identity, partition, 0)):
        pass  # the first entry is linked to the journal's identity, and it is always verified
    snapshots = load(connection, partition, lambda connection, p, offset: chain_before(connection, path, identity, p, offset))
    start, acceptance = (snapshots[0].offset, snapshots[0].acceptance) if snapshots else (0, Acceptance())
    tail = Tail(partition, start, acceptance, chain_before(connection, path, identity, partition, start))
    for stored in read_entries(connection, path, partition, start, end, tail.chain):
        tail.add(stored.entry, stored.body or b"")
    return tail
