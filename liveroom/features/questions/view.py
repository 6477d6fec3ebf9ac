"""Questions as viewers see them, and all of them for consoles."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from liveroom.features.feature import View
from liveroom.features.questions.messages import Question, QuestionAnswered, QuestionAsked, QuestionDismissed, QuestionPicked

__all__ = ["ANSWERED_MAX", "DETAILS", "QUESTIONS_KEPT", "QUESTIONS_SHOWN", "VIEWS", "fold_questions", "newest_questions"]

#: Last answered questions that stay visible with their answers.
ANSWERED_MAX: Final = 20
#: Newest questions in a keyframe that are neither picked nor answered.
QUESTIONS_SHOWN: Final = 20
#: Newest questions that a reader of keyframes keeps.
QUESTIONS_KEPT: Final = 300

_EVENTS: Final = (QuestionAsked, QuestionPicked, QuestionAnswered, QuestionDismissed)


def fold_questions(questions: tuple[Question, ...], event: object, seq: int, time_ms: int) -> tuple[Question, ...]:
    """Open questions and the last answered ones, in the order in which they were asked."""
    match event:
        case QuestionAsked():
            return (*questions, Question(seq, event.user, event.name, event.text))
        case QuestionPicked():
            return tuple(_picked(question, event.question) for question in questions)
        case QuestionAnswered():
            answered = {"state": "answered", "answer": event.text, "answered_seq": seq}
            return _last_answered(tuple(replace(one, **answered) if one.seq == event.question else one for one in questions))
        case QuestionDismissed():
            return tuple(question for question in questions if question.seq != event.question)
    return questions


def _picked(question: Question, picked: int) -> Question:
    if question.seq == picked:
        return replace(question, state="picked")
    return replace(question, state="asked") if question.state == "picked" else question


def _last_answered(questions: tuple[Question, ...]) -> tuple[Question, ...]:
    seqs = sorted(question.answered_seq for question in questions if question.state == "answered")
    first = seqs[-ANSWERED_MAX] if len(seqs) > ANSWERED_MAX else 0
    return tuple(question for question in questions if question.state != "answered" or question.answered_seq >= first)


def newest_questions(questions: tuple[Question, ...]) -> tuple[Question, ...]:
    """The questions for a keyframe: the picked one, the newest that are asked, and the answered ones."""
    asked = [question.seq for question in questions if question.state == "asked"]
    first = asked[-QUESTIONS_SHOWN] if len(asked) > QUESTIONS_SHOWN else 0
    return tuple(question for question in questions if question.state != "asked" or question.seq >= first)


VIEWS = (View("questions", tuple[Question, ...], (), _EVENTS, fold_questions, kept=QUESTIONS_KEPT, shown=newest_questions),)
DETAILS = (View("questions", tuple[Question, ...], (), _EVENTS, fold_questions),)
