"""The last events of every room of a partition, so that a room which begins to be held has a past to resume from.

After a restart viewers come back with the seqs that they had. A room's detail alone would begin at the present;
with what was read on the way there from an older snapshot its ring reaches back, and nobody misses an event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from liveroom.messages.fields import Delivery
from liveroom.protocol.codec import memory_bytes
from liveroom.protocol.events import BannedWordsSet, Event
from liveroom.protocol.records import Record

__all__ = ["EventSpan", "ReplayBuffer"]


#: Stands for every event that no viewer is shown: such events may be large, and only their place matters here.
UNSHOWN: Final = BannedWordsSet((), "")
#: Bytes of a kept span beside its events.
SPAN_BYTES: Final = 512


class EventSpan(Struct, frozen=True, gc=False):
    """Events of a room that are contiguous from `from_` on; `time_ms` is that of the last."""

    from_: int
    events: tuple[Event, ...]
    time_ms: int


class ReplayBuffer:
    """Of one partition, bounded by `events_max` and by `bytes_max` over all its rooms: the oldest records go first."""

    def __init__(self, events_max: int, bytes_max: int) -> None:
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._events = 0
        self._rooms: dict[str, deque[EventSpan]] = {}
        self._order: deque[tuple[str, int]] = deque()  # the room and the bytes of every span that is kept, oldest first
        self.bytes = 0

    def add(self, record: Record) -> None:
        """Keep the events of an accepted record."""
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
        """What is known of a room's events below `seq`, contiguous up to there."""
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
    """At least what the events take in memory; a test compares it."""
    return SPAN_BYTES + memory_bytes([event for event in events if event is not UNSHOWN])
