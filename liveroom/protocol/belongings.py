"""The entitlements of one user in a room: shares of red envelopes, coupon codes, holds and bought units."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from liveroom.features.coupon.messages import CouponTerms

__all__ = ["BELONGINGS_MAX", "ENVELOPES_OVER_OWNED", "SHARES_OVER_OWNED", "Grant", "OwnedCoupon", "OwnedHold"]

#: Entitlements of each kind in one frame: the newest; older ones are only counted.
BELONGINGS_MAX: Final = 100
#: The last closed red envelopes of a room whose shares are still entitlements.
ENVELOPES_OVER_OWNED: Final = 20
#: Limit for the shares of closed red envelopes, equal to the rules' own. Beyond it the oldest red envelopes are dropped.
SHARES_OVER_OWNED: Final = 20_000


class Grant(Struct, frozen=True):
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
