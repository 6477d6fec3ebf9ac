"""Settings of chat."""

from __future__ import annotations

from typing import Annotated

from liveroom.messages.settings import Section, setting

__all__ = ["ChatSettings"]


class ChatSettings(Section, frozen=True):
    """Settings of chat."""

    chat_interval_ms: Annotated[int, setting("Average interval between a viewer's chat lines", ge=0, le=600_000)] = 1_000
    chat_burst: Annotated[int, setting("Chat lines that a viewer may send at once after a pause", ge=1, le=100)] = 5
    chat_budget_lines_per_s: Annotated[
        int, setting("Chat lines that a room shows per second, unless its anchor sets another number", ge=1, le=1_000)
    ] = 20
    chat_lines_kept: Annotated[int, setting("Newest chat lines in a keyframe; fewer if the keyframe becomes too large", ge=0, le=200)] = 50
