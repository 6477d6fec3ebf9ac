"""All rooms that the console knows: kept current from the journal, sorted by viewers, searchable, bounded."""

from __future__ import annotations

import base64
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

import msgspec

from liveroom.console.view import RoomView, SortKey, fold_text, new_detail
from liveroom.errors import BadMessage
from liveroom.messages.events import RoomOpened
from liveroom.messages.frames import RoomDetail
from liveroom.messages.records import Record, RoomSpan

__all__ = ["SCAN_ROOMS_MAX", "Directory"]

#: Rooms that one search looks at; a page may so hold fewer rooms than asked for, and still name a next one.
SCAN_ROOMS_MAX = 10_000

#: Sorts before every closed room and after every open one.
FIRST_CLOSED: SortKey = (True, -(2**63), "")

_cursor: msgspec.json.Decoder[SortKey] = msgspec.json.Decoder(SortKey)


class Directory:
    """Holds at most `rooms_max` rooms. Beyond it the room closed longest ago is forgotten first, then the one held longest."""

    def __init__(self, rooms_max: int, chat_lines: int) -> None:
        self._rooms_max = rooms_max
        self._chat_lines = chat_lines
        self._rooms: dict[str, RoomView] = {}
        self._closed: dict[str, None] = {}  # in the order of closing
        self._order: list[SortKey] = []

    def __len__(self) -> int:
        return len(self._rooms)

    def find(self, room: str) -> RoomView | None:
        """The room, if it was ever opened and is not forgotten."""
        return self._rooms.get(room)

    def begin(self, partition: int, details: Iterable[RoomDetail]) -> None:
        """Replace all that is known of a partition."""
        for room in [room for room, view in self._rooms.items() if view.partition == partition]:
            del self._rooms[room]
            self._closed.pop(room, None)
        for detail in details:
            view = self._rooms[detail.keyframe.room] = RoomView(partition, detail, self._chat_lines)
            if not view.keyframe.open:
                self._closed[detail.keyframe.room] = None
        self._order = sorted(view.sort_key for view in self._rooms.values())
        while len(self._rooms) > self._rooms_max:
            self._forget_one()

    def apply(self, partition: int, record: Record) -> list[str]:
        """Fold an accepted record; returns rooms that opened but whose earlier story was forgotten: ask for their detail."""
        missing = []
        for room, span in record.rooms.items():
            if not self._apply_span(partition, room, span, record.time_ms) and any(isinstance(e, RoomOpened) for e in span.events):
                missing.append(room)
        for keyframe in record.keyframes:
            if view := self._rooms.get(keyframe.room):
                before = view.sort_key
                view.keyframe = keyframe
                view.note_texts()
                self._place(view, before)
        for detail in record.details:
            if not detail.continues:
                self._put(RoomView(partition, detail, self._chat_lines))
            elif view := self._rooms.get(detail.keyframe.room):
                view.go_on(detail)
        return [room for room in missing if room not in self._rooms]

    def page(self, query: str, is_open: bool | None, limit: int, after: str) -> tuple[list[RoomView], str | None]:
        """Up to `limit` rooms, most viewers first, and where to go on; `is_open` `None` = open ones, then closed ones.

        Raises `BadMessage` when `after` is none of ours.
        """
        words = " ".join(fold_text(query).split())  # no line break: those stand between a room's texts
        start = bisect_right(self._order, _decode_cursor(after)) if after else 0
        first_closed = bisect_left(self._order, FIRST_CLOSED)
        if is_open is False:
            start = max(start, first_closed)
        stop = first_closed if is_open else len(self._order)
        found: list[RoomView] = []
        for at in range(start, min(stop, start + SCAN_ROOMS_MAX)):
            view = self._rooms[self._order[at][2]]
            if words in view.text:
                found.append(view)
                if len(found) == limit:
                    return found, _encode_cursor(self._order[at]) if at + 1 < stop else None
        more = start + SCAN_ROOMS_MAX < stop
        return found, _encode_cursor(self._order[start + SCAN_ROOMS_MAX - 1]) if more else None

    def _apply_span(self, partition: int, room: str, span: RoomSpan, time_ms: int) -> bool:
        view = self._rooms.get(room)
        if view is None:
            opened = span.events[0]
            if span.from_ != 0 or not isinstance(opened, RoomOpened):
                return False
            view = RoomView(partition, new_detail(room, opened, time_ms), self._chat_lines)
            self._put(view)
        before = view.sort_key
        view.apply(span, time_ms)
        self._place(view, before)
        return True

    def _put(self, view: RoomView) -> None:
        room = view.keyframe.room
        if room in self._rooms:
            self._forget(room)
        elif len(self._rooms) >= self._rooms_max:
            self._forget_one()
        self._rooms[room] = view
        insort(self._order, view.sort_key)
        if not view.keyframe.open:
            self._closed[room] = None

    def _place(self, view: RoomView, before: SortKey) -> None:
        after = view.sort_key
        if after == before:
            return
        del self._order[bisect_left(self._order, before)]
        insort(self._order, after)
        if view.keyframe.open:
            self._closed.pop(view.keyframe.room, None)
        else:
            self._closed.setdefault(view.keyframe.room)

    def _forget_one(self) -> None:
        self._forget(next(iter(self._closed or self._rooms)))

    def _forget(self, room: str) -> None:
        view = self._rooms.pop(room)
        self._closed.pop(room, None)
        del self._order[bisect_left(self._order, view.sort_key)]


def _encode_cursor(key: SortKey) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def _decode_cursor(text: str) -> SortKey:
    try:
        return _cursor.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, msgspec.MsgspecError):
        raise BadMessage("bad_value", "`after` is the `next` of an earlier answer", "after") from None
