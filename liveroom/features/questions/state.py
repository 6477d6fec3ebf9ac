"""The state of a room's questions."""

from __future__ import annotations

from msgspec import Struct, field

from liveroom.features.questions.messages import Question
from liveroom.features.state import RoomState

__all__ = ["QuestionsState", "change", "of"]


class QuestionsState(Struct):
    """A room's questions to the anchor."""

    live: dict[int, Question] = field(default_factory=dict)  # asked or picked, by seq
    answered: list[Question] = field(default_factory=list)  # the last ones, in the order of their answers
    resolved: list[int] = field(default_factory=list)  # seqs of answered and dismissed ones


def of(room: RoomState) -> QuestionsState:
    """The room's part of this feature, or an empty one that is not kept."""
    return room.questions or QuestionsState()


def change(room: RoomState) -> QuestionsState:
    """The room's part of this feature, to fold an event into it."""
    part: QuestionsState | None = room.questions
    if part is None:
        part = room.questions = QuestionsState()
    return part
