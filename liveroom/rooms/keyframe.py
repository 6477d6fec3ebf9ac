"""The keyframe of a room, small enough for every join, and the room detail for gateways and consoles.

Each feature states its fields in its rules: those that every keyframe holds, and items that fill it up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec.structs import replace

from liveroom.features.state import RoomState
from liveroom.messages.settings import RoomSettings
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Keyframe, RoomDetail
from liveroom.rooms.state import RULES

__all__ = ["KEYFRAME_BYTES_MAX", "KEYFRAME_FILLED_BYTES", "detail", "keyframe"]

#: No keyframe is larger; one with every text at its longest and as many offers as there may be comes near.
KEYFRAME_BYTES_MAX: Final = 32 * 1024
#: Optional items fill a keyframe up to this size.
KEYFRAME_FILLED_BYTES: Final = 16 * 1024

_FIELDS: Final = tuple(rules.keyframe for rules in RULES.values() if rules.keyframe is not None)
_FILLS: Final = sorted((fill for rules in RULES.values() for fill in rules.fills), key=lambda fill: fill.rank)
_DETAILS: Final = tuple(rules.detail for rules in RULES.values() if rules.detail is not None)
_FILL_NAMES_BYTES: Final = sum(len(f',"{fill.field}":[]') for fill in _FILLS)


def keyframe(room: str, state: RoomState, time_ms: int, rules: RoomSettings) -> Keyframe:
    """The public state; items fill it up, the most important first."""
    frame = _frame(room, state, time_ms)
    used = len(encode(frame)) + _FILL_NAMES_BYTES
    assert used <= KEYFRAME_BYTES_MAX, "the fields' limits leave room in a keyframe"
    filled: dict[str, tuple[Any, ...]] = {}
    for fill in _FILLS:
        left = max(0, (KEYFRAME_BYTES_MAX if fill.must else KEYFRAME_FILLED_BYTES) - used)
        items, size = _fit(fill.items(state, rules), left // fill.share)
        used += size
        filled[fill.field] = tuple(sorted(items, key=fill.key))
    return replace(frame, **filled)


def _frame(room: str, state: RoomState, time_ms: int) -> Keyframe:
    """The part of a keyframe that is never cut."""
    return Keyframe(
        room=room,
        stream_id=state.stream_id,
        seq=state.seq,
        time_ms=time_ms,
        title=state.title,
        anchor=state.anchor,
        anchor_name=state.anchor_name,
        open=state.open,
        opened_ms=state.opened_ms,
        announcement=state.announcement,
        close_reason=state.close_reason,
        **{name: value for fields in _FIELDS for name, value in fields(state).items()},
    )


def _fit(items: Iterable[Any], bytes_max: int) -> tuple[list[Any], int]:
    """The first items that fit in `bytes_max` as JSON, and their bytes with a comma each."""
    kept: list[Any] = []
    used = 0
    for item in items:
        size = len(encode(item)) + 1
        if used + size > bytes_max:
            break
        used += size
        kept.append(item)
    return kept, used


def detail(room: str, state: RoomState, time_ms: int, rules: RoomSettings) -> RoomDetail:
    """The keyframe with all lists for gateways and consoles."""
    return RoomDetail(keyframe(room, state, time_ms, rules), **{name: value for fields in _DETAILS for name, value in fields(state, time_ms).items()})
