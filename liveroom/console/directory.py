"""The directory of all rooms that the console knows: current with the journal, sorted by viewers, searchable and bounded.

The order changes with every count of viewers.
Therefore consecutive pages come from one copy of the order, a listing, so that no room appears twice or is missed.
A cursor names the listing and the place in it.
If the listing is gone, or another console answers, the cursor continues in the present order at the room that it names.
"""

from __future__ import annotations

import asyncio
import base64
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import ParamSpec, TypeVar
from uuid import uuid4

import msgspec
from msgspec import Struct

from liveroom.console.view import RoomView, SortKey, fold_text, new_detail
from liveroom.features.lifecycle.messages import RoomOpened
from liveroom.journal.base import SnapshotPart
from liveroom.journal.partition_time import PartitionTime
from liveroom.journal.room_index import IndexEntry
from liveroom.messages.errors import BadMessage
from liveroom.protocol.frames import Keyframe, RoomDetail
from liveroom.protocol.records import Record, RoomSpan
from liveroom.telemetry.metrics import Metrics

__all__ = ["SCAN_ROOMS_MAX", "Directory"]

#: Rooms that one search examines. So a page may hold fewer rooms than requested and still name a next page.
SCAN_ROOMS_MAX = 10_000

#: A first page comes from the newest listing if that is younger than this and no room came or went.
LISTING_FRESH_S = 1.0
#: Listings are kept for later pages. The limits are their age and the entries of all listings (8 bytes each); the oldest is dropped first.
LISTING_KEPT_S = 300.0
LISTING_ENTRIES_MAX = 4_000_000

#: Sorts before every closed room and after every open one.
FIRST_CLOSED: SortKey = (True, -(2**63), "")

Arguments = ParamSpec("Arguments")
T = TypeVar("T")


class _Listing(Struct, frozen=True):
    """The rooms in their order at one moment. The first `open_count` rooms were open."""

    name: str
    at: float
    rooms: Sequence[str]
    open_count: int


class _Cursor(Struct, frozen=True, array_like=True):
    """The place after which a page begins: in a listing, and by the sort key of the room there."""

    listing: str
    place: int
    key: SortKey


_cursor: msgspec.json.Decoder[_Cursor] = msgspec.json.Decoder(_Cursor)


