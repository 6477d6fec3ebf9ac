"""Claims of coupons in gateways' queues: claimed codes never return to the stock."""

from __future__ import annotations

from liveroom.features.coupon.messages import ClaimCoupon, CouponClaimed, CouponExpired, CouponIssued, CouponLeft, CouponStopped, CouponView
from liveroom.features.feature import Admission, StockChange

__all__ = ["CLAIM"]


def _issued(seq: int, event: CouponIssued) -> StockChange:
    return StockChange(seq, (event.stock, 0), is_new=True, counts_addresses=event.users_per_address_max > 0)


def _claimed(seq: int, event: CouponClaimed) -> StockChange:
    return StockChange(event.coupon, winner=event.user)


def _left(seq: int, event: CouponLeft) -> StockChange:
    return StockChange(event.coupon, (event.left, 0))


def _stopped(seq: int, event: CouponStopped) -> StockChange:
    return StockChange(event.coupon, end_code="coupon_stopped")


def _expired(seq: int, event: CouponExpired) -> StockChange:
    return StockChange(event.coupon, end_code="coupon_expired")


def _view(view: CouponView) -> StockChange:
    return StockChange(view.coupon, (view.left, 0), total=view.stock, counts_addresses=view.users_per_address_max > 0)


CLAIM = Admission(
    command=ClaimCoupon,
    claim=lambda command: (command.coupon, 1),
    empty_code="coupon_gone",
    changes={CouponIssued: _issued, CouponClaimed: _claimed, CouponLeft: _left, CouponStopped: _stopped, CouponExpired: _expired},
    views="coupons",
    view=_view,
)
