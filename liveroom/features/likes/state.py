"""The state of a room's likes."""

from __future__ import annotations

from msgspec import Struct

from liveroom.features.state import part

__all__ = ["LikesState", "change", "of"]


class LikesState(Struct):
    """A room's likes."""

    total: int = 0


of, change = part("likes", LikesState)
