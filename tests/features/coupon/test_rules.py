"""Coupons: claimed while there are any, each code used by one order at a time."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace

from liveroom.features.coupon import rules
from liveroom.features.coupon.messages import (
    ClaimCoupon,
    CouponClaimed,
    CouponExpired,
    CouponIssued,
    CouponLeft,
    CouponRedeemed,
    CouponReleased,
    CouponStopped,
    CouponTerms,
    IssueCoupon,
    RedeemCoupon,
    ReleaseCoupon,
    StopCoupon,
)
from liveroom.features.coupon.rules import COUPONS_OVER_MAX
from liveroom.features.coupon.state import of as coupons_of
from liveroom.features.decision import Decided
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom, RoomClosed
from liveroom.protocol.commands import Command
from liveroom.rooms.room import decode_state, due_ms, encode_state
from tests.features.play import ANCHOR, BELLA, MODERATOR, PLATFORM, VERA, VICTOR, Play

FIVE_YUAN = CouponTerms(amount_fen=500, min_spend_fen=1_000)
ISSUE = IssueCoupon("5 off", FIVE_YUAN, stock=3, per_user_max=2, claimable_ms=10_000, valid_ms=60_000)


def issued(play: Play, **changed: Any) -> int:
    """A coupon, by its seq."""
    return int(play.does(ANCHOR, replace(ISSUE, **changed))["coupon"])


def claimed(play: Play, seq: int, sender: Any = VERA) -> str:
    """A code of it."""
    return str(play.does(sender, ClaimCoupon(seq))["code"])


def test_a_coupon_is_named_by_its_seq() -> None:
    """And it says until when it can be claimed and used."""
    play = Play()
    seq = play.room.seq
    (event,) = play.events(ANCHOR, ISSUE)
    assert event == CouponIssued("5 off", FIVE_YUAN, 3, 2, play.now_ms + 10_000, play.now_ms + 60_000, "anna")
    assert issued(play) == seq + 1


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        (CouponTerms(), "terms"),
        (CouponTerms(amount_fen=1, percent_off=1), "terms"),
        (CouponTerms(amount_fen=1, discount_max_fen=1), "terms.discount_max_fen"),
    ],
)
def test_a_coupon_takes_off_an_amount_or_a_percentage(terms: CouponTerms, field: str) -> None:
    """Exactly one of them, and only a percentage is bounded."""
    refusal = Play().refused(ANCHOR, replace(ISSUE, terms=terms))
    assert (refusal.code, refusal.field) == ("bad_value", field)


def test_what_can_be_claimed_can_be_used() -> None:
    """Codes are valid for at least as long as they can be claimed."""
    play = Play()
    refusal = play.refused(ANCHOR, replace(ISSUE, claimable_ms=10_000, valid_ms=9_999))
    assert (refusal.code, refusal.field) == ("out_of_range", "valid_ms")
    issued(play, claimable_ms=10_000, valid_ms=10_000)


def test_a_title_can_be_seen() -> None:
    """The rules for all lines hold for a coupon's title."""
    assert Play().refused(ANCHOR, replace(ISSUE, title=" ")).code == "empty_text"


def test_a_closed_room_issues_nothing() -> None:
    """Until it is opened again."""
    play = Play()
    play.does(ANCHOR, CloseRoom())
    assert play.refused(ANCHOR, ISSUE).code == "room_closed"


def test_live_coupons_are_limited() -> None:
    """Stopped ones count until they expire."""
    play = Play(coupons_live_max=1)
    seq = issued(play)
    play.does(ANCHOR, StopCoupon(seq))
    assert play.refused(ANCHOR, ISSUE).code == "limit_reached"
    play.passes(60_000)
    issued(play)


def test_codes_are_limited() -> None:
    """A coupon counts with all it may give out; a stopped one with what it gave out."""
    play = Play(coupon_codes_max=5)
    seq = issued(play)
    claimed(play, seq)
    assert play.refused(ANCHOR, ISSUE).code == "limit_reached"
    play.does(ANCHOR, StopCoupon(seq))
    issued(play)


