"""Snapshots in a compacted topic: chunks, then one record that makes them a snapshot.

A partition has as many slots as snapshots are kept; a new snapshot goes into the slot of the oldest, so that
compaction drops what it replaces. Its last record, the manifest, names the offset at which its chunks begin and the
manifests before it: so the newest is found from the end of the log, whatever its length.
"""

from __future__ import annotations

import logging
import uuid
from asyncio import Future
from collections.abc import Container
from contextlib import aclosing
from hashlib import sha256
from typing import TypeAlias

import msgspec
from aiokafka import ConsumerRecord
from msgspec import Struct

from liveroom.codec import encode
from liveroom.errors import JournalDamaged
from liveroom.journal.acceptance import Acceptance
from liveroom.journal.base import Snapshot, mark_of
from liveroom.journal.kafka_entries import Place, stored_entries
from liveroom.journal.kafka_reader import Reader
from liveroom.journal.kafka_topics import Topics
from liveroom.journal.kafka_writer import Writer
from liveroom.messages.frames import RoomDetail

__all__ = ["Snapshots"]

logger = logging.getLogger(__name__)

#: Chunks that may be on their way at once.
CHUNKS_IN_FLIGHT_MAX = 16
#: Records that the first look back from the end of the log takes in; each further look takes in twice as many.
LOOK_BACK_RECORDS = 4

_KIND = "kind"
_SNAPSHOT = "snapshot"

Found: TypeAlias = "ConsumerRecord[bytes, bytes]"


class _Manifest(Struct, frozen=True):
    id: str
    slot: int
    offset: int
    time_ms: int
    acceptance: Acceptance
    hash: str
    chunks: int
    first: int  # offset of the first chunk in this topic
    before: tuple[int, ...]  # offsets of the manifests that are kept beside this one, newest first
    mark: str = ""  # of the last event that is in it


_manifest = msgspec.json.Decoder(_Manifest)
_detail = msgspec.json.Decoder(RoomDetail)


