"""Folding a room's public state: keyframes for console and client, details for consoles."""

from __future__ import annotations

from typing import Any

import pytest

from liveroom.features.chat.messages import ChatSent
from liveroom.features.lifecycle.messages import RoomOpened
from liveroom.features.questions.messages import Question, QuestionAnswered, QuestionAsked, QuestionDismissed, QuestionPicked
from liveroom.features.questions.view import ANSWERED_MAX, QUESTIONS_SHOWN, fold_questions, newest_questions
from liveroom.features.showcase.messages import Product, ProductRemoved, TryOnRequested
from liveroom.features.showcase.view import TRY_ONS_SHOWN
from liveroom.messages.base import EventBase
from liveroom.messages.room_rules import RoomRules
from liveroom.protocol.frames import Keyframe, RoomDetail
from liveroom.protocol.public_state import add_details, details_of, fold_details, fold_keyframe

BARE = Keyframe("demo", "s1", 0, 1, "T", "anna", False, 1, close_reason="over")


def folded(*events: EventBase, **kept: int) -> dict[str, Any]:
    """The fields that change, with events from seq 10 on."""
    changed: dict[str, Any] = {}
    for seq, event in enumerate(events, 10):
        fold_keyframe(BARE, changed, event, seq, 77, kept)
    return changed


@pytest.mark.parametrize(("kept", "texts"), [(0, []), (2, ["b", "c"]), (50, ["a", "b", "c"])])
def test_a_reader_keeps_as_many_lines_as_it_says(kept: int, texts: list[str]) -> None:
    """The newest; hidden lines do not count."""
    lines = [ChatSent("u", "U", text, shown=text != "hidden") for text in ("a", "hidden", "b", "c")]
    assert [line.text for line in folded(*lines, chat=kept).get("chat", ())] == texts


def test_an_opening_says_which_budget_holds() -> None:
    """Also one that was set before the room was closed."""
    rules = RoomRules(1, 1, 9, 1, chat_budget_set=True)
    assert folded(RoomOpened("New", "bo", "s1", rules, "Bo")) == {
        "title": "New",
        "anchor": "bo",
        "anchor_name": "Bo",
        "opened_ms": 77,
        "chat_budget": 9,
        "open": True,
        "close_reason": "",
    }


def test_the_oldest_answer_goes_first() -> None:
    """Whatever the order in which the questions were asked."""
    questions: tuple[Question, ...] = ()
    for seq in range(ANSWERED_MAX + 1):
        questions = fold_questions(questions, QuestionAsked("u", "U", "?"), seq, 1)
    for answer, question in enumerate(reversed(questions), 100):
        questions = fold_questions(questions, QuestionAnswered(question.seq, "so"), answer, 1)
    assert [question.seq for question in questions] == list(range(ANSWERED_MAX))


def test_a_keyframe_shows_the_picked_question_and_the_newest() -> None:
    """A question that is asked shows again once others are resolved."""
    details = details_of(RoomDetail(BARE))
    changed: dict[str, Any] = {}
    for seq in range(QUESTIONS_SHOWN + 3):
        fold_details(details, changed, QuestionAsked("u", "U", "?"), seq, 1)
    fold_details(details, changed, QuestionPicked(0), 50, 1)
    assert [question.seq for question in changed["questions"]] == [0, *range(3, QUESTIONS_SHOWN + 3)]
    fold_details(details, changed, QuestionDismissed(5), 51, 1)
    assert [question.seq for question in changed["questions"]] == [0, 2, 3, 4, *range(6, QUESTIONS_SHOWN + 3)]
    assert len(details["questions"]) == QUESTIONS_SHOWN + 2
    assert changed["questions"] == newest_questions(details["questions"])


def test_a_keyframe_shows_the_products_with_the_most_requests() -> None:
    """One that was pushed out shows again when another is removed; the detail counts all."""
    details = details_of(RoomDetail(BARE))
    changed: dict[str, Any] = {}
    for number in range(TRY_ONS_SHOWN + 1):
        fold_details(details, changed, TryOnRequested(f"p{number:02}", "u", 1), number, 1)
    last = f"p{TRY_ONS_SHOWN:02}"
    assert last not in changed["try_ons"]
    assert last in details["try_ons"]
    fold_details(details, changed, ProductRemoved("p00", 5), 99, 1)
    assert last in changed["try_ons"]


def test_a_detail_may_come_in_parts() -> None:
    """Entries add up in their order; one that comes twice counts once."""
    first, second = Product("p1", "One", 1), Product("p2", "Two", 2)
    details = details_of(RoomDetail(BARE, banned={"u1": 5}, products=(first,), banned_words=("w1",)))
    more = RoomDetail(BARE, banned={"u2": 6}, products=(second,), banned_words=("w1", "w2"), continues=True)
    add_details(details, more)
    add_details(details, more)
    assert details["banned"] == {"u1": 5, "u2": 6}
    assert details["products"] == (first, second)
    assert details["banned_words"] == ("w1", "w2")
