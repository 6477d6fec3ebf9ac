"""What stands in the topic of events: claims and records, without a gap."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Final, TypeAlias

from aiokafka import ConsumerRecord

from liveroom.config.schema import KafkaConfig
from liveroom.journal.acceptance import NO_EPOCH
from liveroom.journal.base import StoredEntry
from liveroom.journal.kafka.records import unreadable
from liveroom.messages.errors import BadMessage, JournalDamaged
from liveroom.protocol.codec import decode_entry
from liveroom.protocol.records import RECORD_VERSION, Record

__all__ = ["Place", "passed_over", "stored_entries"]

#: Partition and offset.
Place: TypeAlias = tuple[int, int]

#: Stands where a person said that nothing does; no rule counts it, since no epoch is like its own.
_NOTHING: Final = Record(RECORD_VERSION, epoch=NO_EPOCH - 1, step=0, from_=0, to=0, time_ms=0)


def passed_over(config: KafkaConfig) -> frozenset[Place]:
    """Where a person found what no engine wrote."""
    return frozenset((int(partition), int(offset)) for partition, _, offset in (place.partition(":") for place in config.events_passed_over))


def stored_entries(record: ConsumerRecord[bytes, bytes], offset: int, nothing_at: Container[Place]) -> Iterator[StoredEntry]:
    """The entry that must stand at `offset`; what is not there, or is no entry, is passed over where `nothing_at` says so.

    Raises: `JournalDamaged` when another one comes next, or what is no entry.
    """
    where = f"{record.topic}[{record.partition}]"
    while offset < record.offset and (record.partition, offset) in nothing_at:
        yield StoredEntry(offset, _NOTHING)
        offset += 1
    if record.offset != offset:
        raise JournalDamaged(f"{where} has no entry {offset}; it goes on at {record.offset}")
    try:
        yield StoredEntry(offset, decode_entry(record.value or b""))
    except BadMessage as error:
        if (record.partition, offset) not in nothing_at:
            bad = unreadable(record)
            words = f"{error.detail}; only engines may write there" if bad is None else bad.reason
            raise JournalDamaged(f"{where}: entry {offset} cannot be read: {words}") from None
        yield StoredEntry(offset, _NOTHING)
