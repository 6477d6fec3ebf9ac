"""The coupons that viewers see: those of a keyframe, kept current by the events after it."""

from __future__ import annotations

from liveroom.features.coupon.messages import CouponExpired, CouponIssued, CouponLeft, CouponStopped, CouponView
from liveroom.features.feature import View
from liveroom.features.views import OFFERS_KEPT, replace_if

__all__ = ["VIEWS", "fold_coupons"]


def fold_coupons(coupons: tuple[CouponView, ...], event: object, seq: int, time_ms: int) -> tuple[CouponView, ...]:
    """Coupons that can be claimed."""
    match event:
        case CouponIssued():
            view = CouponView(
                coupon=seq,
                title=event.title,
                terms=event.terms,
                stock=event.stock,
                left=event.stock,
                per_user_max=event.per_user_max,
                claimable_until_ms=event.claimable_until_ms,
                valid_until_ms=event.valid_until_ms,
                users_per_address_max=event.users_per_address_max,
            )
            return (*coupons, view)
        case CouponLeft():
            return tuple(replace_if(view.coupon == event.coupon, view, left=event.left) for view in coupons)
        case CouponStopped() | CouponExpired():
            return tuple(view for view in coupons if view.coupon != event.coupon)
    return coupons


VIEWS = (View("coupons", tuple[CouponView, ...], (), (CouponIssued, CouponLeft, CouponStopped, CouponExpired), fold_coupons, kept=OFFERS_KEPT),)
