"""The newest events of every room of a partition, so that clients can resume in a room that the gateway has just begun to hold.

After a restart, viewers reconnect with their old cursors. A room's detail alone would begin at the present.
The follower reads events on the way from an older snapshot, and with these events the room's ring reaches back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from liveroom.features.moderation.messages import BannedWordsSet
from liveroom.messages.fields import Delivery
from liveroom.protocol.codec import memory_bytes
from liveroom.protocol.events import Event
from liveroom.protocol.records import Record

__all__ = ["EventSpan", "ReplayBuffer"]


#: Takes the place of every internal event. Such events may be large, and only their seqs matter here.
UNSHOWN: Final = BannedWordsSet((), "")
#: Bytes of a kept span without its events.
SPAN_BYTES: Final = 512


class EventSpan(Struct, frozen=True, gc=False):
    """Contiguous events of a room, from the seq `from_` on. `time_ms` is the time of the last one."""

    from_: int
    events: tuple[Event, ...]
    time_ms: int


class ReplayBuffer:
    """The newest events of one partition. `events_max` and `bytes_max` bound all its rooms together; the oldest records are dropped first."""

    def __init__(self, events_max: int, bytes_max: int) -> None:
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._events = 0
        self._rooms: dict[str, deque[EventSpan]] = {}
        self._order: deque[tuple[str, int]] = deque()  # the room and the bytes of every kept span, oldest first
        self.bytes = 0

    def add(self, record: Record) -> None:
        """Add the events of an accepted record."""
        for room, span in record.rooms.items():
            events = tuple(UNSHOWN if event.delivery is Delivery.internal else event for event in span.events)
            size = _bytes_of(events)
            self._rooms.setdefault(room, deque()).append(EventSpan(span.from_, events, record.time_ms))
            self._order.append((room, size))
            self._events += len(events)
            self.bytes += size
        while self._order and (self._events > self._events_max or self.bytes > self._bytes_max):
            self._drop_oldest()

    def before(self, room: str, seq: int) -> list[EventSpan]:
        """The kept spans of a room below `seq`, contiguous up to `seq`."""
        found: list[EventSpan] = []
        for past in reversed(self._rooms.get(room, ())):
            if past.from_ >= seq:
                continue
            if past.from_ + len(past.events) != seq:
                break
            found.append(past)
            seq = past.from_
        return found[::-1]

    def _drop_oldest(self) -> None:
        room, size = self._order.popleft()
        kept = self._rooms[room]
        self._events -= len(kept.popleft().events)
        self.bytes -= size
        if not kept:
            del self._rooms[room]


def _bytes_of(events: Sequence[Event]) -> int:
    """An upper bound of the events' size in memory, which a test compares with the real size."""
    return SPAN_BYTES + memory_bytes([event for event in events if event is not UNSHOWN])