def test_a_claim_has_a_code_of_its_own() -> None:
    """The code has 16 random characters of base32 and goes to its user alone; all viewers see how many are left."""
    play = Play()
    seq = issued(play)
    decision = play.tries(VERA, ClaimCoupon(seq))
    first, second = decision.events  # type: ignore[union-attr]
    code = decision.result["code"]  # type: ignore[union-attr]
    assert (first, second) == (CouponClaimed(seq, "vera", str(code)), CouponLeft(seq, 2))
    assert decision.result == {"coupon": seq, "code": code, "left": 2}  # type: ignore[union-attr]
    assert re.fullmatch(r"[A-Z2-7]{16}", str(code))
    assert claimed(play, seq) != code


def test_no_two_claims_have_the_same_code() -> None:
    """If chance gives a present or former code, another is drawn."""

    class Loaded:
        drawn = [1, 1, 2, 1, 2, 3]

        def getrandbits(self, k: int, /) -> int:
            return self.drawn.pop(0)

    play = Play()
    play.rng = Loaded()  # type: ignore[assignment]
    old, new = issued(play), issued(play, valid_ms=120_000)
    first, second = claimed(play, old), claimed(play, new, VICTOR)
    play.passes(10_000)
    play.passes(50_000)
    third = claimed(play, issued(play), BELLA)
    assert len({first, second, third}) == 3
    assert not Loaded.drawn


def test_one_user_claims_so_many() -> None:
    """Up to the coupon's limit, each coupon for itself."""
    play = Play()
    seq = issued(play, stock=5)
    claimed(play, seq)
    claimed(play, seq)
    assert play.refused(VERA, ClaimCoupon(seq)).code == "per_user_limit"
    claimed(play, seq, VICTOR)
    claimed(play, issued(play))


def test_no_more_are_claimed_than_there_are() -> None:
    """The stock is the stock."""
    play = Play()
    seq = issued(play, stock=2)
    claimed(play, seq)
    assert play.does(VICTOR, ClaimCoupon(seq))["left"] == 0
    assert play.refused(BELLA, ClaimCoupon(seq)).code == "coupon_gone"


def test_those_who_run_the_room_claim_nothing() -> None:
    """Anchors and the platform do not; moderators watch and may."""
    play = Play()
    seq = issued(play)
    assert play.refused(ANCHOR, ClaimCoupon(seq)).code == "forbidden"
    assert play.refused(PLATFORM, ClaimCoupon(seq)).code == "forbidden"
    claimed(play, seq, MODERATOR)


@pytest.mark.parametrize("timer", [True, False])
def test_a_coupon_is_claimable_for_its_time(timer: bool) -> None:
    """It ends to the millisecond, before or after the timer; then it is stopped without a user."""
    play = Play()
    seq = issued(play)
    play.now_ms += 9_999
    claimed(play, seq)
    assert due_ms(play.room) == play.now_ms + 1
    if timer:
        assert play.passes(1) == (CouponStopped(seq, ""),)
        assert due_ms(play.room) == play.now_ms + 50_000
    else:
        play.now_ms += 1
    assert play.refused(VICTOR, ClaimCoupon(seq)).code == "coupon_stopped"


def test_a_stopped_coupon_is_claimed_no_more() -> None:
    """Its codes stay valid; it is stopped once."""
    play = Play()
    seq = issued(play)
    code = claimed(play, seq)
    assert play.events(ANCHOR, StopCoupon(seq)) == (CouponStopped(seq, "anna"),)
    assert play.refused(VICTOR, ClaimCoupon(seq)).code == "coupon_stopped"
    assert play.refused(ANCHOR, StopCoupon(seq)).code == "coupon_stopped"
    play.does(PLATFORM, RedeemCoupon(code, "o1", 2_000))
    assert play.passes(10_000) == ()


def test_a_coupon_that_never_was() -> None:
    """Is not found, and neither is a code that never was."""
    play = Play()
    assert play.refused(VERA, ClaimCoupon(0)).code == "coupon_not_found"
    assert play.refused(ANCHOR, StopCoupon(0)).code == "coupon_not_found"
    assert play.refused(PLATFORM, RedeemCoupon("A" * 16, "o1", 2_000)).code == "coupon_not_found"
    assert play.refused(PLATFORM, ReleaseCoupon("A" * 16, "o1")).code == "coupon_not_found"


