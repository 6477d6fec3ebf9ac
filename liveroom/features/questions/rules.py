"""Questions to the anchor: asked, picked (one at a time), then answered or dismissed."""

from __future__ import annotations

from typing import Final

import msgspec

from liveroom.features.chat.limits import check_voice, note_spoken
from liveroom.features.decision import Decided, Decision, Refusal, Turn
from liveroom.features.questions.keyframe import FILLS, questions_detail
from liveroom.features.questions.messages import (
    AnswerQuestion,
    AskQuestion,
    DismissQuestion,
    PickQuestion,
    Question,
    QuestionAnswered,
    QuestionAsked,
    QuestionDismissed,
    QuestionPicked,
)
from liveroom.features.questions.state import QuestionsState, change, of
from liveroom.features.questions.view import ANSWERED_MAX
from liveroom.features.ruleset import Rules
from liveroom.features.state import RoomState
from liveroom.features.texts import check_paragraphs

__all__ = [
    "RESOLVED_MAX",
    "RULES",
    "answer_question",
    "ask_question",
    "dismiss_question",
    "pick_question",
    "question_answered",
    "question_asked",
    "question_dismissed",
    "question_picked",
]

#: Last answered and dismissed questions that the state remembers; a forgotten one looks like one that never existed.
RESOLVED_MAX: Final = 200


def ask_question(turn: Turn, command: AskQuestion) -> Decision:
    """Ask a question, by the rules for chat lines except slow mode."""
    state, sender, rules = turn.state, turn.sender, turn.rules
    if not state.open:
        return Refusal("room_closed", "the room is closed: nothing can be asked")
    refusal = check_voice(turn, command.text, chat=False)
    if refusal is not None:
        return refusal
    live = of(state).live
    if len(live) >= rules.questions_max:
        return Refusal("limit_reached", f"{rules.questions_max} questions are open already")
    if sum(question.user == sender.user for question in live.values()) >= rules.questions_per_user_max:
        return Refusal("limit_reached", f"you have {rules.questions_per_user_max} open questions already")
    return Decided((QuestionAsked(sender.user, sender.name, command.text),), {"question": state.seq})


def pick_question(turn: Turn, command: PickQuestion) -> Decision:
    """Show a question as the one being answered; the previously picked one goes back to `asked`."""
    question = of(turn.state).live.get(command.question)
    if question is None:
        return _not_open(turn.state, command.question)
    return Decided(() if question.state == "picked" else (QuestionPicked(command.question),))


def answer_question(turn: Turn, command: AnswerQuestion) -> Decision:
    """Mark a question as answered."""
    if command.question not in of(turn.state).live:
        return _not_open(turn.state, command.question)
    return check_paragraphs(command.text) or Decided((QuestionAnswered(command.question, command.text),))


def dismiss_question(turn: Turn, command: DismissQuestion) -> Decision:
    """Remove a question from the list."""
    if command.question not in of(turn.state).live:
        return _not_open(turn.state, command.question)
    return Decided((QuestionDismissed(command.question),))


def _not_open(state: RoomState, question: int) -> Refusal:
    if question in of(state).resolved:
        return Refusal("question_not_open", "the question is already answered or dismissed", "question")
    return Refusal("question_not_found", "there is no such question", "question")


def question_asked(state: RoomState, event: QuestionAsked, seq: int, time_ms: int) -> None:
    """Fold a question: it counts against its sender's rate limit."""
    note_spoken(state, event.user, time_ms, chat=False)
    change(state).live[seq] = Question(seq, event.user, event.name, event.text)


def question_picked(state: RoomState, event: QuestionPicked, seq: int, time_ms: int) -> None:
    """Fold a pick."""
    live = change(state).live
    for other, question in live.items():
        if question.state == "picked":
            live[other] = msgspec.structs.replace(question, state="asked")
    live[event.question] = msgspec.structs.replace(live[event.question], state="picked")


def question_answered(state: RoomState, event: QuestionAnswered, seq: int, time_ms: int) -> None:
    """Fold an answer."""
    questions = change(state)
    question = _resolve(questions, event.question)
    questions.answered.append(msgspec.structs.replace(question, state="answered", answer=event.text, answered_seq=seq))
    del questions.answered[:-ANSWERED_MAX]


def question_dismissed(state: RoomState, event: QuestionDismissed, seq: int, time_ms: int) -> None:
    """Fold a dismissal."""
    _resolve(change(state), event.question)


def _resolve(questions: QuestionsState, question: int) -> Question:
    questions.resolved.append(question)
    del questions.resolved[:-RESOLVED_MAX]
    return questions.live.pop(question)


RULES = Rules(
    state=QuestionsState,
    decide={
        AskQuestion: ask_question,
        PickQuestion: pick_question,
        AnswerQuestion: answer_question,
        DismissQuestion: dismiss_question,
    },
    evolve={
        QuestionAsked: question_asked,
        QuestionPicked: question_picked,
        QuestionAnswered: question_answered,
        QuestionDismissed: question_dismissed,
    },
    fills=FILLS,
    detail=questions_detail,
)
