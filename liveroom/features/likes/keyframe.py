"""Likes in a room's keyframe."""

from __future__ import annotations

from typing import Any

from liveroom.features.likes.state import of
from liveroom.features.state import RoomState

__all__ = ["likes_keyframe"]


def likes_keyframe(state: RoomState) -> dict[str, Any]:
    """The total."""
    return {"likes": of(state).total}