def test_a_code_is_redeemed_once() -> None:
    """By one order; the same order again has the outcome of the first time, whatever it spends now."""
    play = Play()
    seq = issued(play, terms=CouponTerms(percent_off=15))
    code = claimed(play, seq)
    result = {"coupon": seq, "discount_fen": 149}
    decision = play.tries(PLATFORM, RedeemCoupon(code, "o1", 999))
    assert decision.events == (CouponRedeemed(seq, "vera", code, "o1", 149),)  # type: ignore[union-attr]
    assert decision.result == result  # type: ignore[union-attr]
    again = play.tries(PLATFORM, RedeemCoupon(code, "o1", 5_000))
    assert (again.events, again.result) == ((), result)  # type: ignore[union-attr]
    assert play.refused(PLATFORM, RedeemCoupon(code, "o2", 999)).code == "coupon_used"


def test_a_code_needs_its_minimum_spend() -> None:
    """Exactly as much is enough."""
    play = Play()
    code = claimed(play, issued(play))
    assert play.refused(PLATFORM, RedeemCoupon(code, "o1", 999)).code == "spend_too_small"
    assert play.does(PLATFORM, RedeemCoupon(code, "o1", 1_000))["discount_fen"] == 500


def test_an_order_that_fell_through_gives_its_code_back() -> None:
    """Only the order that uses it does, and only once; then another order may use it."""
    play = Play()
    seq = issued(play)
    code = claimed(play, seq)
    assert play.refused(PLATFORM, ReleaseCoupon(code, "o1")).code == "coupon_not_used"
    play.does(PLATFORM, RedeemCoupon(code, "o1", 1_000))
    assert play.refused(PLATFORM, ReleaseCoupon(code, "o2")).code == "coupon_not_used"
    assert play.events(PLATFORM, ReleaseCoupon(code, "o1")) == (CouponReleased(seq, "vera", code, "o1"),)
    assert play.refused(PLATFORM, ReleaseCoupon(code, "o1")).code == "coupon_not_used"
    play.does(PLATFORM, RedeemCoupon(code, "o2", 1_000))


def test_orders_of_holds_are_not_the_platform_s() -> None:
    """No order of the platform's may be taken for one."""
    play = Play()
    code = claimed(play, issued(play))
    refusal = play.refused(PLATFORM, RedeemCoupon(code, "hold-7", 1_000))
    assert (refusal.code, refusal.field) == ("bad_value", "order")


@pytest.mark.parametrize("sender", [VERA, MODERATOR, ANCHOR])
@pytest.mark.parametrize("command", [RedeemCoupon("A" * 16, "o1", 1), ReleaseCoupon("A" * 16, "o1")])
def test_only_the_platform_redeems_and_releases(sender: Any, command: Command) -> None:
    """Orders are the platform's."""
    assert Play().refused(sender, command).code == "forbidden"


@pytest.mark.parametrize("timer", [True, False])
def test_a_coupon_expires(timer: bool) -> None:
    """To the millisecond; then nothing new can be done with it or its codes, whether the timer was there first or not."""
    play = Play()
    seq = issued(play)
    code, used = claimed(play, seq), claimed(play, seq)
    play.does(PLATFORM, RedeemCoupon(used, "o1", 1_000))
    play.passes(59_999)
    play.does(PLATFORM, RedeemCoupon(code, "o2", 1_000))
    play.does(PLATFORM, ReleaseCoupon(code, "o2"))
    if timer:
        assert due_ms(play.room) == play.now_ms + 1
        assert play.passes(1) == (CouponExpired(seq),)
        assert (coupons_of(play.room).live, due_ms(play.room)) == ({}, None)
    else:
        play.now_ms += 1
    commands: list[Command] = [RedeemCoupon(code, "o2", 1_000), RedeemCoupon(used, "o2", 1_000), ReleaseCoupon(used, "o1")]
    assert {play.refused(PLATFORM, command).code for command in commands} == {"coupon_expired"}
    assert play.refused(VICTOR, ClaimCoupon(seq)).code == "coupon_expired"
    assert play.refused(ANCHOR, StopCoupon(seq)).code == "coupon_expired"


