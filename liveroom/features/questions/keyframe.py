"""Questions in a room's keyframe and detail."""

from __future__ import annotations

from typing import Any

from liveroom.features.questions.messages import Question
from liveroom.features.questions.state import of
from liveroom.features.questions.view import QUESTIONS_SHOWN
from liveroom.features.ruleset import Fill
from liveroom.features.state import RoomState
from liveroom.messages.settings import RoomSettings

__all__ = ["FILLS", "questions_detail"]


def _by_importance(state: RoomState, rules: RoomSettings) -> list[Question]:
    """The picked one, the open ones newest first, the answered ones newest first."""
    questions = of(state)
    newest = list(reversed(questions.live.values()))
    picked = [question for question in newest if question.state == "picked"]
    asked = [question for question in newest if question.state != "picked"][:QUESTIONS_SHOWN]
    return picked + asked + questions.answered[::-1]


def questions_detail(state: RoomState, time_ms: int) -> dict[str, Any]:
    """All open questions and the last answered ones, in the order in which they were asked."""
    questions = of(state)
    return {"questions": tuple(sorted([*questions.live.values(), *questions.answered], key=lambda question: question.seq))}


FILLS = (Fill(field="questions", items=_by_importance, key=lambda question: question.seq, rank=3, share=2),)
