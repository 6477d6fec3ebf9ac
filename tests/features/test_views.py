"""Views of a keyframe and the events after it give the views that a later keyframe has."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from liveroom.features.coupon.messages import CouponExpired, CouponIssued, CouponLeft, CouponStopped, CouponTerms, CouponView
from liveroom.features.coupon.view import fold_coupons
from liveroom.features.flash_sale.messages import FlashSaleAnnounced, FlashSaleClosed, FlashSaleOpened, FlashSaleRestocked, SaleView, StockChanged
from liveroom.features.flash_sale.view import fold_sales
from liveroom.features.likes.messages import LikesAdded
from liveroom.features.red_envelope.messages import EnvelopeView, RedEnvelopeClosed, RedEnvelopeDropped, RedEnvelopeGrabbed, RedEnvelopeOpened
from liveroom.features.red_envelope.view import fold_envelopes
from liveroom.features.views import OFFERS_KEPT
from liveroom.messages.base import EventBase
from liveroom.protocol.frames import Keyframe
from liveroom.protocol.public_state import fold_keyframe

TERMS = CouponTerms(percent_off=10)
DROPPED = RedEnvelopeDropped(100, 2, "lucky", "Luck", 1, 9, "c0", "anna")
ENVELOPE = EnvelopeView(6, "Luck", 100, 2, 2, 100, "lucky", 1, 9, "c0")
ISSUED = CouponIssued("Less", TERMS, 3, 1, 8, 9, "anna")
COUPON = CouponView(6, "Less", TERMS, 3, 3, 1, 8, 9)
ANNOUNCED = FlashSaleAnnounced("tea", "Tea", 990, 10, 2, 1, 9, 5, "anna")
SALE = SaleView(6, "tea", "Tea", 990, 10, 10, 0, 0, 2, 1, 9, 5, "announced")
OTHERS = (replace(ENVELOPE, envelope=1), replace(COUPON, coupon=1), replace(SALE, sale=1))


@pytest.mark.parametrize(
    ("event", "after"),
    [
        (RedEnvelopeOpened(6), (replace(ENVELOPE, open=True),)),
        (RedEnvelopeGrabbed(6, "u", "U", 40, 1, 60), (replace(ENVELOPE, shares_left=1, left_fen=60),)),
        (RedEnvelopeClosed(6, "expired", 40, 60, "s0"), ()),
    ],
)
def test_red_envelopes(event: EventBase, after: tuple[EnvelopeView, ...]) -> None:
    """From the drop to the end; the others stay as they are."""
    assert fold_envelopes((), DROPPED, 6, 9) == (ENVELOPE,)
    assert fold_envelopes((OTHERS[0], ENVELOPE), event, 7, 9) == (OTHERS[0], *after)


@pytest.mark.parametrize(
    ("event", "after"),
    [(CouponLeft(6, 1), (replace(COUPON, left=1),)), (CouponStopped(6, "anna"), ()), (CouponExpired(6), ())],
)
def test_coupons(event: EventBase, after: tuple[CouponView, ...]) -> None:
    """From the issue until nobody can claim; the others stay as they are."""
    assert fold_coupons((), ISSUED, 6, 9) == (COUPON,)
    assert fold_coupons((OTHERS[1], COUPON), event, 7, 9) == (OTHERS[1], *after)


@pytest.mark.parametrize(
    ("event", "after"),
    [
        (FlashSaleOpened(6), (replace(SALE, state="open"),)),
        (FlashSaleRestocked(6, 5, 15), (replace(SALE, stock=15),)),
        (StockChanged(6, 7, 2, 1), (replace(SALE, available=7, held=2, sold=1),)),
        (FlashSaleClosed(6, "anna"), ()),
        (FlashSaleClosed(6, "anna", 2), (replace(SALE, state="closed", held=2),)),
    ],
)
def test_flash_sales(event: EventBase, after: tuple[SaleView, ...]) -> None:
    """From the announcement until the last hold of a closed one is resolved; the others stay as they are."""
    assert fold_sales((), ANNOUNCED, 6, 9) == (SALE,)
    assert fold_sales((OTHERS[2], SALE), event, 7, 9) == (OTHERS[2], *after)


def test_a_closed_sale_goes_with_its_last_hold() -> None:
    """When its stock says so."""
    closed = replace(SALE, state="closed", held=2)
    assert fold_sales((closed,), StockChanged(6, 9, 1, 0), 8, 9) == (replace(closed, available=9, held=1),)
    assert fold_sales((closed,), StockChanged(6, 10, 0, 0), 8, 9) == ()


def test_what_readers_keep_of_offers_is_bounded() -> None:
    """The newest of each kind, however many are made."""
    changed: dict[str, Any] = {}
    state = Keyframe("demo", "s1", 0, 1, "T", "a", True, 1)
    for seq in range(OFFERS_KEPT + 5):
        for event in (DROPPED, ISSUED, ANNOUNCED):
            fold_keyframe(state, changed, event, seq, 9)
    envelopes, coupons, sales = (changed[field] for field in ("envelopes", "coupons", "sales"))
    assert len(envelopes) == len(coupons) == len(sales) == OFFERS_KEPT
    assert (envelopes[0].envelope, coupons[0].coupon, sales[0].sale) == (5, 5, 5)


def test_other_events_change_nothing() -> None:
    """The very same views come back."""
    views = ((ENVELOPE,), (COUPON,), (SALE,))
    for fold, view in zip((fold_envelopes, fold_coupons, fold_sales), views, strict=True):
        assert fold(view, LikesAdded(1, 2), 7, 9) is view  # type: ignore[operator]
