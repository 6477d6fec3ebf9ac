"""What one user owns in a room: shares of red envelopes, coupon codes, holds, units that were bought."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from liveroom.features.coupon.messages import CouponTerms

__all__ = ["BELONGINGS_MAX", "ENVELOPES_OVER_OWNED", "SHARES_OVER_OWNED", "Grant", "OwnedCoupon", "OwnedHold"]

#: Things of each kind that one frame names: the newest; the others are counted.
BELONGINGS_MAX: Final = 100
#: Last red envelopes of a room that are over and whose shares still count as owned here.
ENVELOPES_OVER_OWNED: Final = 20
#: Shares of those, all together: those of the oldest envelopes count no more beyond it. As many as the rules remember.
SHARES_OVER_OWNED: Final = 20_000


class Grant(Struct, frozen=True):
    """A share of a red envelope; a user has one of each at most."""

    envelope: int
    amount_fen: int


class OwnedCoupon(Struct, frozen=True, omit_defaults=True):
    """A coupon's code that has not expired; `order` is the order that uses it, empty while it can be used."""

    coupon: int
    title: str
    terms: CouponTerms
    code: str
    valid_until_ms: int
    order: str = ""


class OwnedHold(Struct, frozen=True, omit_defaults=True):
    """Stock of a flash sale that waits until `until_ms` for `due_fen` to be paid."""

    hold: int
    sale: int
    quantity: int
    until_ms: int
    due_fen: int
    discount_fen: int = 0
    coupon_code: str = ""
