"""A room's events as JSON lines, read from the journal alone, also while servers write it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from liveroom.config.schema import Config
from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.partition import partition_of
from liveroom.journal.stored_log import StoredLog, open_stored_log
from liveroom.protocol.codec import decode_room_id, encode, event_object
from liveroom.protocol.events import Event
from liveroom.protocol.records import Record

__all__ = ["RoomTail", "tail"]

#: Pause between two looks at a followed journal.
FOLLOW_POLL_S = 0.2


class RoomTail:
    """The events of one room, in order.

    Each call of `more` continues where the last one ended.
    It blocks, as the stored log does.
    """

    def __init__(self, stored_log: StoredLog, room: str) -> None:
        self._stored_log = stored_log
        self._room = room
        self._partition = partition_of(room, stored_log.partitions)
        self._acceptance = Acceptance()
        self._offset = 0

    def more(self) -> Iterator[tuple[int, int, Event]]:
        """The new accepted events as `(time_ms, seq, event)`. Raises `JournalError`."""
        for stored in self._stored_log.entries(self._partition, self._offset):
            self._offset = stored.offset + 1
            if self._acceptance.judge(stored.offset, stored.entry) is Verdict.accepted:
                assert isinstance(stored.entry, Record)
                if (span := stored.entry.rooms.get(self._room)) is not None:
                    for seq, event in enumerate(span.events, span.from_):
                        yield stored.entry.time_ms, seq, event


def tail(config: Config, room: str, *, from_seq: int, follow: bool) -> Iterator[str]:
    """Lines `{"room", "seq", "time_ms", "type", ...}` of accepted events from `from_seq` on; raises `BadConfig`, `BadMessage`, `JournalError`."""
    decode_room_id(room)
    with open_stored_log(config) as stored_log:
        room_tail = RoomTail(stored_log, room)
        while True:
            for time_ms, seq, event in room_tail.more():
                if seq >= from_seq:
                    yield encode({"room": room, "time_ms": time_ms, **event_object(event, seq)}).decode()
            if not follow:
                return
            time.sleep(FOLLOW_POLL_S)