class Snapshots:
    """Of all partitions."""

    def __init__(self, reader: Reader, writer: Writer, topics: Topics, kept: int, nothing_at: Container[Place]) -> None:
        self._reader = reader
        self._writer = writer
        self._topic = topics.snapshots
        self._events = topics.events
        self._kept = kept
        self._nothing_at = nothing_at

    async def save(self, partition: int, snapshot: Snapshot) -> None:
        """Write a snapshot. Raises `JournalError`; what was written of it then does not count."""
        before = await self._manifests(partition)
        parts = [(b"detail", encode(detail)) for detail in snapshot.details] + [(b"state", part) for part in snapshot.state]
        slot = (before[0][1].slot + 1) % self._kept if before else 0
        identity = uuid.uuid4().hex
        first = await self._put_chunks(partition, slot, identity, parts)
        manifest = _Manifest(
            id=identity,
            slot=slot,
            offset=snapshot.offset,
            time_ms=snapshot.time_ms,
            acceptance=snapshot.acceptance,
            hash=_hash(parts),
            chunks=len(parts),
            first=first,
            before=tuple(at for at, other in before if other.slot != slot)[: self._kept - 1],
            mark=snapshot.mark,
        )
        headers = ((_KIND, b"manifest"),)
        await self._writer.append(self._topic, partition, encode(manifest), key=f"{slot}/manifest".encode(), headers=headers)
        replaced = next((other for _, other in before if other.slot == slot), None)
        for number in range(len(parts), replaced.chunks if replaced else 0):  # those of a larger one before
            await self._writer.append(self._topic, partition, None, key=f"{slot}/{number}".encode())

    async def load(self, partition: int, *, oldest: bool) -> Snapshot | None:
        """The newest (or oldest) snapshot that is whole and of events that are there; what is not is passed over with a warning.

        Raises: `JournalDamaged` when all are of events that are not there: to begin without them would decide anew what was promised to people.
        """
        manifests = sorted(await self._manifests(partition), key=lambda found: found[1].offset, reverse=not oldest)
        start, end = await self._reader.bounds(self._events, partition)  # asked last: what a snapshot is of stood there before it
        of_others = 0
        for at, manifest in manifests:
            words = {"partition": partition, "offset": manifest.offset, "end": end}
            mark = await self._mark(partition, manifest.offset, start, end)
            if manifest.offset > end or (mark and manifest.mark and mark != manifest.mark):
                of_others += 1
                logger.error("a snapshot is of events that are not there and passed over: the topic of events was cut or made anew", extra=words)
            elif snapshot := await self._read(partition, at, manifest):
                return snapshot
            else:
                logger.warning("a snapshot is not whole and passed over", extra=words)
        if manifests and of_others == len(manifests):
            raise JournalDamaged(f"{self._events}[{partition}] ends at {end} and is not what its snapshots are of: the topic was cut or made anew")
        return None

    async def _mark(self, partition: int, offset: int, start: int, end: int) -> str:
        """The mark of what stands before `offset`; empty when nothing does."""
        if not start < offset <= end:
            return ""
        for record in await self._some(self._events, partition, offset - 1, offset):
            return mark_of(next(stored_entries(record, offset - 1, self._nothing_at)).entry)
        return ""

    async def _put_chunks(self, partition: int, slot: int, identity: str, parts: list[tuple[bytes, bytes]]) -> int:
        waiting: list[Future[int]] = []
        first = -1
        for number, (kind, body) in enumerate(parts):
            headers = ((_KIND, kind), (_SNAPSHOT, identity.encode()))
            waiting.append(self._writer.append(self._topic, partition, body, key=f"{slot}/{number}".encode(), headers=headers))
            if len(waiting) >= CHUNKS_IN_FLIGHT_MAX:
                offset = await waiting.pop(0)
                first = offset if first < 0 else first
        for future in waiting:
            offset = await future
            first = offset if first < 0 else first
        return first

    async def _manifests(self, partition: int) -> list[tuple[int, _Manifest]]:
        """The newest manifest and those that it names, with their offsets; those that are gone are left out."""
        start, end = await self._reader.bounds(self._topic, partition)
        newest = await self._newest_manifest(partition, start, end)
        if newest is None:
            return []
        found = [newest]
        for at in newest[1].before:
            for record in await self._some(self._topic, partition, at, at + 1) if at >= start else ():
                if manifest := _manifest_of(record):
                    found.append((at, manifest))
        return found

    async def _newest_manifest(self, partition: int, start: int, end: int) -> tuple[int, _Manifest] | None:
        count, upper = LOOK_BACK_RECORDS, end
        while upper > start:
            lower = max(start, upper - count)
            for record in reversed(await self._some(self._topic, partition, lower, upper)):
                if manifest := _manifest_of(record):
                    return record.offset, manifest
            count, upper = count * 2, lower
        return None

    async def _read(self, partition: int, at: int, manifest: _Manifest) -> Snapshot | None:
        records = await self._some(self._topic, partition, manifest.first, at) if manifest.chunks else []
        chunks = [record for record in records if _header(record, _SNAPSHOT) == manifest.id.encode()]
        parts = [(_header(record, _KIND), record.value or b"") for record in chunks]
        if len(parts) != manifest.chunks or _hash(parts) != manifest.hash:
            return None
        return Snapshot(
            offset=manifest.offset,
            time_ms=manifest.time_ms,
            acceptance=manifest.acceptance,
            details=tuple(_detail.decode(body) for kind, body in parts if kind == b"detail"),
            state=tuple(body for kind, body in parts if kind == b"state"),
            mark=manifest.mark,
        )

    async def _some(self, topic: str, partition: int, start: int, end: int) -> list[Found]:
        """What is left of the records in [start, end); the log goes on at least to `end`."""
        found: list[Found] = []
        async with aclosing(self._reader.read_until(topic, partition, start, end)) as runs:
            async for records in runs:
                found += records
        return found


def _manifest_of(record: Found) -> _Manifest | None:
    if _header(record, _KIND) != b"manifest":
        return None
    try:
        return _manifest.decode(record.value or b"")
    except msgspec.DecodeError as error:
        words = {"topic": record.topic, "partition": record.partition, "offset": record.offset, "error": str(error)}
        logger.warning("a snapshot's manifest cannot be read and is passed over; only engines may write there", extra=words)
        return None


def _header(record: Found, name: str) -> bytes:
    return next((value for key, value in record.headers if key == name), b"")


def _hash(parts: list[tuple[bytes, bytes]]) -> str:
    digest = sha256()
    for kind, body in parts:
        digest.update(b"%s %d\n" % (kind, len(body)))
        digest.update(body)
    return digest.hexdigest()