@pytest.mark.parametrize("timer", [True, False])
def test_an_order_that_used_a_code_hears_so_after_it_expired(timer: bool) -> None:
    """The first outcome, whatever it spends now, also from a snapshot: a platform that repeats must not take it for unused."""
    play = Play()
    seq = issued(play, terms=CouponTerms(percent_off=15))
    used, returned = claimed(play, seq), claimed(play, seq)
    first = play.does(PLATFORM, RedeemCoupon(used, "o1", 1_000))
    play.does(PLATFORM, RedeemCoupon(returned, "o1", 1_000))
    play.does(PLATFORM, ReleaseCoupon(returned, "o1"))
    if timer:
        play.passes(60_000)
    else:
        play.now_ms += 60_000
    for spend_fen in (1_000, 0, 5_000):
        again = play.tries(PLATFORM, RedeemCoupon(used, "o1", spend_fen))
        assert isinstance(again, Decided), again
        assert (again.events, again.result) == ((), first) == ((), {"coupon": seq, "discount_fen": 150})
    assert play.refused(PLATFORM, RedeemCoupon(returned, "o1", 1_000)).code == "coupon_expired"
    assert play.refused(PLATFORM, RedeemCoupon(used, "o2", 1_000)).code == "coupon_expired"
    restored = decode_state(encode_state(play.room))
    assert (restored, encode_state(restored)) == (play.room, encode_state(play.room))


def test_what_expired_is_remembered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last coupons and the last codes, no more; then they are not found."""
    monkeypatch.setattr(rules, "EXPIRED_CODES_MAX", 3)
    play = Play()
    first = issued(play)
    codes = [claimed(play, first), claimed(play, first)]
    play.passes(60_000)
    for _ in range(COUPONS_OVER_MAX):
        second = issued(play)
        codes.append(claimed(play, second))
        play.passes(60_000)
    found = [play.refused(PLATFORM, RedeemCoupon(code, "o1", 1_000)).code for code in codes]
    assert found == ["coupon_not_found"] * (len(codes) - 3) + ["coupon_expired"] * 3
    assert play.refused(VERA, ClaimCoupon(first)).code == "coupon_not_found"
    assert len(coupons_of(play.room).over) == COUPONS_OVER_MAX
    last = issued(play, stock=5, per_user_max=5)
    codes = [claimed(play, last) for _ in range(5)]
    play.passes(60_000)
    assert list(coupons_of(play.room).expired_codes) == codes[2:]


def test_closing_the_room_stops_its_coupons() -> None:
    """In the same decision, before it closes; codes stay valid, and opening it again does not bring the coupon back."""
    play = Play()
    stopped, seq = issued(play), issued(play)
    play.does(ANCHOR, StopCoupon(stopped))
    code = claimed(play, seq)
    assert play.events(ANCHOR, CloseRoom()) == (CouponStopped(seq, "anna"), RoomClosed())
    assert play.refused(VERA, ClaimCoupon(seq)).code == "coupon_stopped"
    play.does(PLATFORM, RedeemCoupon(code, "o1", 1_000))
    play.does(ANCHOR, OpenRoom("Again"))
    assert play.refused(VERA, ClaimCoupon(seq)).code == "coupon_stopped"


def test_the_keyframe_shows_what_can_be_claimed() -> None:
    """The keyframe has the number left; a stopped coupon is not in it."""
    play = Play()
    seq = issued(play)
    claimed(play, seq)
    (view,) = play.keyframe.coupons
    assert (view.coupon, view.title, view.terms, view.stock, view.left) == (seq, "5 off", FIVE_YUAN, 3, 2)
    assert (view.per_user_max, view.claimable_until_ms, view.valid_until_ms) == (2, play.now_ms + 10_000, play.now_ms + 60_000)
    play.passes(10_000)
    assert play.keyframe.coupons == ()
