"""Snapshots as rows: one for each snapshot, with a hash over it, and one for each part."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import TypeAlias

import msgspec

from liveroom.journal.base import Snapshot, SnapshotPart, decode_gone, hash_of
from liveroom.journal.room_index import decode_index
from liveroom.journal.sqlite.file import RESTORE_HINT
from liveroom.messages.errors import JournalDamaged
from liveroom.protocol.codec import encode

__all__ = ["ChainBefore", "get_parts", "load", "put_parts", "save", "verify_all"]

logger = logging.getLogger(__name__)

_snapshot = msgspec.json.Decoder(Snapshot)

#: Gives the chain value before an entry; raises `JournalDamaged` when the entry before it is missing.
ChainBefore: TypeAlias = Callable[[sqlite3.Connection, int, int], bytes]


def put_parts(connection: sqlite3.Connection, partition: int, bodies: Sequence[bytes]) -> list[int]:
    """Write parts. A place is a row number, and no number is used twice."""
    return [connection.execute("INSERT INTO parts (partition, body) VALUES (?, ?)", (partition, body)).lastrowid or 0 for body in bodies]


def get_parts(connection: sqlite3.Connection, partition: int, places: Sequence[int]) -> list[bytes | None]:
    """The bytes at these places."""
    sql = "SELECT CAST(body AS BLOB) FROM parts WHERE id = ? AND partition = ? AND typeof(body) = 'blob'"
    rows = [connection.execute(sql, (place, partition)).fetchone() for place in places]
    return [row[0] if row else None for row in rows]


def save(connection: sqlite3.Connection, partition: int, snapshot: Snapshot, kept: int, chain_before: ChainBefore) -> None:
    """Write a snapshot. Deletes those older than the newest `kept`, and the parts that no kept one names."""
    body = encode(snapshot)
    _drop_what_does_not_count(connection, partition, snapshot)
    (end,) = connection.execute("SELECT coalesce(max(id) + 1, 0) FROM parts").fetchone()
    row = (partition, snapshot.offset, end, chain_before(connection, partition, snapshot.offset), _hash(partition, snapshot.offset, end, body), body)
    connection.execute("INSERT INTO snapshots (partition, offset, parts_end, chain, hash, body) VALUES (?, ?, ?, ?, ?, CAST(? AS TEXT))", row)
    # The oldest kept snapshot and the deleted ones list the parts to delete with them. There are several if fewer are kept than before.
    going = [found for found, _ in list(_found(connection, partition))[kept - 1 :] if found is not None]
    lists = get_parts(connection, partition, [part.place for found in going for part in found.gone])
    places = [(part.place, partition) for listed in lists if listed is not None for part in decode_gone(listed)]
    connection.executemany("DELETE FROM parts WHERE id = ? AND partition = ?", places)
    connection.execute(
        "DELETE FROM snapshots WHERE partition = ?1 AND id NOT IN"
        " (SELECT id FROM snapshots WHERE partition = ?1 ORDER BY offset DESC, id DESC LIMIT ?2)",
        (partition, kept),
    )


def _drop_what_does_not_count(connection: sqlite3.Connection, partition: int, snapshot: Snapshot) -> None:
    """Delete snapshots newer than the base of `snapshot`, and parts of these or of unfinished ones."""
    sql = "SELECT coalesce(max(parts_end), 0) FROM snapshots WHERE partition = ? AND offset = ?"
    (start,) = connection.execute(sql, (partition, snapshot.before)).fetchone()
    end = snapshot.first if snapshot.first >= 0 else 2**63 - 1
    connection.execute("DELETE FROM parts WHERE partition = ? AND id >= ? AND id < ?", (partition, start, end))
    connection.execute("DELETE FROM snapshots WHERE partition = ? AND offset > ?", (partition, snapshot.before))


def load(connection: sqlite3.Connection, partition: int, chain_before: ChainBefore) -> list[Snapshot]:
    """The unchanged snapshots, newest first; damaged ones are skipped with a warning.

    Raises: `JournalDamaged` when the entries below one are missing or are not those that it was made from.
    """
    snapshots: list[Snapshot] = []
    for snapshot, (offset, chain) in _found(connection, partition):
        if snapshot is None:
            logger.warning("a snapshot is damaged and skipped", extra={"partition": partition, "offset": offset})
            continue
        _must_continue(chain_before(connection, partition, offset), chain, partition, offset)
        snapshots.append(snapshot)
    return snapshots


def verify_all(connection: sqlite3.Connection, partition: int, chain_before: ChainBefore) -> None:
    """Raises `JournalDamaged` unless every snapshot of the partition is whole and matches the entries below it."""
    connection.execute("BEGIN")  # one consistent view, since a server may write meanwhile
    try:
        for snapshot, (offset, chain) in _found(connection, partition):
            if snapshot is None or not _parts_are_there(connection, partition, snapshot):
                raise JournalDamaged(f"the snapshot of partition {partition} at {offset} is not the one that was written")
            _must_continue(chain_before(connection, partition, offset), chain, partition, offset)
    finally:
        connection.execute("ROLLBACK")


def _parts_are_there(connection: sqlite3.Connection, partition: int, snapshot: Snapshot) -> bool:
    """Whether all parts of a snapshot are unchanged; for a room, the part in its latest entry."""
    rooms: dict[str, SnapshotPart] = {}
    for part in (*(part for segment in snapshot.rooms for part in segment), *snapshot.outcomes, *snapshot.gone):
        body = _part(connection, partition, part)
        if body is None:
            return False
        if part not in snapshot.outcomes and part not in snapshot.gone:
            rooms |= {entry.summary.room: entry.part for entry in decode_index(body)}
    return all(_part(connection, partition, part) is not None for part in rooms.values())


def _part(connection: sqlite3.Connection, partition: int, part: SnapshotPart) -> bytes | None:
    (body,) = get_parts(connection, partition, [part.place])
    return body if body is not None and hash_of(body) == part.hash else None


def _must_continue(stored: bytes, folded: bytes, partition: int, offset: int) -> None:
    if stored != folded:
        raise JournalDamaged(f"the entries of partition {partition} below {offset} are not those that its snapshot was made of; {RESTORE_HINT}")


def _found(connection: sqlite3.Connection, partition: int) -> Iterator[tuple[Snapshot | None, tuple[int, bytes]]]:
    """The snapshots with their offsets and chain values, newest first; `None` for a changed one."""
    sql = "SELECT offset, parts_end, chain, hash, CAST(body AS BLOB) FROM snapshots WHERE partition = ? ORDER BY offset DESC, id DESC"
    for offset, end, chain, hash_, stored in connection.execute(sql, (partition,)).fetchall():
        body = stored or b""  # a damaged row may hold nothing
        yield _snapshot.decode(body) if _hash(partition, offset, end, body) == hash_ else None, (offset, chain)


def _hash(partition: int, offset: int, end: int, body: bytes) -> str:
    return sha256(f"{partition} {offset} {end} {hash_of(body)}".encode()).hexdigest()
