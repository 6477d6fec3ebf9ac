"""A coupon's discount in whole fen: rounded down, and never more than the order's sum."""

from __future__ import annotations

from liveroom.features.coupon.messages import CouponTerms

__all__ = ["discount_fen", "meets_minimum"]


def discount_fen(terms: CouponTerms | None, spend_fen: int) -> int:
    """The discount on `spend_fen`: rounded down, at most all of it; 0 without a coupon and below its minimum spend."""
    if terms is None or not meets_minimum(terms, spend_fen):
        return 0
    if terms.amount_fen:
        return min(terms.amount_fen, spend_fen)
    discount = spend_fen * terms.percent_off // 100
    return min(discount, terms.discount_max_fen) if terms.discount_max_fen else discount


def meets_minimum(terms: CouponTerms, spend_fen: int) -> bool:
    """Whether a coupon may be used for this spend."""
    return spend_fen >= terms.min_spend_fen
