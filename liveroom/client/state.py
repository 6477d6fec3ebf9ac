"""The room's public state: a keyframe, kept up to date by the events after it.

The fold is pure: it returns a new state and leaves the old one unchanged.
A state may hold more lines of chat, questions and try-on requests than a keyframe, which has a limit in bytes.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from liveroom.client.items import RoomEvent
from liveroom.protocol.frames import Keyframe
from liveroom.protocol.public_state import fold_keyframe

__all__ = ["fold", "passed"]


def fold(state: Keyframe, item: RoomEvent) -> Keyframe:
    """The state after one event; events without public effect, and unknown ones, only move its seq and time."""
    changed: dict[str, Any] = {"seq": item.seq + 1, "time_ms": item.time_ms}
    fold_keyframe(state, changed, item.event, item.seq, item.time_ms)
    return replace(state, **changed)


def passed(state: Keyframe, seq: int, time_ms: int) -> Keyframe:
    """The state after events that the server left out on purpose."""
    return replace(state, seq=seq, time_ms=time_ms)
