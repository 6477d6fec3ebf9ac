"""A room's story as JSON lines, read from the journal alone, also while servers write it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from liveroom.codec import decode_room_id, encode, event_object
from liveroom.config import Config
from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.partition import partition_of
from liveroom.journal.past import open_past
from liveroom.messages.records import Record

__all__ = ["tail"]

#: How often a followed journal is looked at for more.
FOLLOW_POLL_S = 0.2


def tail(config: Config, room: str, *, from_seq: int, follow: bool) -> Iterator[str]:
    """Lines `{"room", "seq", "time_ms", "type", ...}` of accepted events from `from_seq` on; raises `BadConfig`, `BadMessage`, `JournalError`."""
    decode_room_id(room)
    with open_past(config) as past:
        partition = partition_of(room, past.partitions)
        acceptance = Acceptance()
        offset = 0
        while True:
            for stored in past.entries(partition, offset):
                offset = stored.offset + 1
                if acceptance.judge(stored.offset, stored.entry) is Verdict.accepted:
                    assert isinstance(stored.entry, Record)
                    yield from _lines(room, stored.entry, from_seq)
            if not follow:
                return
            time.sleep(FOLLOW_POLL_S)


def _lines(room: str, record: Record, from_seq: int) -> Iterator[str]:
    span = record.rooms.get(room)
    if span is None:
        return
    for seq, event in enumerate(span.events, span.from_):
        if seq >= from_seq:
            yield encode({"room": room, "time_ms": record.time_ms, **event_object(event, seq)}).decode()
