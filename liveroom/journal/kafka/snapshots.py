"""Snapshots in a compacted topic: parts under their hashes, then one record, the manifest, that makes some of them a snapshot.

A partition has as many slots for manifests as snapshots are stored; a new one replaces the oldest.
A manifest names the manifests before it, so the newest one at the end of the log leads to all.
A part that no stored manifest names gets a tombstone, and compaction drops it.
A place is an offset; compaction does not change offsets.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import Container, Iterable, Sequence
from contextlib import aclosing
from typing import TypeAlias

import msgspec
from aiokafka import ConsumerRecord
from msgspec import Struct

from liveroom.journal.base import Snapshot, decode_gone, entry_id
from liveroom.journal.kafka.entries import Place, stored_entries
from liveroom.journal.kafka.known import CUT_S, KnownEnds, Seen
from liveroom.journal.kafka.reader import KafkaReader
from liveroom.journal.kafka.records import unreadable
from liveroom.journal.kafka.topics import Topics
from liveroom.journal.kafka.writer import KafkaWriter
from liveroom.messages.errors import JournalUnavailable
from liveroom.protocol.codec import encode

__all__ = ["KafkaSnapshots"]

logger = logging.getLogger(__name__)

#: Limit of the snapshot records in flight.
IN_FLIGHT_MAX = 16

_KIND = "kind"

Found: TypeAlias = "ConsumerRecord[bytes, bytes]"


class _Manifest(Struct, frozen=True):
    slot: int
    before: tuple[int, ...]  # offsets of the other stored manifests, newest first
    snapshot: Snapshot


_manifest = msgspec.json.Decoder(_Manifest)


class KafkaSnapshots:
    """The snapshots of all partitions."""

    def __init__(self, reader: KafkaReader, writer: KafkaWriter, topics: Topics, kept: int, skipped: Container[Place], ends: KnownEnds) -> None:
        self._reader = reader
        self._writer = writer
        self._topic = topics.snapshots
        self._events = topics.events
        self._kept = kept
        self._skipped = skipped
        self._ends = ends
        self._put: dict[int, dict[bytes, int]] = {}  # partition -> keys and places of the parts written since the last snapshot

    async def put(self, partition: int, parts: Sequence[tuple[str, bytes]]) -> list[int]:
        """Write parts; gives their offsets."""
        keyed = [(hash_.encode(), body) for hash_, body in parts]
        places = await self._write(partition, keyed, b"part")
        self._put.setdefault(partition, {}).update(zip((key for key, _ in keyed), places, strict=True))
        return places

    async def get(self, partition: int, places: Sequence[int]) -> list[bytes | None]:
        """The remaining parts at these offsets."""
        found = await self._reader.pick(self._topic, partition, places)
        return [found[place].value if place in found and unreadable(found[place]) is None else None for place in places]

    async def save(self, partition: int, snapshot: Snapshot) -> None:
        """Write a snapshot. Raises `JournalError`; the parts written for it then do not count."""
        found = await self._manifests(partition)
        await self._must_not_be_overtaken(partition, snapshot, [other for _, other in found])
        older = [(at, other) for at, other in found if other.snapshot.offset <= snapshot.before]
        base = next((at for at, other in older if other.snapshot.offset == snapshot.before), None)
        dead = await self._unfinished(partition, base, snapshot.first)
        if len(older) >= self._kept:  # tombstones come before the new manifest, so that a crash in between loses none
            for _, dropped in older[self._kept - 1 :]:  # several if fewer are stored than before
                dead += await self._gone(partition, dropped.snapshot)
        await self._write(partition, [(key, None) for key in dict.fromkeys(dead)], b"gone")
        kept = older[: self._kept - 1]
        slot = min(set(range(self._kept)) - {other.slot for _, other in kept})
        manifest = encode(_Manifest(slot, tuple(at for at, _ in kept), snapshot))
        await self._write(partition, [(f"{slot}/manifest".encode(), manifest)], b"manifest")
        self._put.pop(partition, None)

    async def _must_not_be_overtaken(self, partition: int, snapshot: Snapshot, others: Sequence[_Manifest]) -> None:
        """Raises `JournalUnavailable` for an engine that lost the partition. It would drop parts that its successor's snapshots name."""
        newer = [other.snapshot for other in others if other.snapshot.acceptance.fencing_epoch > snapshot.acceptance.fencing_epoch]
        if newer and await self._that_count(partition, newer):
            raise JournalUnavailable(f"an engine that took over partition {partition} later has saved a snapshot of it")

    async def _unfinished(self, partition: int, base: int | None, first: int) -> list[bytes]:
        """Keys of parts after the base manifest that belong to unfinished snapshots."""
        start, end = await self._reader.bounds(self._topic, partition)
        begin, stop = start if base is None else base + 1, first if first >= 0 else end
        ours = {key for key, place in self._put.get(partition, {}).items() if 0 <= first <= place}
        records = await self._some(self._topic, partition, max(start, begin), stop) if begin < stop else []
        return [record.key for record in records if _kind(record) == b"part" and record.key and record.key not in ours]

    async def _gone(self, partition: int, snapshot: Snapshot) -> list[bytes]:
        """Keys of parts that the snapshot before names and this one does not."""
        lists = await self.get(partition, [part.place for part in snapshot.gone])
        return [part.hash.encode() for one in lists if one is not None for part in decode_gone(one)]

    async def _write(self, partition: int, records: Iterable[tuple[bytes, bytes | None]], kind: bytes) -> list[int]:
        waiting: list[Future[int]] = []
        offsets: list[int] = []
        for key, body in records:
            waiting.append(self._writer.append(self._topic, partition, body, key=key, headers=((_KIND, kind),)))
            if len(waiting) >= IN_FLIGHT_MAX:
                offsets.append(await waiting.pop(0))
        return offsets + [await future for future in waiting]

    async def load(self, partition: int) -> list[Snapshot]:
        """The usable snapshots, newest first: those whose events, and all later events, are there.

        Raises: `JournalDamaged` when the events of one are gone, or when events after the newest were deleted.
        An engine that went on without them would decide again what was promised to users.
        Spans in `kafka.events_lost` are skipped.
        """
        found = [manifest.snapshot for _, manifest in await self._manifests(partition)]
        snapshots = await self._that_count(partition, sorted(found, key=lambda snapshot: snapshot.offset, reverse=True))
        start = await self._reader.start(self._events, partition)
        usable = [snapshot for snapshot in snapshots if snapshot.offset >= start]
        if snapshots and not usable:
            words = f"begins at {start}, and the newest snapshot is of the entries up to {snapshots[0].offset}: those between were deleted"
            self._ends.stop(partition, f"{self._events}[{partition}] {words}")
        return usable

    async def _that_count(self, partition: int, snapshots: Sequence[Snapshot]) -> list[Snapshot]:
        """All snapshots but those of lost events that the settings give up.

        Raises `JournalDamaged` for a snapshot of other events than the present ones.
        """
        those: list[Snapshot] = []
        for snapshot in snapshots:
            if self._ends.is_lost(partition, snapshot.offset):
                logger.warning("a snapshot of lost events is skipped", extra={"partition": partition, "offset": snapshot.offset})
                continue
            self._ends.must_reach(partition, Seen(snapshot.offset, ""))
            start, end = await self._bounds(partition)
            before_id = await self._entry_id_before(partition, snapshot.offset, start, end)
            if before_id and snapshot.last_entry_id and before_id != snapshot.last_entry_id:
                words = f"{self._events}[{partition}] ends at {end} and is not what a snapshot of its entries up to {snapshot.offset} is of"
                remedy = f"nothing is decided on it; an operator may give them up (kafka.events_lost = {partition}:FROM-{snapshot.offset})"
                self._ends.stop(partition, f"{words}: the topic was cut or recreated; {remedy}")
            those.append(snapshot)
        return those

    async def _bounds(self, partition: int) -> tuple[int, int]:
        """The start and end of the events. Raises `JournalDamaged` when known entries are missing."""
        while True:
            known_end = self._ends.end(partition)
            # asked last, because the events of a snapshot were there before the snapshot
            start, end = await self._reader.bounds(self._events, partition)
            if self._ends.reaches(partition, end, known_end, asyncio.get_running_loop().time()):
                return start, end
            await asyncio.sleep(CUT_S / 10)

    async def _entry_id_before(self, partition: int, offset: int, start: int, end: int) -> str:
        """The id of the entry before `offset`; empty without one."""
        if not start < offset <= end:
            return ""
        for record in await self._some(self._events, partition, offset - 1, offset):
            return entry_id(next(stored_entries(record, offset - 1, self._skipped)).entry)
        return ""

    async def _manifests(self, partition: int) -> list[tuple[int, _Manifest]]:
        """The newest manifest and those that it names, with their offsets; missing ones are left out."""
        start, end = await self._reader.bounds(self._topic, partition)
        newest = await self._reader.newest(self._topic, partition, start, end, _manifest_at)
        if newest is None:
            return []
        found = [newest]
        for at in newest[1].before:
            for record in await self._some(self._topic, partition, at, at + 1) if at >= start else ():
                if manifest := _manifest_of(record):
                    found.append((at, manifest))
        return found

    async def _some(self, topic: str, partition: int, start: int, end: int) -> list[Found]:
        """The remaining records in [start, end); the log reaches at least to `end`."""
        found: list[Found] = []
        async with aclosing(self._reader.read_until(topic, partition, start, end)) as runs:
            async for records in runs:
                found += records
        return found


def _manifest_at(record: Found) -> tuple[int, _Manifest] | None:
    return None if (manifest := _manifest_of(record)) is None else (record.offset, manifest)


def _manifest_of(record: Found) -> _Manifest | None:
    if (bad := unreadable(record)) is not None:
        words = {"topic": record.topic, "partition": record.partition, "offset": record.offset, "error": bad.reason}
        logger.warning("a record of snapshots cannot be read and is skipped", extra=words)
    if _kind(record) != b"manifest":
        return None
    try:
        return _manifest.decode(record.value or b"")
    except msgspec.DecodeError as error:
        words = {"topic": record.topic, "partition": record.partition, "offset": record.offset, "error": str(error)}
        logger.warning("a snapshot's manifest cannot be read and is skipped; only engines may write there", extra=words)
        return None


def _kind(record: Found) -> bytes:
    return next((value for key, value in record.headers if key == _KIND), b"")
