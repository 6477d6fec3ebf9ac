"""Entitlements: what one user owns in a room, and the chunks by which a gateway learns what all users of a room own."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from liveroom.features.coupon.messages import CouponTerms

__all__ = [
    "ENTITLEMENTS_MAX",
    "ENVELOPES_OVER_OWNED",
    "SHARES_OVER_OWNED",
    "BoughtUnits",
    "ClaimedCoupon",
    "CouponWorth",
    "EntitlementsChunk",
    "GrabbedShare",
    "HeldUnits",
    "OwnedCoupon",
    "OwnedHold",
    "Share",
]

#: Entitlements of each kind in one frame: the newest; older ones are only counted.
ENTITLEMENTS_MAX: Final = 100
#: The last closed red envelopes of a room whose shares are still entitlements.
ENVELOPES_OVER_OWNED: Final = 20
#: Limit for the shares of closed red envelopes, equal to the rules' own. Beyond it the oldest red envelopes are dropped.
SHARES_OVER_OWNED: Final = 20_000


class Share(Struct, frozen=True):
    """A user's share of a red envelope; one per red envelope at most."""

    envelope: int
    amount_fen: int


class OwnedCoupon(Struct, frozen=True, omit_defaults=True):
    """An unexpired code of a coupon; `order` is the order that uses it, empty while the code is unused."""

    coupon: int
    title: str
    terms: CouponTerms
    code: str
    valid_until_ms: int
    order: str = ""


class OwnedHold(Struct, frozen=True, omit_defaults=True):
    """An open hold: units of a flash sale, reserved until `until_ms` for a payment of `due_fen`."""

    hold: int
    sale: int
    quantity: int
    until_ms: int
    due_fen: int
    discount_fen: int = 0
    coupon_code: str = ""


class GrabbedShare(Struct, frozen=True, array_like=True, gc=False):
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


class EntitlementsChunk(Struct, frozen=True, omit_defaults=True):
    """Chunk number `number`, from 0, of the users' entitlements after all events below `seq`; the room's detail follows the last part."""

    room: str
    stream_id: str
    seq: int
    number: int
    envelopes_over: tuple[int, ...] = ()  # in the order in which they ended
    shares: tuple[GrabbedShare, ...] = ()
    coupons: tuple[CouponWorth, ...] = ()
    codes: tuple[ClaimedCoupon, ...] = ()  # each coupon's codes in the order of their claims
    sales_closed: tuple[int, ...] = ()  # sales with open holds
    holds: tuple[HeldUnits, ...] = ()
    bought: tuple[BoughtUnits, ...] = ()
