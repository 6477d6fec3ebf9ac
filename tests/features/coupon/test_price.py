"""A coupon's discount."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from liveroom.features.coupon.messages import CouponTerms
from liveroom.features.coupon.price import discount_fen, meets_minimum
from tests.features.coupon.prices import EACH_PRICE, Price

FEN = st.integers(0, 100_000_000_000)
SPENDS = st.integers(0, 10_000 * 100_000_000_000)
AMOUNTS = st.builds(CouponTerms, amount_fen=FEN, min_spend_fen=FEN)
PERCENTAGES = st.builds(CouponTerms, percent_off=st.integers(1, 100), min_spend_fen=FEN, discount_max_fen=FEN)


@EACH_PRICE
def test_discounts(price: Price) -> None:
    """An amount, or a percentage rounded down and bounded; nothing below the minimum spend."""
    assert discount_fen(price.terms, price.spend_fen) == price.discount_fen


def test_no_coupon_takes_nothing_off() -> None:
    """An order without a coupon costs what it costs."""
    assert discount_fen(None, 1_000) == 0


@given(terms=AMOUNTS | PERCENTAGES, spend_fen=SPENDS)
def test_a_discount_is_between_nothing_and_everything(terms: CouponTerms, spend_fen: int) -> None:
    """No terms make the price negative."""
    assert 0 <= discount_fen(terms, spend_fen) <= spend_fen


@given(percent=st.integers(1, 100), spend_fen=SPENDS)
def test_a_percentage_is_rounded_down(percent: int, spend_fen: int) -> None:
    """To whole fen, exactly, however large the sum."""
    assert discount_fen(CouponTerms(percent_off=percent), spend_fen) == floor(Fraction(spend_fen * percent, 100))


@given(terms=AMOUNTS | PERCENTAGES, spend_fen=SPENDS, more=FEN)
def test_who_spends_more_saves_no_less(terms: CouponTerms, spend_fen: int, more: int) -> None:
    """A discount never falls as the spend grows, and nothing is taken off below the minimum."""
    assert discount_fen(terms, spend_fen + more) >= discount_fen(terms, spend_fen)
    assert meets_minimum(terms, spend_fen) == (spend_fen >= terms.min_spend_fen)
