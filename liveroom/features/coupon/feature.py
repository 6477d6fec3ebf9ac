"""The feature coupon, declared by the contract of a feature."""

from __future__ import annotations

from liveroom.features.coupon.admission import CLAIM
from liveroom.features.coupon.entitlements import CouponEntitlements
from liveroom.features.coupon.messages import (
    REFUSALS,
    ClaimCoupon,
    CouponClaimed,
    CouponExpired,
    CouponIssued,
    CouponLeft,
    CouponRedeemed,
    CouponReleased,
    CouponStopped,
    IssueCoupon,
    RedeemCoupon,
    ReleaseCoupon,
    StopCoupon,
)
from liveroom.features.coupon.settings import CouponSettings
from liveroom.features.coupon.view import VIEWS
from liveroom.features.feature import Feature

__all__ = ["FEATURE"]

FEATURE = Feature(
    name="coupon",
    rules="liveroom.features.coupon.rules",
    needs=("address_limits",),
    refusals=REFUSALS,
    settings=CouponSettings,
    commands=(
        IssueCoupon,
        ClaimCoupon,
        StopCoupon,
        RedeemCoupon,
        ReleaseCoupon,
    ),
    events=(
        CouponIssued,
        CouponClaimed,
        CouponLeft,
        CouponRedeemed,
        CouponReleased,
        CouponStopped,
        CouponExpired,
    ),
    views=VIEWS,
    closing_bytes=316_000,
    due_bytes=61_000,
    admission=CLAIM,
    entitlements=CouponEntitlements,
)
