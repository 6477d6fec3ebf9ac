"""Settings of coupons."""

from __future__ import annotations

from typing import Annotated

from liveroom.messages.settings import Section, setting

__all__ = ["CouponSettings"]


class CouponSettings(Section, frozen=True):
    """Settings of coupons."""

    coupons_live_max: Annotated[int, setting("Unexpired coupons of a room", ge=1, le=1_000)] = 100
    coupon_codes_max: Annotated[int, setting("Codes of all coupons of a room", ge=1, le=10_000_000)] = 1_000_000
