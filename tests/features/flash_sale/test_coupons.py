"""Coupons in a flash sale: a hold takes a code, and gives it back unless it is paid."""

from __future__ import annotations

import pytest

from liveroom.features.coupon.messages import CouponRedeemed, CouponReleased, RedeemCoupon, ReleaseCoupon
from liveroom.features.coupon.state import of as coupons_of
from liveroom.features.flash_sale.messages import (
    CancelHold,
    ConfirmHold,
    HoldCancelled,
    HoldConfirmed,
    ReserveStock,
    StockChanged,
    StockReserved,
)
from liveroom.rooms.room import decode_state, encode_state
from tests.features.flash_sale.test_rules import announced, code_of, play_with_shirt, reserved, stock
from tests.features.play import BELLA, PLATFORM, VERA, VICTOR


def test_a_coupon_makes_a_hold_cheaper() -> None:
    """Anybody's code does; the hold uses it as its order."""
    play = play_with_shirt()
    sale, code = announced(play), code_of(play)
    hold = play.room.seq
    decision = play.tries(VERA, ReserveStock(sale, 3, code))
    coupon = next(iter(coupons_of(play.room).live))
    assert decision.events == (  # type: ignore[union-attr]
        StockReserved(sale, "vera", 3, play.now_ms + 10_000, 1_500, 1_500, code),
        CouponRedeemed(coupon, "bella", code, f"hold-{hold}", 1_500),
        StockChanged(sale, 2, 3, 0),
    )
    assert decision.result == {"hold": hold, "until_ms": play.now_ms + 10_000, "due_fen": 1_500, "discount_fen": 1_500}  # type: ignore[union-attr]
    assert play.refused(VICTOR, ReserveStock(sale, 2, code)).code == "coupon_used"
    assert play.refused(PLATFORM, RedeemCoupon(code, "o1", 5_000)).code == "coupon_used"
    assert play.does(PLATFORM, ConfirmHold(hold, "p1"))["paid_fen"] == 1_500
    assert play.refused(VICTOR, ReserveStock(sale, 2, code)).code == "coupon_used"


def test_a_coupon_that_cannot_be_used_reserves_nothing() -> None:
    """Unknown, expired, used by an order, or for more than this."""
    play = play_with_shirt()
    sale, code, old = announced(play), code_of(play), code_of(play, valid_ms=1_000)
    play.now_ms += 1_000
    refused = {reason: play.refused(VERA, ReserveStock(sale, 2, reason)) for reason in ("A" * 16, old)}
    assert {(refusal.code, refusal.field) for refusal in refused.values()} == {
        ("coupon_not_found", "coupon_code"),
        ("coupon_expired", "coupon_code"),
    }
    assert play.refused(VERA, ReserveStock(sale, 1, code)).code == "spend_too_small"
    play.does(PLATFORM, RedeemCoupon(code, "o1", 2_000))
    assert play.refused(VERA, ReserveStock(sale, 2, code)).code == "coupon_used"
    assert stock(play, sale) == (5, 0, 0)


@pytest.mark.parametrize("how", ["cancelled", "expired"])
def test_an_unpaid_hold_gives_its_coupon_back(how: str) -> None:
    """With the stock; then it can be used again."""
    play = play_with_shirt()
    sale, code = announced(play), code_of(play)
    hold = reserved(play, sale, 2, VERA, code)
    events = play.events(VERA, CancelHold(hold)) if how == "cancelled" else play.passes(10_000)
    assert CouponReleased(next(iter(coupons_of(play.room).live)), "bella", code, f"hold-{hold}") in events
    reserved(play, sale, 2, VICTOR, code)


def test_a_part_of_a_hold_has_the_discount_of_that_part() -> None:
    """The minimum spend must still be met: otherwise there is no discount and the code comes back."""
    play = play_with_shirt()
    sale, code = announced(play), code_of(play)
    hold = reserved(play, sale, 3, VERA, code)
    assert play.does(PLATFORM, ConfirmHold(hold, "p1", 2))["paid_fen"] == 1_000
    assert play.refused(PLATFORM, RedeemCoupon(code, "o1", 2_000)).code == "coupon_used"
    other = code_of(play)
    hold = reserved(play, sale, 3, VICTOR, other)
    events = play.events(PLATFORM, ConfirmHold(hold, "p2", 1))
    coupon = list(coupons_of(play.room).live)[-1]
    assert events == (
        HoldConfirmed(sale, hold, "victor", 1, 2, 1_000, "p2"),
        CouponReleased(coupon, "bella", other, f"hold-{hold}"),
        StockChanged(sale, 2, 0, 3),
    )
    play.does(PLATFORM, RedeemCoupon(other, "o1", 2_000))


def test_a_hold_keeps_its_price_when_its_coupon_expires() -> None:
    """Also in part; an expired code does not come back."""
    play = play_with_shirt()
    sale = announced(play)
    sale_of_more = announced(play)
    codes = [code_of(play, valid_ms=1_000) for _ in range(3)]
    holds = [reserved(play, sale, 2, sender, code) for sender, code in zip((VERA, VICTOR), codes, strict=False)]
    last = reserved(play, sale_of_more, 2, BELLA, codes[2])
    play.now_ms += 1_000
    assert play.events(BELLA, CancelHold(last)) == (HoldCancelled(sale_of_more, last, "bella", "bella"), StockChanged(sale_of_more, 5, 0, 0))
    play.passes(0)
    assert coupons_of(play.room).live == {}
    play.state = decode_state(encode_state(play.room))
    assert play.does(PLATFORM, ConfirmHold(holds[0], "p1"))["paid_fen"] == 1_000
    assert play.events(PLATFORM, ConfirmHold(holds[1], "p2", 1))[1:] == (StockChanged(sale, 2, 0, 3),)


def test_an_open_hold_s_coupon_cannot_be_pulled_out() -> None:
    """The platform may give it back after it was paid, when the order fell through."""
    play = play_with_shirt()
    sale, code = announced(play), code_of(play)
    hold = reserved(play, sale, 2, VERA, code)
    assert play.refused(PLATFORM, ReleaseCoupon(code, f"hold-{hold}")).code == "coupon_used"
    play.does(PLATFORM, ConfirmHold(hold, "p1"))
    play.does(PLATFORM, ReleaseCoupon(code, f"hold-{hold}"))
    play.does(PLATFORM, RedeemCoupon(code, "o1", 2_000))
