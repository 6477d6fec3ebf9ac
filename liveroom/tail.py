"""A room's story as JSON lines, read from the journal's file alone, also while a server writes it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from liveroom.codec import decode_room_id, encode, event_object
from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.partition import partition_of
from liveroom.journal.sqlite_reader import open_reader
from liveroom.messages.records import Record

__all__ = ["tail"]

#: How often a followed file is looked at for more.
FOLLOW_POLL_S = 0.2


def tail(data_dir: Path, room: str, *, from_seq: int, follow: bool) -> Iterator[str]:
    """Lines `{"room", "seq", "time_ms", "type", ...}` of accepted events from `from_seq` on; raises `BadMessage`, `JournalError`."""
    decode_room_id(room)
    with open_reader(data_dir) as reader:
        partition = partition_of(room, reader.partitions)
        acceptance = Acceptance()
        offset = 0
        while True:
            for stored in reader.entries(partition, offset):
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
