"""What all users of a room own, as an engine hands it to a gateway that begins to hold the room: in parts, each small enough for any journal."""

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
    """What the codes of a coupon are worth, also of one that nobody has claimed yet."""

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
    """A user's hold that is not resolved."""

    sale: int
    user: str
    hold: int
    quantity: int
    until_ms: int
    due_fen: int
    discount_fen: int = 0
    coupon_code: str = ""


class BoughtUnits(Struct, frozen=True, array_like=True, gc=False):
    """Units of a sale that a user has paid."""

    sale: int
    user: str
    units: int


class HoldingsPart(Struct, frozen=True, omit_defaults=True):
    """Part number `part`, from 0, of what users own after all events below `seq`; the room's detail comes after the last part."""

    room: str
    epoch: str
    seq: int
    part: int
    envelopes_over: tuple[int, ...] = ()  # as they ended
    shares: tuple[Share, ...] = ()
    coupons: tuple[CouponWorth, ...] = ()
    codes: tuple[ClaimedCoupon, ...] = ()  # of one coupon as they were claimed
    sales_closed: tuple[int, ...] = ()  # with holds that are not resolved
    holds: tuple[HeldUnits, ...] = ()
    bought: tuple[BoughtUnits, ...] = ()
