"""Settings of questions."""

from __future__ import annotations

from typing import Annotated

from liveroom.messages.settings import Section, setting

__all__ = ["QuestionsSettings"]


class QuestionsSettings(Section, frozen=True):
    """Settings of questions."""

    questions_max: Annotated[int, setting("Open questions of a room", ge=1, le=1_000)] = 200
    questions_per_user_max: Annotated[int, setting("Open questions of one viewer", ge=1, le=100)] = 3
