"""The state of a room's likes."""

from __future__ import annotations

from msgspec import Struct

from liveroom.features.state import RoomState

__all__ = ["LikesState", "change", "of"]


class LikesState(Struct):
    """A room's likes."""

    total: int = 0


def of(room: RoomState) -> LikesState:
    """The room's part of this feature, or an empty one that is not kept."""
    return room.likes or LikesState()


def change(room: RoomState) -> LikesState:
    """The room's part of this feature, to fold an event into it."""
    part: LikesState | None = room.likes
    if part is None:
        part = room.likes = LikesState()
    return part
