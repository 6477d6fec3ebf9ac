"""What stands in the topic of events: claims and records, without a gap."""

from __future__ import annotations

from aiokafka import ConsumerRecord

from liveroom.codec import decode_entry
from liveroom.errors import BadMessage, JournalDamaged
from liveroom.journal.base import StoredEntry

__all__ = ["stored_entry"]


def stored_entry(record: ConsumerRecord[bytes, bytes], offset: int) -> StoredEntry:
    """The entry that must stand at `offset`. Raises `JournalDamaged` when another one comes next, or what is no entry."""
    where = f"{record.topic}[{record.partition}]"
    if record.offset != offset:
        raise JournalDamaged(f"{where} has no entry {offset}; it goes on at {record.offset}")
    try:
        return StoredEntry(offset, decode_entry(record.value or b""))
    except BadMessage as error:
        raise JournalDamaged(f"{where}: entry {offset} cannot be read: {error.detail}; only engines may write there") from None
