"""The entitlements of all users of a room, for a gateway that begins to follow it. Parts keep each record small enough for any journal."""

from __future__ import annotations

from msgspec import Struct

from liveroom.features.coupon.messages import CouponTerms

__all__ = ["BoughtUnits", "ClaimedCoupon", "CouponWorth", "HeldUnits", "HoldingsPart", "Share"]


class Share(Struct, frozen=True, array_like=True, gc=False):
    """A user's share of a red envelope."""

    envelope: int
    user: str
    amount_fen: int


class CouponWorth(Struct, frozen=True, array_like=True):
    """The value of a coupon's codes, also for a coupon without claims."""

    coupon: int
    title: str
    terms: CouponTerms
    valid_until_ms: int


class ClaimedCoupon(Struct, frozen=True, array_like=True, gc=False):
    """A user's code of a coupon, and the order that uses it ("" = none)."""

    coupon: int
    user: str
    code: str
    order: str = ""


class HeldUnits(Struct, frozen=True, array_like=True, gc=False):
    """A user's open hold."""

    sale: int
    user: str
    hold: int
    quantity: int
    until_ms: int
    due_fen: int
    discount_fen: int = 0
    coupon_code: str = ""


class BoughtUnits(Struct, frozen=True, array_like=True, gc=False):
    """Units of a sale that a user has paid for."""

    sale: int
    user: str
    units: int


class HoldingsPart(Struct, frozen=True, omit_defaults=True):
    """Part number `part`, from 0, of the users' entitlements after all events below `seq`; the room's detail follows the last part."""

    room: str
    stream_id: str
    seq: int
    part: int
    envelopes_over: tuple[int, ...] = ()  # in the order in which they ended
    shares: tuple[Share, ...] = ()
    coupons: tuple[CouponWorth, ...] = ()
    codes: tuple[ClaimedCoupon, ...] = ()  # each coupon's codes in the order of their claims
    sales_closed: tuple[int, ...] = ()  # sales with open holds
    holds: tuple[HeldUnits, ...] = ()
    bought: tuple[BoughtUnits, ...] = ()
