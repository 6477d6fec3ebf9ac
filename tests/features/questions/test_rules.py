"""Questions to the anchor: asked, picked, answered or dismissed."""

from __future__ import annotations

import pytest

from liveroom.features.chat.messages import SendChat, SetSlowMode
from liveroom.features.questions.messages import AnswerQuestion, AskQuestion, DismissQuestion, PickQuestion
from liveroom.features.questions.rules import RESOLVED_MAX
from liveroom.features.questions.view import ANSWERED_MAX
from liveroom.protocol.commands import Command
from liveroom.protocol.records import Sender
from tests.features.play import ANCHOR, MODERATOR, VERA, VICTOR, Play


def asks(play: Play, sender: Sender, text: str = "which size?") -> int:
    return int(play.does(sender, AskQuestion(text))["question"])


def states(play: Play) -> dict[int, str]:
    return {question.seq: question.state for question in play.keyframe.questions}


def test_a_question_is_named_by_its_seq_and_shown_with_its_state() -> None:
    """Asked, then picked, then answered with the answer's text."""
    play = Play()
    question = asks(play, VERA)
    assert states(play) == {question: "asked"}
    play.does(MODERATOR, PickQuestion(question))
    assert states(play) == {question: "picked"}
    play.does(MODERATOR, AnswerQuestion(question, "M fits"))
    (shown,) = play.keyframe.questions
    assert (shown.state, shown.answer, shown.user, shown.text) == ("answered", "M fits", "vera", "which size?")


def test_one_question_is_picked_at_a_time() -> None:
    """Picking another one makes the first merely asked again; picking the same again is no event."""
    play = Play()
    first, second = asks(play, VERA), asks(play, VICTOR)
    play.does(MODERATOR, PickQuestion(first))
    play.does(MODERATOR, PickQuestion(second))
    assert states(play) == {first: "asked", second: "picked"}
    assert play.events(MODERATOR, PickQuestion(second)) == ()


def test_a_dismissed_question_is_gone() -> None:
    """Picked or not, it leaves the list."""
    play = Play()
    question = asks(play, VERA)
    play.does(MODERATOR, PickQuestion(question))
    play.does(MODERATOR, DismissQuestion(question))
    assert states(play) == {}


@pytest.mark.parametrize("command", [PickQuestion, AnswerQuestion, DismissQuestion])
def test_what_is_resolved_stays_resolved(command: type[PickQuestion]) -> None:
    """Answered and dismissed ones are `question_not_open`, others `question_not_found`."""
    play = Play()
    answered, dismissed = asks(play, VERA), asks(play, VERA)
    play.does(MODERATOR, AnswerQuestion(answered))
    play.does(MODERATOR, DismissQuestion(dismissed))
    for question, code in ((answered, "question_not_open"), (dismissed, "question_not_open"), (0, "question_not_found"), (99, "question_not_found")):
        assert play.refused(MODERATOR, command(question)).code == code


def test_each_viewer_has_a_limit_of_open_questions() -> None:
    """Resolved ones do not count."""
    play = Play(questions_per_user_max=2)
    first = asks(play, VERA)
    asks(play, VERA)
    assert play.refused(VERA, AskQuestion("and?")).code == "limit_reached"
    asks(play, VICTOR)
    play.does(MODERATOR, AnswerQuestion(first))
    asks(play, VERA)


def test_the_room_has_a_limit_of_open_questions() -> None:
    """The limit counts the questions of all users."""
    play = Play(questions_max=2)
    asks(play, VERA)
    asks(play, VICTOR)
    assert play.refused(ANCHOR, AskQuestion("and?")).code == "limit_reached"


def test_questions_and_chat_share_one_rate() -> None:
    """A question counts like a line."""
    play = Play(chat_burst=2)
    asks(play, VERA)
    play.says(VERA)
    for command in (AskQuestion("and?"), SendChat("and?")):
        assert play.refused(VERA, command).code == "rate_limited"


def test_slow_mode_is_for_chat() -> None:
    """A question does not wait for it, nor makes a line wait."""
    play = Play()
    play.does(MODERATOR, SetSlowMode(60_000))
    asks(play, VERA)
    play.says(VERA)
    asks(play, VERA)
    assert play.refused(VERA, SendChat("again")).code == "slow_mode"


@pytest.mark.parametrize("command", [AskQuestion("a\nb"), AskQuestion(" ")])
def test_a_question_is_a_line(command: Command) -> None:
    """The rules for chat lines hold for questions."""
    assert Play().refused(VERA, command).code in ("control_characters", "empty_text")


def test_an_answer_may_have_lines_or_be_spoken() -> None:
    """A written answer may have several lines, an empty one was given by voice; control characters are refused."""
    play = Play()
    first, second = asks(play, VERA), asks(play, VERA)
    assert play.refused(MODERATOR, AnswerQuestion(first, "a\x07")).code == "control_characters"
    play.does(MODERATOR, AnswerQuestion(first, "S: 36\nM: 38"))
    play.does(MODERATOR, AnswerQuestion(second))
    assert [question.answer for question in play.keyframe.questions] == ["S: 36\nM: 38", ""]


def test_what_is_kept_of_resolved_questions_is_bounded() -> None:
    """The last answered ones stay with their answers, the last resolved ones are still known as such."""
    play = Play(chat_interval_ms=0)
    questions = []
    for _ in range(RESOLVED_MAX + 1):
        questions.append(asks(play, VERA))
        play.does(MODERATOR, AnswerQuestion(questions[-1]))
    assert [question.seq for question in play.detail.questions] == questions[-ANSWERED_MAX:]
    assert play.refused(MODERATOR, PickQuestion(questions[0])).code == "question_not_found"
    assert play.refused(MODERATOR, PickQuestion(questions[1])).code == "question_not_open"
