"""The keyframe is small whatever happened, and the detail holds the rest."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from liveroom.features.chat.messages import SendChat
from liveroom.features.coupon.keyframe import COUPONS_SHOWN
from liveroom.features.coupon.messages import CouponTerms, IssueCoupon, StopCoupon
from liveroom.features.flash_sale.keyframe import SALES_SHOWN
from liveroom.features.flash_sale.messages import AnnounceFlashSale, CloseFlashSale, ReserveStock
from liveroom.features.lifecycle.messages import OpenRoom, SetAnnouncement
from liveroom.features.moderation.messages import MuteUser
from liveroom.features.questions.messages import AnswerQuestion, AskQuestion, PickQuestion
from liveroom.features.questions.view import QUESTIONS_SHOWN
from liveroom.features.red_envelope.messages import DropRedEnvelope, EnvelopeCondition
from liveroom.features.showcase.messages import AddProduct, PinProduct, Product, RequestTryOn
from liveroom.features.showcase.view import TRY_ONS_SHOWN
from liveroom.protocol.codec import encode
from liveroom.protocol.records import Sender
from liveroom.rooms.keyframe import KEYFRAME_FILLED_BYTES
from liveroom.rooms.room import KEYFRAME_BYTES_MAX, decode_state, encode_state, keyframe
from tests.features.play import ANCHOR, MODERATOR, ROOM, SHIRT, VERA, Play

WIDE = "𠮷"  # four bytes in UTF-8
QUOTE = '"'  # two bytes in JSON


def full_room(character: str) -> Play:
    """Every text as long as it may be, as wide as it may be."""
    play = Play(opened=False, chat_interval_ms=0, questions_per_user_max=100, chat_lines_kept=200, try_ons_per_user_max=500)
    anchor = Sender('"' * 128, character * 64, ANCHOR.role)
    url = "https://" + (character if character == WIDE else "x") * 492
    play.does(anchor, OpenRoom(character * 120))
    play.does(anchor, SetAnnouncement(character * 1_000))
    for number in range(TRY_ONS_SHOWN + 5):
        product = Product(f"{number:064}", character * 120, 100_000_000_000, url, url)
        play.does(anchor, AddProduct(product))
        play.does(VERA, RequestTryOn(product.id))
    play.does(anchor, PinProduct(product.id))
    for _ in range(QUESTIONS_SHOWN + 5):
        question = play.does(Sender("\\" * 128, character * 64), AskQuestion(character * 300))["question"]
    play.does(anchor, PickQuestion(int(question)))
    return play


@pytest.mark.parametrize("character", [WIDE, QUOTE])
def test_a_keyframe_is_never_larger_than_its_limit(character: str) -> None:
    """With every text at its longest, questions and chat give way, the rest stays."""
    play = full_room(character)
    for _ in range(100):
        play.says(ANCHOR, character * 300)
        assert len(encode(play.keyframe)) <= KEYFRAME_FILLED_BYTES
    frame = play.keyframe
    assert (len(frame.announcement), len(frame.try_ons), frame.pinned is not None) == (1_000, TRY_ONS_SHOWN, True)
    assert frame.chat[-1].seq == play.room.seq - 1


@pytest.mark.parametrize("character", [WIDE, QUOTE])
def test_money_stays_in_a_keyframe_whatever_else_is_there(character: str) -> None:
    """All red envelopes that settings allow, with the longest texts, are there; chat and questions give way to them."""
    play = full_room(character)
    play.rules = replace(play.rules, red_envelopes_live_max=8)
    condition = EnvelopeCondition(character * 50, 7_200)
    for _ in range(8):
        play.does(ANCHOR, DropRedEnvelope(100_000_000_000, 10_000, title=character * 120, condition=condition))
    play.says(ANCHOR, character * 300)
    assert len(play.keyframe.envelopes) == 8
    assert len(encode(play.keyframe)) <= KEYFRAME_BYTES_MAX
    for _ in range(SALES_SHOWN):
        play.does(ANCHOR, AnnounceFlashSale(f"{0:064}", 100_000_000_000, 1_000_000))
        play.does(ANCHOR, IssueCoupon(character * 120, CouponTerms(percent_off=1, discount_max_fen=100_000_000_000), 10_000))
        assert len(encode(play.keyframe)) <= KEYFRAME_BYTES_MAX
    assert play.keyframe.sales[-1].sale == play.room.seq - 2


def test_the_newest_sales_and_coupons_are_shown() -> None:
    """So many of each: of the sales those that are not closed before those that are, of the coupons those that can be claimed."""
    play = Play()
    play.adds(SHIRT)
    sales = [int(play.does(ANCHOR, AnnounceFlashSale("shirt", 100, 5, opens_in_ms=0))["sale"]) for _ in range(SALES_SHOWN + 2)]
    play.does(VERA, ReserveStock(sales[-1]))
    play.does(ANCHOR, CloseFlashSale(sales[-1]))
    assert [view.sale for view in play.keyframe.sales] == sales[1:-1]
    for sale in sales[:2]:
        play.does(ANCHOR, CloseFlashSale(sale))
    assert [view.sale for view in play.keyframe.sales] == sales[2:]
    coupons = [int(play.does(ANCHOR, IssueCoupon("Less", CouponTerms(amount_fen=1), 5))["coupon"]) for _ in range(COUPONS_SHOWN + 2)]
    play.does(ANCHOR, StopCoupon(coupons[-1]))
    assert [view.coupon for view in play.keyframe.coupons] == coupons[1:-1]


@pytest.mark.parametrize("length", [30, 31, 50, 100, 250])
def test_the_newest_lines_stay_as_many_as_fit(length: int) -> None:
    """Without a gap, oldest first; hardly any of the limit is wasted, and it is kept."""
    play = Play(chat_lines_kept=200)
    for number in range(200):
        play.says(ANCHOR, f"{number} " + "x" * length)
    lines = play.keyframe.chat
    assert [line.text.split()[0] for line in lines] == [str(number) for number in range(200 - len(lines), 200)]
    assert KEYFRAME_FILLED_BYTES - length - 120 < len(encode(play.keyframe)) <= KEYFRAME_FILLED_BYTES


@pytest.mark.parametrize("kept", [0, 1, 50])
def test_as_many_lines_as_the_setting_says(kept: int) -> None:
    """When they fit."""
    play = Play(chat_lines_kept=kept)
    for number in range(60):
        play.says(ANCHOR, str(number))
    assert [line.text for line in play.keyframe.chat] == [str(number) for number in range(60 - kept, 60)]


def test_the_picked_question_comes_first() -> None:
    """However old it is, it is in the keyframe; then the newest open ones, in the order of their seqs."""
    play = Play(questions_per_user_max=100, chat_interval_ms=0)
    questions = [int(play.does(VERA, AskQuestion("x"))["question"]) for _ in range(QUESTIONS_SHOWN + 10)]
    play.does(MODERATOR, PickQuestion(questions[0]))
    assert [question.seq for question in play.keyframe.questions] == [questions[0], *questions[-QUESTIONS_SHOWN:]]


def test_questions_leave_half_of_the_space_to_chat() -> None:
    """Long questions do not push the chat out."""
    play = Play(questions_per_user_max=100, chat_interval_ms=0)
    for _ in range(QUESTIONS_SHOWN):
        play.does(VERA, AskQuestion(WIDE * 300))
    for _ in range(50):
        play.says(ANCHOR, "x" * 100)
    assert len(play.keyframe.chat) >= 30
    assert play.keyframe.questions


def test_the_most_wished_products_are_shown() -> None:
    """The rest is in the showcase."""
    play = Play(try_ons_per_user_max=500)
    for number in range(TRY_ONS_SHOWN + 1):
        play.adds(Product(f"p{number:02}", "P", 1))
        for user in range(2 if number else 1):
            play.does(Sender(f"u{user}", "U"), RequestTryOn(f"p{number:02}"))
    assert play.keyframe.try_ons == {f"p{number:02}": 2 for number in range(1, TRY_ONS_SHOWN + 1)}


def test_equal_states_have_equal_keyframes() -> None:
    """Also after the state was written and read again."""
    play = full_room(WIDE)
    again = decode_state(encode_state(play.room))
    assert again == play.room
    assert encode(keyframe(ROOM, again, play.now_ms, play.rules)) == encode(play.keyframe)


def test_the_detail_holds_what_readers_need_beside() -> None:
    """The whole showcase, all questions, who is muted now, the words."""
    play = Play()
    play.adds(SHIRT)
    question = int(play.does(VERA, AskQuestion("which size?"))["question"])
    play.does(MODERATOR, AnswerQuestion(question, "M"))
    play.does(MODERATOR, MuteUser("victor", 60_000))
    play.tries(VERA, SendChat("hi"))
    detail = play.detail
    assert detail.keyframe == play.keyframe
    assert detail.products == (SHIRT,)
    assert detail.questions == play.keyframe.questions
    assert detail.muted == {"victor": play.now_ms + 60_000}
