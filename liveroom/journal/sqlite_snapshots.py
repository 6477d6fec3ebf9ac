"""Snapshots as rows: one for the snapshot, one for each of its chunks, and a hash over all of them."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import TypeAlias

import msgspec
from msgspec import Struct

from liveroom.codec import encode
from liveroom.errors import JournalDamaged
from liveroom.journal.acceptance import Acceptance
from liveroom.journal.base import Snapshot
from liveroom.messages.frames import RoomDetail

__all__ = ["ChainBefore", "Packed", "finish", "load", "pack", "put_chunks", "slices_of", "verify_all"]

logger = logging.getLogger(__name__)

#: Chunks are written in transactions of about this size, so that a large snapshot does not hold up the records.
SLICE_BYTES = 1024 * 1024

#: The chain value that the entry at an offset of a partition is linked to; raises `JournalDamaged` when the one before is missing.
ChainBefore: TypeAlias = Callable[[sqlite3.Connection, int, int], bytes]


class _Chunk(Struct, frozen=True):
    """`kind` is detail or state."""

    number: int
    kind: str
    body: bytes


class Packed(Struct, frozen=True):
    """A snapshot as it is written: its rooms' details and the engine's state are the chunks."""

    partition: int
    offset: int
    time_ms: int
    acceptance: str
    chunks: tuple[_Chunk, ...]
    hash: str


def pack(partition: int, snapshot: Snapshot) -> Packed:
    """Encode a snapshot; for a large one this takes a while and needs no connection."""
    parts = [("detail", encode(detail)) for detail in snapshot.details] + [("state", part) for part in snapshot.state]
    chunks = tuple(_Chunk(number, kind, body) for number, (kind, body) in enumerate(parts))
    acceptance = encode(snapshot.acceptance).decode()
    hash_ = _hash(partition, snapshot.offset, snapshot.time_ms, acceptance, chunks)
    return Packed(partition, snapshot.offset, snapshot.time_ms, acceptance, chunks, hash_)


def slices_of(packed: Packed) -> Iterator[list[_Chunk]]:
    """The chunks in runs of about `SLICE_BYTES`."""
    run: list[_Chunk] = []
    size = 0
    for chunk in packed.chunks:
        run.append(chunk)
        size += len(chunk.body)
        if size >= SLICE_BYTES:
            yield run
            run, size = [], 0
    if run:
        yield run


def put_chunks(connection: sqlite3.Connection, number: int, partition: int, chunks: list[_Chunk]) -> None:
    """Write some of the chunks of snapshot `number`, which nobody sees until `finish`."""
    rows = [(number, chunk.number, partition, chunk.kind, chunk.body) for chunk in chunks]
    connection.executemany("INSERT INTO snapshot_chunks VALUES (?, ?, ?, ?, ?)", rows)


def finish(connection: sqlite3.Connection, number: int, packed: Packed, kept: int, chain_before: ChainBefore) -> None:
    """Make a snapshot visible; all but the newest `kept` of the partition go, and what unfinished ones left behind."""
    chain = chain_before(connection, packed.partition, packed.offset)
    row = (number, packed.partition, packed.offset, packed.time_ms, packed.acceptance, packed.hash, chain)
    connection.execute("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    connection.execute(
        "DELETE FROM snapshots WHERE partition = ?1 AND id NOT IN"
        " (SELECT id FROM snapshots WHERE partition = ?1 ORDER BY offset DESC, id DESC LIMIT ?2)",
        (packed.partition, kept),
    )
    connection.execute("DELETE FROM snapshot_chunks WHERE partition = ? AND snapshot NOT IN (SELECT id FROM snapshots)", (packed.partition,))


def load(connection: sqlite3.Connection, partition: int, oldest: bool, chain_before: ChainBefore) -> Snapshot | None:
    """The newest (or oldest) snapshot that is whole; damaged ones are passed over with a warning.

    Raises: `JournalDamaged` when the entries below a whole one are gone, or are not those that it was made of.
    """
    sql = "SELECT id, offset, time_ms, acceptance, hash, chain FROM snapshots WHERE partition = ? ORDER BY offset DESC, id DESC"
    found = connection.execute(sql, (partition,)).fetchall()
    for number, offset, time_ms, acceptance, hash_, chain in reversed(found) if oldest else found:
        chunks = _whole(connection, number, partition, offset, time_ms, acceptance, hash_)
        if chunks is None:
            logger.warning("a snapshot is damaged and passed over", extra={"partition": partition, "offset": offset})
            continue
        _must_continue(chain_before(connection, partition, offset), chain, partition, offset)
        return Snapshot(
            offset=offset,
            time_ms=time_ms,
            acceptance=msgspec.json.decode(acceptance, type=Acceptance),
            details=tuple(_detail.decode(chunk.body) for chunk in chunks if chunk.kind == "detail"),
            state=tuple(chunk.body for chunk in chunks if chunk.kind == "state"),
        )
    return None


def verify_all(connection: sqlite3.Connection, partition: int, chain_before: ChainBefore) -> None:
    """Raises `JournalDamaged` unless every snapshot of the partition is whole and of the entries below it."""
    connection.execute("BEGIN")  # as of one moment: a server may write
    try:
        rows = connection.execute("SELECT id, offset, time_ms, acceptance, hash, chain FROM snapshots WHERE partition = ?", (partition,)).fetchall()
        for number, offset, time_ms, acceptance, hash_, chain in rows:
            if _whole(connection, number, partition, offset, time_ms, acceptance, hash_) is None:
                raise JournalDamaged(f"the snapshot of partition {partition} at {offset} is not the one that was written")
            _must_continue(chain_before(connection, partition, offset), chain, partition, offset)
    finally:
        connection.execute("ROLLBACK")


def _must_continue(stored: bytes, folded: bytes, partition: int, offset: int) -> None:
    if stored != folded:
        raise JournalDamaged(
            f"the entries of partition {partition} below {offset} are not those that its snapshot was made of; restore the journal from a copy"
        )


def _whole(
    connection: sqlite3.Connection, number: int, partition: int, offset: int, time_ms: int, acceptance: str, hash_: str
) -> list[_Chunk] | None:
    """The chunks of a snapshot, if they are those that were written."""
    rows = connection.execute("SELECT chunk, kind, body FROM snapshot_chunks WHERE snapshot = ? ORDER BY chunk", (number,))
    chunks = [_Chunk(*row) for row in rows]
    whole = all(isinstance(chunk.body, bytes) for chunk in chunks) and _hash(partition, offset, time_ms, acceptance, chunks) == hash_
    return chunks if whole else None


_detail = msgspec.json.Decoder(RoomDetail)


def _hash(partition: int, offset: int, time_ms: int, acceptance: str, chunks: Iterable[_Chunk]) -> str:
    digest = sha256(f"{partition} {offset} {time_ms} {acceptance}\n".encode())
    for chunk in chunks:
        digest.update(f"{chunk.number} {chunk.kind} {len(chunk.body)}\n".encode())
        digest.update(chunk.body)
    return digest.hexdigest()
