"""Questions to the anchor."""

from __future__ import annotations

from msgspec import Struct

from liveroom.messages.base import EVERYONE, MODERATORS, CommandBase, EventBase
from liveroom.messages.fields import Line, Seq, Text

__all__ = [
    "AnswerQuestion",
    "AskQuestion",
    "DismissQuestion",
    "PickQuestion",
    "Question",
    "QuestionAnswered",
    "QuestionAsked",
    "QuestionDismissed",
    "QuestionPicked",
]


class AskQuestion(CommandBase, frozen=True, tag="ask_question"):
    """Ask the anchor a question; a question is named by its seq."""

    roles = EVERYONE
    results = {"question": "the question's name"}
    text: Line


class PickQuestion(CommandBase, frozen=True, tag="pick_question"):
    """Show a question as the one being answered."""

    roles = MODERATORS
    question: Seq


class AnswerQuestion(CommandBase, frozen=True, tag="answer_question"):
    """Mark a question as answered, with a text when it was answered in writing."""

    roles = MODERATORS
    question: Seq
    text: Text = ""


class DismissQuestion(CommandBase, frozen=True, tag="dismiss_question"):
    """Take a question off the list without an answer."""

    roles = MODERATORS
    question: Seq


class QuestionAsked(EventBase, frozen=True, tag="question_asked"):
    """A question to the anchor; its seq is its id."""

    user: str
    name: str
    text: str


class QuestionPicked(EventBase, frozen=True, tag="question_picked"):
    """The question being answered."""

    question: int


class QuestionAnswered(EventBase, frozen=True, tag="question_answered"):
    """The question was answered, in writing when `text` is not empty."""

    question: int
    text: str = ""


class QuestionDismissed(EventBase, frozen=True, tag="question_dismissed"):
    """The question was taken off the list."""

    question: int


class Question(Struct, frozen=True, omit_defaults=True, gc=False):
    """A question inside a keyframe; `state` is asked, picked or answered."""

    seq: int
    user: str
    name: str
    text: str
    state: str = "asked"
    answer: str = ""
