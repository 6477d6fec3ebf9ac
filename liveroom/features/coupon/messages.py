"""Coupons: a limited number of discounts. Each claim gets its own code, which the platform redeems."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from liveroom.messages.base import ANCHORS, PLATFORM, VIEWERS, CommandBase, EventBase
from liveroom.messages.errors import Refusals
from liveroom.messages.fields import Delivery, DurationMs, Fen, Seq, Title, UsersPerAddress

__all__ = [
    "REFUSALS",
    "ClaimCoupon",
    "CouponClaimed",
    "CouponCode",
    "CouponExpired",
    "CouponIssued",
    "CouponLeft",
    "CouponRedeemed",
    "CouponReleased",
    "CouponStopped",
    "CouponTerms",
    "CouponView",
    "IssueCoupon",
    "OrderId",
    "RedeemCoupon",
    "ReleaseCoupon",
    "StopCoupon",
]

CouponCode = Annotated[str, Meta(min_length=16, max_length=16, pattern=r"^[A-Z2-7]{16}$(?!\n)", description="Code of one claim")]
OrderId = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$(?!\n)", description="The platform's order or payment id")]


class CouponTerms(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """The value of a coupon: either a fixed amount or a percentage off, with a minimum spend."""

    amount_fen: Fen = 0
    percent_off: Annotated[int, Meta(ge=0, le=100)] = 0
    min_spend_fen: Fen = 0
    discount_max_fen: Annotated[int, Meta(ge=0, le=100_000_000_000, description="Largest discount that a percentage may give; 0 = no limit")] = 0


class IssueCoupon(CommandBase, frozen=True, tag="issue_coupon"):
    """Issue a coupon; its id is the seq of its event."""

    moves_money = True
    roles = ANCHORS
    results = {"coupon": "the id of the coupon"}
    title: Title
    terms: CouponTerms
    stock: Annotated[int, Meta(ge=1, le=1_000_000)]
    per_user_max: Annotated[int, Meta(ge=1, le=100)] = 1
    claimable_ms: DurationMs = 600_000
    valid_ms: DurationMs = 86_400_000
    users_per_address_max: UsersPerAddress = 0


class ClaimCoupon(CommandBase, frozen=True, tag="claim_coupon"):
    """Claim one code of a coupon; the reply holds the code."""

    moves_money = True
    roles = VIEWERS
    results = {"coupon": "the id of the coupon", "code": "the code of this claim", "left": "codes left after this claim"}
    coupon: Seq


class StopCoupon(CommandBase, frozen=True, tag="stop_coupon"):
    """Stop a coupon: no further claims are accepted, and claimed codes stay valid."""

    moves_money = True
    roles = ANCHORS
    coupon: Seq


class RedeemCoupon(CommandBase, frozen=True, tag="redeem_coupon"):
    """Use a code for an order of `spend_fen`; the reply holds the discount."""

    moves_money = True
    roles = PLATFORM
    results = {"coupon": "the id of the coupon", "discount_fen": "the discount on the order"}
    code: CouponCode
    order: OrderId
    spend_fen: Fen


class ReleaseCoupon(CommandBase, frozen=True, tag="release_coupon"):
    """Make a redeemed code usable again, because its order was cancelled."""

    moves_money = True
    roles = PLATFORM
    code: CouponCode
    order: OrderId


class CouponIssued(EventBase, frozen=True, tag="coupon_issued"):
    """A coupon was issued: it can be claimed until `claimable_until_ms` and used until `valid_until_ms`."""

    title: str
    terms: CouponTerms
    stock: int
    per_user_max: int
    claimable_until_ms: int
    valid_until_ms: int
    by: str
    users_per_address_max: int = 0


class CouponClaimed(EventBase, frozen=True, tag="coupon_claimed"):
    """A user claimed a code; only that user receives this event."""

    delivery = Delivery.personal
    coupon: int
    user: str
    code: str


class CouponLeft(EventBase, frozen=True, tag="coupon_left"):
    """The number of codes left of a coupon changed."""

    delivery = Delivery.latest
    latest_key = "coupon"
    coupon: int
    left: int


class CouponRedeemed(EventBase, frozen=True, tag="coupon_redeemed"):
    """A code was used for an order; only its owner receives this event."""

    delivery = Delivery.personal
    coupon: int
    user: str
    code: str
    order: str
    discount_fen: int


class CouponReleased(EventBase, frozen=True, tag="coupon_released"):
    """A used code became usable again; only its owner receives this event."""

    delivery = Delivery.personal
    coupon: int
    user: str
    code: str
    order: str


class CouponStopped(EventBase, frozen=True, tag="coupon_stopped"):
    """A coupon can no longer be claimed; `by` is empty if its claim period ended."""

    coupon: int
    by: str


class CouponExpired(EventBase, frozen=True, tag="coupon_expired"):
    """A coupon expired: its codes can no longer be used."""

    coupon: int


class CouponView(Struct, frozen=True, omit_defaults=True):
    """A claimable coupon inside a keyframe."""

    coupon: int
    title: str
    terms: CouponTerms
    stock: int
    left: int
    per_user_max: int
    claimable_until_ms: int
    valid_until_ms: int
    users_per_address_max: int = 0


#: Refusal code -> (HTTP status of the console's response, meaning).
REFUSALS: Final[Refusals] = {
    "coupon_not_found": (404, "there is no such coupon or code"),
    "coupon_stopped": (409, "the coupon can no longer be claimed"),
    "coupon_gone": (409, "all codes of the coupon are claimed"),
    "coupon_expired": (409, "the coupon has expired"),
    "coupon_used": (409, "another order uses the code"),
    "coupon_not_used": (409, "this order does not use the code"),
    "spend_too_small": (409, "the order is below the coupon's minimum spend"),
    "no_discount": (409, "the coupon gives no discount on this order and stays unused"),
}
