"""All rooms that the console knows: kept current from the journal, sorted by viewers, searchable, bounded.

The order moves with every count of viewers. Pages that follow each other are therefore cut from one copy of the order, a listing:
no room comes twice and none is missed. A cursor names the listing and the place in it. When the listing is gone, or another console
is asked, the cursor goes on in the present order at the room that it names.
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
from liveroom.journal.base import Part
from liveroom.journal.partition_time import PartitionTime
from liveroom.journal.room_index import IndexEntry
from liveroom.messages.errors import BadMessage
from liveroom.protocol.events import RoomOpened
from liveroom.protocol.frames import Keyframe, RoomDetail
from liveroom.protocol.records import Record, RoomSpan
from liveroom.telemetry.metrics import Metrics

__all__ = ["SCAN_ROOMS_MAX", "Directory"]

#: Rooms that one search looks at; a page may so hold fewer rooms than asked for, and still name a next one.
SCAN_ROOMS_MAX = 10_000

#: A first page is cut from the newest listing while that is younger than this and no room came or went.
LISTING_FRESH_S = 1.0
#: Listings are kept for pages to follow, the oldest dropped first: by time, and by the entries of all together (8 bytes each).
LISTING_KEPT_S = 300.0
LISTING_ENTRIES_MAX = 4_000_000

#: Sorts before every closed room and after every open one.
FIRST_CLOSED: SortKey = (True, -(2**63), "")

Arguments = ParamSpec("Arguments")
T = TypeVar("T")


class _Listing(Struct, frozen=True):
    """The rooms in their order at one moment: first those that were open, `open_count` of them."""

    name: str
    at: float
    rooms: Sequence[str]
    open_count: int


class _Cursor(Struct, frozen=True, array_like=True):
    """The place after which a page begins: in a listing, and as the room that stood there."""

    listing: str
    place: int
    key: SortKey


_cursor: msgspec.json.Decoder[_Cursor] = msgspec.json.Decoder(_Cursor)


class Directory:
    """Holds at most `rooms_max` rooms. Beyond it the room closed longest ago is forgotten first, then the one held longest.

    Of closed rooms the last `closed_whole_max` that closed or were asked for are held whole, of the others what a list of rooms shows.
    """

    def __init__(self, rooms_max: int, closed_whole_max: int, chat_lines: int, metrics: Metrics) -> None:
        self._isolated = metrics.isolated
        self._rooms_max = rooms_max
        self._closed_whole_max = closed_whole_max
        self._closed_whole: dict[str, None] = {}  # the one that was not used for longest first
        self._waiting: dict[str, asyncio.Future[RoomView]] = {}  # rooms whose detail somebody waits for
        self._chat_lines = chat_lines
        self._rooms: dict[str, RoomView] = {}
        self._times: defaultdict[int, PartitionTime] = defaultdict(PartitionTime)
        self._closed: dict[str, None] = {}  # in the order of closing
        self._order: list[SortKey] = []
        self._listings: OrderedDict[str, _Listing] = OrderedDict()  # oldest first
        self._listed = 0  # entries of all listings
        self._is_listed = False  # whether the newest listing has all rooms, and has them as open or closed as they are

    def __len__(self) -> int:
        return len(self._rooms)

    def find(self, room: str) -> RoomView | None:
        """The room, if it was ever opened and is not forgotten."""
        return self._rooms.get(room)

    def note_time(self, partition: int, time_ms: int, *, live: bool) -> None:
        """A record of `time_ms` was read; `live`: it is news."""
        self._times[partition].note(time_ms, live=live)

    def time_ms(self, view: RoomView) -> int:
        """Now, by the room's clock."""
        return self._times[view.partition].now_ms()

    def use(self, room: str) -> RoomView | None:
        """The room, which somebody asked for."""
        if room in self._closed_whole:
            self._closed_whole[room] = self._closed_whole.pop(room)
        return self._rooms.get(room)

    def locate(self, summary: Keyframe, part: Part) -> None:
        """A snapshot has a room in this part, as it was then."""
        if (view := self._rooms.get(summary.room)) and view.keyframe.seq == summary.seq:
            view.part = part

    def complete(self, detail: RoomDetail) -> RoomView | None:
        """Take a closed room's detail from a snapshot; gives the whole room, or `None` when it is not as it was then any more."""
        view = self._rooms.get(detail.keyframe.room)
        if view is None or view.keyframe.seq != detail.keyframe.seq or view.keyframe.epoch != detail.keyframe.epoch:
            return None
        if not view.is_whole:
            part = view.part
            view = RoomView(view.partition, detail, self._chat_lines)
            view.part = part
            self._replace(view)
        return view

    async def until_whole(self, room: str) -> RoomView | None:
        """Wait until a room's detail is here. Gives the whole room, also when other rooms take its place at once; one caller a room may wait."""
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
        """Replace all that is known of a partition; of the other rooms it is known where their details are."""
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

    def _begin_room(self, partition: int, detail: RoomDetail, part: Part | None) -> None:
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
        """A closed room that is whole may stay so, in place of the one that was not used for longest."""
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
        """Another view of a room that is known; its place does not change."""
        room = view.keyframe.room
        self._rooms[room] = view
        if not view.keyframe.open:
            self._keep_whole(view)
        self._tell_waiting(view)

    def _tell_waiting(self, view: RoomView) -> None:
        """Give a whole room to the caller that waits for it."""
        waiting = self._waiting.get(view.keyframe.room)
        if waiting is not None and view.is_whole and not waiting.done():
            waiting.set_result(view)

    def apply(self, partition: int, record: Record) -> list[str]:
        """Fold an accepted record; returns rooms whose detail is to be asked for.

        They opened but their earlier story was forgotten, or could not be folded; or of a room that was not whole something happened.
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
        """One room's step; when it raises, that room is forgotten and no other is touched."""
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
        words = " ".join(fold_text(query).split())  # no line break: those stand between a room's texts
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
        """The listing that a page is cut from, and where the page begins."""
        if not after:
            return self._listing(now), 0
        cursor = _decode_cursor(after)
        if listing := self._listings.get(cursor.listing):
            return listing, max(0, cursor.place)
        return self._listing(now), bisect_right(self._order, cursor.key)

    def _listing(self, now: float) -> _Listing:
        """The newest listing, or another one when that is no longer what there is."""
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
        raise BadMessage("bad_value", "`after` is the `next` of an earlier answer", "after") from None
