"""Questions to the anchor."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from liveroom.messages.base import EVERYONE, MODERATORS, CommandBase, EventBase
from liveroom.messages.errors import Refusals
from liveroom.messages.fields import Line, Seq, Text

__all__ = [
    "REFUSALS",
    "AnswerQuestion",
    "AskQuestion",
    "DismissQuestion",
    "PickQuestion",
    "Question",
    "QuestionAnswered",
    "QuestionAsked",
    "QuestionDismissed",
    "QuestionPicked",
    "Questions",
]


class AskQuestion(CommandBase, frozen=True, tag="ask_question"):
    """Ask the anchor a question; its id is the seq of its event."""

    roles = EVERYONE
    results = {"question": "the id of the question"}
    text: Line


class PickQuestion(CommandBase, frozen=True, tag="pick_question"):
    """Pick a question: show it as the one that the anchor answers now."""

    roles = MODERATORS
    question: Seq


class AnswerQuestion(CommandBase, frozen=True, tag="answer_question"):
    """Mark a question as answered; `text` holds the answer if it was given in writing."""

    roles = MODERATORS
    question: Seq
    text: Text = ""


class DismissQuestion(CommandBase, frozen=True, tag="dismiss_question"):
    """Dismiss a question without an answer."""

    roles = MODERATORS
    question: Seq


class QuestionAsked(EventBase, frozen=True, tag="question_asked"):
    """A question was asked; its id is this event's seq."""

    user: str
    name: str
    text: str


class QuestionPicked(EventBase, frozen=True, tag="question_picked"):
    """A question was picked: the anchor answers it now."""

    question: int


class QuestionAnswered(EventBase, frozen=True, tag="question_answered"):
    """A question was answered; `text` holds the answer if it was given in writing."""

    question: int
    text: str = ""


class QuestionDismissed(EventBase, frozen=True, tag="question_dismissed"):
    """A question was dismissed without an answer."""

    question: int


class Question(Struct, frozen=True, omit_defaults=True, gc=False):
    """A question inside a keyframe; `state` is `asked`, `picked` or `answered`, and `answered_seq` the seq of its answer."""

    seq: int
    user: str
    name: str
    text: str
    state: str = "asked"
    answer: str = ""
    answered_seq: int = 0


class Questions(Struct, frozen=True):
    """The room's questions, oldest first."""

    questions: tuple[Question, ...]


#: Refusal code -> (HTTP status of the console's response, meaning).
REFUSALS: Final[Refusals] = {
    "question_not_found": (404, "there is no such question"),
    "question_not_open": (409, "the question is already answered or dismissed"),
}
