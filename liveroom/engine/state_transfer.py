"""Room state that readers ask for: keyframes, and rooms' details with their users' entitlements.
Chunks of it alternate with steps.

A gateway that has just started asks for thousands of rooms, so one record carries as many rooms as fit.
A room that is larger than a record comes alone, in several consecutive records.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from liveroom.config.schema import RoomsConfig
from liveroom.engine.sizes import RECORD_HEAD_BYTES
from liveroom.protocol.codec import encode
from liveroom.protocol.entitlements import EntitlementsChunk
from liveroom.protocol.frames import DETAILS, Keyframe, RoomDetail
from liveroom.rooms.room import RoomState, detail, entitlements, keyframe
from liveroom.telemetry.isolation import IsolatedErrors

__all__ = ["StateChunk", "StateTransfer", "detail_parts"]

#: Limit of the rooms in one record. While they are encoded, and while readers apply them, nothing else happens.
ROOMS_PER_RECORD_MAX: Final = 128
#: Bytes around the lists of a detail: their names, quotes, colons, brackets and commas.
_LISTS_BYTES: Final = sum(len(view.field) + 6 for view in DETAILS)
#: Bytes around an entry of a list: quotes, colon, comma.
_ENTRY_BYTES: Final = 8


class StateChunk(Struct, frozen=True):
    """The state in one record. A room's entitlements come before its detail."""

    keyframes: tuple[Keyframe, ...] = ()
    details: tuple[RoomDetail, ...] = ()
    entitlements: tuple[EntitlementsChunk, ...] = ()


class StateTransfer:
    """The queue of the requested room states. Each room is in it once, however often it was asked for."""

    def __init__(self, rules: RoomsConfig, record_bytes_max: int, isolated: IsolatedErrors) -> None:
        self._isolated = isolated
        self._rules = rules
        self._bytes_max = record_bytes_max - RECORD_HEAD_BYTES
        self._late: dict[str, None] = {}  # rooms whose keyframes did not fit into a step's record
        self._wanted: dict[str, bool] = {}  # room -> whether to include its users' entitlements
        self._chunks: Iterator[StateChunk] = iter(())
        self._room_begun = ""

    def want(self, room: str, with_entitlements: bool) -> None:
        """Queue a room's detail."""
        self._wanted[room] = with_entitlements or self._wanted.get(room, False)

    def put_off(self, rooms: Iterable[str]) -> None:
        """Queue keyframes that did not fit: at most as many as one record may carry."""
        self._late.update(dict.fromkeys(rooms))

    @property
    def waiting(self) -> bool:
        """Whether any room waits."""
        return bool(self._wanted or self._late)

    def go_on(self) -> StateChunk | None:
        """The next chunk of a room that is being sent; no step may come in between.

        After an error the rest is dropped, and the reader asks for the room again.
        """
        try:
            return next(self._chunks, None)
        except Exception:
            self._isolated.note("engine_keyframe", room=self._room_begun)
            return None

    def begin(self, rooms: Mapping[str, RoomState], time_ms: int) -> StateChunk | None:
        """The next chunk, with the present state: several rooms, or the first chunk of a large one.

        Gives `None` when nothing is left.
        Skips rooms whose state is unknown or cannot be encoded.
        """
        if self._late:
            late, self._late = self._late, {}
            made: list[Keyframe] = []
            known = [room for room in late if room in rooms]
            self._isolated.each("engine_keyframe", known, lambda room: made.append(keyframe(room, rooms[room], time_ms, self._rules)))
            return StateChunk(keyframes=tuple(made)) if made else None
        owned: list[EntitlementsChunk] = []
        details: list[RoomDetail] = []
        left = self._bytes_max
        for room, with_entitlements in list(islice(self._wanted.items(), ROOMS_PER_RECORD_MAX)):
            whole: _Whole | None = None
            try:
                if room in rooms:
                    whole = _whole(room, rooms[room], time_ms, self._rules, with_entitlements=with_entitlements)
            except Exception:
                self._isolated.note("engine_keyframe", room=room)
            if whole is not None and whole.size > left and details:
                break  # the next chunk begins with it
            del self._wanted[room]
            if whole is None:
                continue
            if whole.size > left:
                self._room_begun = room
                self._chunks = self._in_chunks(whole)
                return self.go_on()
            left -= whole.size
            owned += whole.chunks
            details.append(whole.detail)
        return StateChunk(details=tuple(details), entitlements=tuple(owned)) if details else None

    def _in_chunks(self, whole: _Whole) -> Iterator[StateChunk]:
        for chunk in whole.chunks:
            yield StateChunk(entitlements=(chunk,))
        for found in detail_parts(whole.detail, self._bytes_max):
            yield StateChunk(details=(found,))


class _Whole(Struct, frozen=True):
    """The state of one room, and the bytes that it takes in a record."""

    chunks: tuple[EntitlementsChunk, ...]
    detail: RoomDetail
    size: int


def _whole(room: str, state: RoomState, time_ms: int, rules: RoomsConfig, *, with_entitlements: bool) -> _Whole:
    chunks = entitlements(room, state) if with_entitlements else ()
    whole = replace(detail(room, state, time_ms, rules), entitlements=len(chunks) if with_entitlements else None)
    size = sum(len(encode(one)) + 1 for one in (*chunks, whole)) if len(chunks) <= 1 else sys.maxsize  # a room of several chunks comes alone
    return _Whole(chunks, whole, size)


def detail_parts(whole: RoomDetail, bytes_max: int) -> Iterator[RoomDetail]:
    """Split a detail that is larger than `bytes_max` into several that continue each other. Bans and mutes come first."""
    if len(encode(whole)) <= bytes_max:
        yield whole
        return
    bare = RoomDetail(whole.keyframe, entitlements=whole.entitlements)
    room_bytes = bytes_max - len(encode(bare)) - _LISTS_BYTES
    left, entries = room_bytes, _Entries(list)
    for name, entry in _entries(whole):
        size = len(encode(entry)) + _ENTRY_BYTES
        if size > left:
            yield _with(bare, entries)
            bare = replace(bare, continues=True)
            left, entries = room_bytes, _Entries(list)
        left -= size
        entries[name].append(entry)
    yield _with(bare, entries)


_Entries = defaultdict[str, list[Any]]


def _entries(whole: RoomDetail) -> Iterator[tuple[str, Any]]:
    """The entries of all lists, in the order of the features."""
    for view in DETAILS:
        value = getattr(whole, view.field)
        for entry in value.items() if isinstance(value, dict) else value:
            yield view.field, entry


def _with(bare: RoomDetail, entries: _Entries) -> RoomDetail:
    kinds = {view.field: dict if isinstance(view.default, dict) else tuple for view in DETAILS}
    return replace(bare, **{name: kinds[name](some) for name, some in entries.items()})
