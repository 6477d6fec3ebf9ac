"""The state of a room's coupons and their codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct, field

from liveroom.features.coupon.entitlements import ClaimedCoupon, CouponWorth
from liveroom.features.coupon.messages import CouponTerms
from liveroom.features.state import RoomState

__all__ = ["ClaimedCode", "CodeUse", "Coupon", "CouponsState", "change", "coupon_rows", "of"]


class ClaimedCode(Struct, frozen=True, array_like=True, gc=False):
    """One claim of a coupon: its user, and the order that uses it ("" = none)."""

    user: str
    order: str = ""
    discount_fen: int = 0


class CodeUse(Struct, frozen=True, array_like=True, gc=False):
    """The use of a code by an order, now or when the code expired."""

    coupon: int
    order: str
    discount_fen: int


class Coupon(Struct):
    """A coupon that has not expired."""

    title: str
    terms: CouponTerms
    stock: int
    per_user_max: int
    claimable_until_ms: int
    valid_until_ms: int
    stopped: bool = False
    codes: dict[str, ClaimedCode] = field(default_factory=dict)
    claimed: dict[str, int] = field(default_factory=dict)  # user -> codes
    users_per_address_max: int = 0

    @property
    def left(self) -> int:
        """Number of codes that can still be claimed."""
        return self.stock - len(self.codes)


class CouponsState(Struct):
    """A room's coupons, by seq."""

    live: dict[int, Coupon] = field(default_factory=dict)
    over: list[int] = field(default_factory=list)  # seqs of expired ones
    expired_codes: dict[str, CodeUse | None] = field(default_factory=dict)  # the last ones, oldest first
    held_codes: dict[str, None] = field(default_factory=dict)  # codes of open holds; only the hold gives them back


def of(room: RoomState) -> CouponsState:
    """The room's part of this feature, or an empty one that is not kept."""
    return room.coupon or CouponsState()


def change(room: RoomState) -> CouponsState:
    """The room's part of this feature, to fold an event into it."""
    part: CouponsState | None = room.coupon
    if part is None:
        part = room.coupon = CouponsState()
    return part


def coupon_rows(state: RoomState) -> Iterator[tuple[str, Any]]:
    """The unexpired coupons, each followed by its codes."""
    for number, coupon in of(state).live.items():
        yield "coupons", CouponWorth(number, coupon.title, coupon.terms, coupon.valid_until_ms)
        for code, claim in coupon.codes.items():
            yield "codes", ClaimedCoupon(number, claim.user, code, claim.order)
