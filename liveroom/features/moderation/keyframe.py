"""Moderation in a room's detail."""

from __future__ import annotations

from typing import Any

from liveroom.features.moderation.state import Sanction, active, of
from liveroom.features.state import RoomState

__all__ = ["moderation_detail"]


def moderation_detail(state: RoomState, time_ms: int) -> dict[str, Any]:
    """Active bans and mutes, and the banned words."""
    moderation = of(state)
    return {"banned": _until(moderation.banned, time_ms), "muted": _until(moderation.muted, time_ms), "banned_words": moderation.banned_words.words}


def _until(sanctions: dict[str, Sanction], time_ms: int) -> dict[str, int]:
    return {user: sanction.until_ms for user, sanction in active(sanctions, time_ms).items()}
