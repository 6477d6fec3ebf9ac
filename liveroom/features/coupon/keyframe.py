"""Coupons in a room's keyframe."""

from __future__ import annotations

from typing import Final

from liveroom.features.coupon.messages import CouponView
from liveroom.features.coupon.state import Coupon, of
from liveroom.features.ruleset import Fill
from liveroom.features.state import RoomState
from liveroom.messages.settings import RoomSettings

__all__ = ["COUPONS_SHOWN", "FILLS"]

#: Newest coupons in a keyframe.
COUPONS_SHOWN: Final = 10


def _newest(state: RoomState, rules: RoomSettings) -> list[CouponView]:
    """The claimable coupons, newest first."""
    live = of(state).live
    claimable = [seq for seq in reversed(live) if not live[seq].stopped]
    return [_view(seq, live[seq]) for seq in claimable[:COUPONS_SHOWN]]


def _view(seq: int, coupon: Coupon) -> CouponView:
    return CouponView(
        coupon=seq,
        title=coupon.title,
        terms=coupon.terms,
        stock=coupon.stock,
        left=coupon.left,
        per_user_max=coupon.per_user_max,
        claimable_until_ms=coupon.claimable_until_ms,
        valid_until_ms=coupon.valid_until_ms,
        users_per_address_max=coupon.users_per_address_max,
    )


FILLS = (Fill(field="coupons", items=_newest, key=lambda view: view.coupon, rank=2, must=True),)
