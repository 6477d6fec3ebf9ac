"""The last events of every room of a partition, so that a room which begins to be held has a past to resume from.

After a restart viewers come back with the seqs that they had. A room's detail alone would begin at the present;
with what was read on the way there from an older snapshot its ring reaches back, and nobody misses an event.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from liveroom.messages.events import Event
from liveroom.messages.records import Record

__all__ = ["History", "Past"]


class Past(Struct, frozen=True):
    """Events of a room that are contiguous from `from_` on; `time_ms` is that of the last."""

    from_: int
    events: tuple[Event, ...]
    time_ms: int


class History:
    """Of one partition, bounded by `events_max` over all its rooms: the oldest records go first."""

    def __init__(self, events_max: int) -> None:
        self._events_max = events_max
        self._events = 0
        self._rooms: dict[str, deque[Past]] = {}
        self._order: deque[str] = deque()  # the room of every span that is kept, oldest first

    def add(self, record: Record) -> None:
        """Keep the events of an accepted record."""
        for room, span in record.rooms.items():
            self._rooms.setdefault(room, deque()).append(Past(span.from_, span.events, record.time_ms))
            self._order.append(room)
            self._events += len(span.events)
        while self._events > self._events_max:
            self._drop_oldest()

    def before(self, room: str, seq: int) -> list[Past]:
        """What is known of a room's events below `seq`, contiguous up to there."""
        found: list[Past] = []
        for past in reversed(self._rooms.get(room, ())):
            if past.from_ >= seq:
                continue
            if past.from_ + len(past.events) != seq:
                break
            found.append(past)
            seq = past.from_
        return found[::-1]

    def _drop_oldest(self) -> None:
        room = self._order.popleft()
        kept = self._rooms[room]
        self._events -= len(kept.popleft().events)
        if not kept:
            del self._rooms[room]
