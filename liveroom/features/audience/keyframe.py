"""The audience in a room's keyframe."""

from __future__ import annotations

from typing import Any

from liveroom.features.audience.state import of
from liveroom.features.state import RoomState

__all__ = ["audience_keyframe"]


def audience_keyframe(state: RoomState) -> dict[str, Any]:
    """The numbers."""
    audience = of(state)
    return {"viewers": audience.viewers, "unique": audience.unique, "unique_estimated": audience.unique_estimated, "peak": audience.peak}
