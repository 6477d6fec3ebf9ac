"""Chat in a room's keyframe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from liveroom.features.chat.messages import ChatLine
from liveroom.features.chat.state import of
from liveroom.features.ruleset import Fill
from liveroom.features.state import RoomState
from liveroom.messages.settings import RoomSettings

__all__ = ["FILLS", "chat_keyframe"]


def chat_keyframe(state: RoomState) -> dict[str, Any]:
    """Slow mode and the budget."""
    return {"slow_mode_ms": of(state).slow_mode_ms, "chat_budget": state.rules.chat_budget}


def _newest_lines(state: RoomState, rules: RoomSettings) -> Iterable[ChatLine]:
    return reversed(of(state).lines[-rules.chat_lines_kept :]) if rules.chat_lines_kept else ()


FILLS = (Fill(field="chat", items=_newest_lines, key=lambda line: line.seq, rank=4),)
