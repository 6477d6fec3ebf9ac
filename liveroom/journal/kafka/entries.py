"""The entries in the topic of events: takeovers and records, without a gap."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Final, TypeAlias

from aiokafka import ConsumerRecord

from liveroom.config.schema import KafkaConfig
from liveroom.journal.acceptance import NO_FENCING_EPOCH
from liveroom.journal.base import StoredEntry
from liveroom.journal.kafka.records import unreadable
from liveroom.messages.errors import BadMessage, JournalDamaged
from liveroom.protocol.codec import decode_entry
from liveroom.protocol.records import RECORD_VERSION, Record

__all__ = ["Place", "skip_offsets", "stored_entries"]

#: A partition and an offset.
Place: TypeAlias = tuple[int, int]

#: Stands in for an offset that the settings skip. No reader accepts it, since no takeover has its fencing epoch.
_SKIPPED: Final = Record(RECORD_VERSION, fencing_epoch=NO_FENCING_EPOCH - 1, step=0, from_=0, to=0, time_ms=0)


def skip_offsets(config: KafkaConfig) -> frozenset[Place]:
    """The places of foreign records that the settings skip."""
    return frozenset((int(partition), int(offset)) for partition, _, offset in (place.partition(":") for place in config.skip_offsets))


def stored_entries(record: ConsumerRecord[bytes, bytes], offset: int, skipped: Container[Place]) -> Iterator[StoredEntry]:
    """The entry that must be at `offset`.
    A missing or unreadable one is skipped if `skipped` lists its place.

    Raises: `JournalDamaged` for another offset or an unreadable entry.
    """
    where = f"{record.topic}[{record.partition}]"
    while offset < record.offset and (record.partition, offset) in skipped:
        yield StoredEntry(offset, _SKIPPED)
        offset += 1
    if record.offset != offset:
        raise JournalDamaged(f"{where} has no entry {offset}; it goes on at {record.offset}")
    try:
        yield StoredEntry(offset, decode_entry(record.value or b""))
    except BadMessage as error:
        if (record.partition, offset) not in skipped:
            bad = unreadable(record)
            words = f"{error.detail}; only engines may write there" if bad is None else bad.reason
            raise JournalDamaged(f"{where}: entry {offset} cannot be read: {words}") from None
        yield StoredEntry(offset, _SKIPPED)
