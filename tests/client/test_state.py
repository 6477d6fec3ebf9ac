"""The folded state."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from liveroom.client import RoomEvent, UnknownEvent
from liveroom.client.state import fold, passed
from liveroom.features.audience.messages import AudienceCounted
from liveroom.features.chat.messages import ChatBudgetSet, ChatLine, ChatSent, MessageDeleted, SlowModeSet
from liveroom.features.chat.view import CHAT_LINES_KEPT
from liveroom.features.coupon.messages import CouponLeft, CouponTerms, CouponView
from liveroom.features.flash_sale.messages import SaleView, StockChanged
from liveroom.features.lifecycle.messages import AnnouncementSet, RoomClosed, RoomOpened
from liveroom.features.likes.messages import LikesAdded
from liveroom.features.moderation.messages import UserMuted
from liveroom.features.questions.messages import Question, QuestionAnswered, QuestionAsked, QuestionDismissed, QuestionPicked
from liveroom.features.questions.view import QUESTIONS_KEPT
from liveroom.features.red_envelope.messages import EnvelopeView, RedEnvelopeGrabbed
from liveroom.features.showcase.messages import Product, ProductAdded, ProductPinned, ProductRemoved, ProductUnpinned, TryOnRequested
from liveroom.messages.room_rules import RoomRules
from tests.client.conftest import keyframe

LINE = ChatLine(3, "u", "U", "hi")
ASKED = Question(4, "u", "U", "how?")
PRODUCT = Product("p1", "Tea", 990)
ENVELOPE = EnvelopeView(6, "Luck", 100, 2, 2, 100, "lucky", 1, 9, "c0")
COUPON = CouponView(5, "Less", CouponTerms(amount_fen=5), 3, 3, 1, 8, 9)
SALE = SaleView(4, "p1", "Tea", 990, 10, 10, 0, 0, 2, 1, 9, 5, "open")


@pytest.mark.parametrize(
    ("before", "event", "after"),
    [
        (
            {"open": False, "chat_budget": 9},
            RoomOpened("New", "b", "e1", RoomRules(1, 1, 20, 1)),
            {"title": "New", "anchor": "b", "open": True, "opened_ms": 77, "chat_budget": 20},
        ),
        ({}, RoomClosed("bye"), {"open": False, "close_reason": "bye"}),
        ({}, AnnouncementSet("sale"), {"announcement": "sale"}),
        ({}, ChatSent("u", "U", "hi", buyer=True), {"chat": (ChatLine(10, "u", "U", "hi", buyer=True),)}),
        ({"chat": (LINE,)}, MessageDeleted(3, "a"), {"chat": ()}),
        ({}, SlowModeSet(5_000), {"slow_mode_ms": 5_000}),
        ({}, ChatBudgetSet(7), {"chat_budget": 7}),
        ({}, QuestionAsked("u", "U", "why?"), {"questions": (Question(10, "u", "U", "why?"),)}),
        (
            {"questions": (Question(2, "u", "U", "?", "picked"), ASKED)},
            QuestionPicked(4),
            {"questions": (Question(2, "u", "U", "?"), Question(4, "u", "U", "how?", "picked"))},
        ),
        ({"questions": (ASKED,)}, QuestionAnswered(4, "so"), {"questions": (Question(4, "u", "U", "how?", "answered", "so", 10),)}),
        ({"questions": (ASKED,)}, QuestionDismissed(4), {"questions": ()}),
        ({}, LikesAdded(2, 40), {"likes": 40}),
        ({}, ProductAdded(PRODUCT, 3), {"showcase_version": 10, "showcase_count": 3}),
        ({"try_ons": {"p1": 2, "p2": 1}}, ProductRemoved("p1", 2), {"showcase_version": 10, "showcase_count": 2, "try_ons": {"p2": 1}}),
        ({}, ProductPinned(PRODUCT), {"pinned": PRODUCT}),
        ({"pinned": PRODUCT}, ProductUnpinned("p1"), {"pinned": None}),
        ({"try_ons": {"p2": 1}}, TryOnRequested("p1", "u", 3), {"try_ons": {"p2": 1, "p1": 3}}),
        ({}, AudienceCounted(5, 9, 7, True), {"viewers": 5, "unique": 9, "peak": 7, "unique_estimated": True}),
        ({"envelopes": (ENVELOPE,)}, RedEnvelopeGrabbed(6, "u", "U", 40, 1, 60), {"envelopes": (replace(ENVELOPE, shares_left=1, left_fen=60),)}),
        ({"coupons": (COUPON,)}, CouponLeft(5, 2), {"coupons": (replace(COUPON, left=2),)}),
        ({"sales": (SALE,)}, StockChanged(4, 6, 3, 1), {"sales": (replace(SALE, available=6, held=3, sold=1),)}),
        ({}, UserMuted("u", 1, "a"), {}),
        ({}, UnknownEvent("red_envelope_opened", {"sum": 1}), {}),
    ],
)
def test_each_event_changes_what_it_says_and_nothing_else(before: dict[str, Any], event: Any, after: dict[str, Any]) -> None:
    """An event changes its own fields, the seq and the time; the state before it stays as it was."""
    state = keyframe(10, **before)
    untouched = msgspec.json.encode(state)
    assert fold(state, RoomEvent(10, 77, event)) == msgspec.structs.replace(state, seq=11, time_ms=77, **after)
    assert msgspec.json.encode(state) == untouched


def test_a_state_is_bounded() -> None:
    """A state holds the last lines of chat and the last questions, however many are said and asked."""
    state = keyframe(0)
    for seq in range(0, 1_000, 2):
        state = fold(state, RoomEvent(seq, 1, ChatSent("u", "U", str(seq))))
        state = fold(state, RoomEvent(seq + 1, 1, QuestionAsked("u", "U", str(seq))))
    assert [line.seq for line in state.chat] == list(range(1_000 - 2 * CHAT_LINES_KEPT, 1_000, 2))
    assert [question.seq for question in state.questions] == list(range(1_001 - 2 * QUESTIONS_KEPT, 1_000, 2))


def test_omitted_events_move_the_seq() -> None:
    """A state stands at the end of the delta, also when its last events were left out."""
    assert passed(keyframe(3), 9, 5) == keyframe(9, time_ms=5)