class Directory:
    """Holds at most `rooms_max` rooms. Beyond that it drops the room that closed first, and without closed rooms the oldest entry.

    The last `closed_whole_max` closed rooms, by closing or use, keep their detail. The other closed rooms keep only their summary.
    """

    def __init__(self, rooms_max: int, closed_whole_max: int, chat_lines: int, metrics: Metrics) -> None:
        self._isolated = metrics.isolated
        self._rooms_max = rooms_max
        self._closed_whole_max = closed_whole_max
        self._closed_whole: dict[str, None] = {}  # least recently used first
        self._waiting: dict[str, asyncio.Future[RoomView]] = {}  # rooms with a caller that waits for their detail
        self._chat_lines = chat_lines
        self._rooms: dict[str, RoomView] = {}
        self._times: defaultdict[int, PartitionTime] = defaultdict(PartitionTime)
        self._closed: dict[str, None] = {}  # in the order of closing
        self._order: list[SortKey] = []
        self._listings: OrderedDict[str, _Listing] = OrderedDict()  # oldest first
        self._listed = 0  # entries of all listings
        self._is_listed = False  # true if the newest listing holds all rooms, each in its present state (open or closed)

    def __len__(self) -> int:
        return len(self._rooms)

    def find(self, room: str) -> RoomView | None:
        """The room; `None` if it was never opened or was dropped."""
        return self._rooms.get(room)

    def note_time(self, partition: int, time_ms: int, *, live: bool) -> None:
        """Note the time of a record. `live` is true for a record that was written after reading began."""
        self._times[partition].note(time_ms, live=live)

    def time_ms(self, view: RoomView) -> int:
        """The present time of the room's clock, in Unix ms."""
        return self._times[view.partition].now_ms()

    def use(self, room: str) -> RoomView | None:
        """The room, marked as used; `None` if it is unknown."""
        if room in self._closed_whole:
            self._closed_whole[room] = self._closed_whole.pop(room)
        return self._rooms.get(room)

    def locate(self, summary: Keyframe, part: SnapshotPart) -> None:
        """Note that a snapshot holds a room in this part, in the state of `summary`."""
        if (view := self._rooms.get(summary.room)) and view.keyframe.seq == summary.seq:
            view.part = part

    def complete(self, detail: RoomDetail) -> RoomView | None:
        """Take a closed room's detail from a snapshot. Returns the complete room; `None` if the room has changed since."""
        view = self._rooms.get(detail.keyframe.room)
        if view is None or view.keyframe.seq != detail.keyframe.seq or view.keyframe.stream_id != detail.keyframe.stream_id:
            return None
        if not view.is_whole:
            part = view.part
            view = RoomView(view.partition, detail, self._chat_lines)
            view.part = part
            self._replace(view)
        return view

    async def until_whole(self, room: str) -> RoomView | None:
        """Wait for a room's detail and return the complete room, even if the directory shortens it at once. One caller per room may wait."""
        view = self._rooms.get(room)
        if view is None or view.is_whole:
            return view
        waiting: asyncio.Future[RoomView] = asyncio.get_running_loop().create_future()
        self._waiting[room] = waiting
        try:
            return await waiting
        finally:
            del self._waiting[room]

    def begin(self, partition: int, details: Iterable[RoomDetail], others: Iterable[IndexEntry] = ()) -> None:
        """Replace all rooms of a partition. `others` are rooms of which only the summary and the place of the detail are known."""
        for room in [room for room, view in self._rooms.items() if view.partition == partition]:
            del self._rooms[room]
            self._closed.pop(room, None)
            self._closed_whole.pop(room, None)
        for detail in details:
            self._begin_room(partition, detail, None)
        for entry in others:
            self._begin_room(partition, RoomDetail(entry.summary), entry.part)
        self._order = sorted(view.sort_key for view in self._rooms.values())
        self._is_listed = False
        while len(self._rooms) > self._rooms_max:
            self._forget_one()

    def _begin_room(self, partition: int, detail: RoomDetail, part: SnapshotPart | None) -> None:
        room = detail.keyframe.room
        try:
            view = self._rooms[room] = RoomView(partition, detail, self._chat_lines, is_whole=part is None)
        except Exception:
            self._isolated.note("console_room", item=room)
            return
        view.part = part
        if not view.keyframe.open:
            self._closed[room] = None
            self._keep_whole(view)

    def _keep_whole(self, view: RoomView) -> None:
        """Keep a closed room complete. Beyond the limit, the least recently used one is shortened."""
        if not view.is_whole:
            return
        self._closed_whole[view.keyframe.room] = self._closed_whole.pop(view.keyframe.room, None)
        if len(self._closed_whole) > self._closed_whole_max:
            room = next(iter(self._closed_whole))
            del self._closed_whole[room]
            shortened = self._rooms[room].shorten()
            shortened.part = self._rooms[room].part
            self._rooms[room] = shortened

    def _replace(self, view: RoomView) -> None:
        """Replace the view of a known room. Its place in the order stays the same."""
        room = view.keyframe.room
        self._rooms[room] = view
        if not view.keyframe.open:
            self._keep_whole(view)
        self._tell_waiting(view)

    def _tell_waiting(self, view: RoomView) -> None:
        """Give a complete room to the caller that waits for it."""
        waiting = self._waiting.get(view.keyframe.room)
        if waiting is not None and view.is_whole and not waiting.done():
            waiting.set_result(view)

    def apply(self, partition: int, record: Record) -> list[str]:
        """Fold an accepted record, and return the rooms whose detail must be requested.

        Such a room opened again after it was dropped, its events could not be folded, or it changed while shortened.
        """
        missing = []
        for room, span in record.rooms.items():
            known = self._try(room, self._apply_span, partition, room, span, record.time_ms)
            if known is None or (not known and any(isinstance(e, RoomOpened) for e in span.events)):
                missing.append(room)
        for keyframe in record.keyframes:
            self._try(keyframe.room, self._renew, keyframe)
        for detail in record.details:
            self._try(detail.keyframe.room, self._take, partition, detail)
        return [room for room in missing if (view := self._rooms.get(room)) is None or not view.is_whole]

    def _try(self, room: str, step: Callable[Arguments, T], *arguments: Arguments.args, **named: Arguments.kwargs) -> T | None:
        """Run one room's step. If it raises, this room is dropped, and no other room is affected."""
        try:
            return step(*arguments, **named)
        except Exception:
            self._isolated.note("console_room", item=room)
            self._rooms.pop(room, None)
            self._closed.pop(room, None)
            self._closed_whole.pop(room, None)
            self._order = [key for key in self._order if key[2] != room]
            return None

    def _renew(self, keyframe: Keyframe) -> None:
        if view := self._rooms.get(keyframe.room):
            before = view.sort_key
            view.keyframe = keyframe
            view.note_texts()
            self._place(view, before)

    def _take(self, partition: int, detail: RoomDetail) -> None:
        if not detail.continues:
            self._put(RoomView(partition, detail, self._chat_lines))
        elif view := self._rooms.get(detail.keyframe.room):
            view.go_on(detail)

    def page(self, query: str, is_open: bool | None, limit: int, after: str, now: float) -> tuple[list[RoomView], str | None]:
        """Up to `limit` rooms, most viewers first, and where to go on; `is_open` `None` = open ones, then closed ones. `now` in s.

        Raises `BadMessage` when `after` is none of ours.
        """
        words = " ".join(fold_text(query).split())  # without line breaks, because these separate a room's texts
        listing, start = self._begin(after, now)
        if is_open is False:
            start = max(start, listing.open_count)
        stop = listing.open_count if is_open else len(listing.rooms)
        found: list[RoomView] = []
        scanned = min(stop, start + SCAN_ROOMS_MAX)
        for at in range(start, scanned):
            view = self._rooms.get(listing.rooms[at])
            if view is None or is_open not in (None, view.keyframe.open) or words not in view.text:
                continue
            found.append(view)
            if len(found) == limit:
                scanned = at + 1
                break
        return found, self._cursor(listing, scanned) if scanned < stop else None

    def _cursor(self, listing: _Listing, place: int) -> str:
        last = self._rooms.get(listing.rooms[place - 1])
        cursor = _Cursor(listing.name, place, last.sort_key if last else FIRST_CLOSED)
        return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")

    def _begin(self, after: str, now: float) -> tuple[_Listing, int]:
        """The listing of a page, and the page's first place in it."""
        if not after:
            return self._listing(now), 0
        cursor = _decode_cursor(after)
        if listing := self._listings.get(cursor.listing):
            return listing, max(0, cursor.place)
        return self._listing(now), bisect_right(self._order, cursor.key)

    def _listing(self, now: float) -> _Listing:
        """The newest listing, or a new one if that is outdated."""
        if self._is_listed and self._listings:
            newest = next(reversed(self._listings.values()))
            if newest.at + LISTING_FRESH_S > now:
                return newest
        rooms = tuple(room for _, _, room in self._order)
        listing = _Listing(uuid4().hex[:16], now, rooms, bisect_left(self._order, FIRST_CLOSED))
        self._listings[listing.name] = listing
        self._listed += len(rooms)
        self._is_listed = True
        oldest = next(iter(self._listings.values()))
        while oldest is not listing and (oldest.at + LISTING_KEPT_S <= now or self._listed > LISTING_ENTRIES_MAX):
            del self._listings[oldest.name]
            self._listed -= len(oldest.rooms)
            oldest = next(iter(self._listings.values()))
        return listing

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
        view.part = None
        self._place(view, before)
        return view.is_whole or not view.keyframe.open

    def _put(self, view: RoomView) -> None:
        room = view.keyframe.room
        if room in self._rooms:
            self._forget(room)
        elif len(self._rooms) >= self._rooms_max:
            self._forget_one()
        self._rooms[room] = view
        insort(self._order, view.sort_key)
        self._is_listed = False
        if not view.keyframe.open:
            self._closed[room] = None
            self._keep_whole(view)
        self._tell_waiting(view)

    def _place(self, view: RoomView, before: SortKey) -> None:
        after = view.sort_key
        if after == before:
            return
        del self._order[bisect_left(self._order, before)]
        insort(self._order, after)
        self._is_listed = self._is_listed and after[0] == before[0]
        if view.keyframe.open:
            self._closed.pop(view.keyframe.room, None)
            self._closed_whole.pop(view.keyframe.room, None)
        else:
            self._closed.setdefault(view.keyframe.room)
            self._keep_whole(view)

    def _forget_one(self) -> None:
        self._forget(next(iter(self._closed or self._rooms)))

    def _forget(self, room: str) -> None:
        view = self._rooms.pop(room)
        self._closed.pop(room, None)
        self._closed_whole.pop(room, None)
        del self._order[bisect_left(self._order, view.sort_key)]


def _decode_cursor(text: str) -> _Cursor:
    try:
        return _cursor.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, msgspec.MsgspecError):
        raise BadMessage("bad_value", "`after` must be the `next` of an earlier answer", "after") from None
