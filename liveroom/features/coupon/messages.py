"""Coupons: a limited number of reductions, each claim with a code of its own that the platform redeems."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from liveroom.messages.base import ANCHORS, PLATFORM, VIEWERS, CommandBase, EventBase
from liveroom.messages.fields import Delivery, DurationMs, Fen, Seq, Title, UsersPerAddress

__all__ = [
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
    """What a coupon is worth: either a fixed amount or a percentage off, from a minimum spend on."""

    amount_fen: Fen = 0
    percent_off: Annotated[int, Meta(ge=0, le=100)] = 0
    min_spend_fen: Fen = 0
    discount_max_fen: Annotated[int, Meta(ge=0, le=100_000_000_000, description="Most that a percentage may take off; 0 = no bound")] = 0


class IssueCoupon(CommandBase, frozen=True, tag="issue_coupon"):
    """Issue a coupon; it is named by its seq."""

    moves_money = True
    roles = ANCHORS
    results = {"coupon": "its name"}
    title: Title
    terms: CouponTerms
    stock: Annotated[int, Meta(ge=1, le=1_000_000)]
    per_user_max: Annotated[int, Meta(ge=1, le=100)] = 1
    claimable_ms: DurationMs = 600_000
    valid_ms: DurationMs = 86_400_000
    users_per_address_max: UsersPerAddress = 0


class ClaimCoupon(CommandBase, frozen=True, tag="claim_coupon"):
    """Claim one; the answer holds its code."""

    moves_money = True
    roles = VIEWERS
    results = {"coupon": "which one", "code": "the claim's code", "left": "codes left after it"}
    coupon: Seq


class StopCoupon(CommandBase, frozen=True, tag="stop_coupon"):
    """Let nobody claim any more; what was claimed stays valid."""

    moves_money = True
    roles = ANCHORS
    coupon: Seq


class RedeemCoupon(CommandBase, frozen=True, tag="redeem_coupon"):
    """Use a code for an order of `spend_fen`; the answer holds the discount."""

    moves_money = True
    roles = PLATFORM
    results = {"coupon": "which one the code is of", "discount_fen": "what the order gets off"}
    code: CouponCode
    order: OrderId
    spend_fen: Fen


class ReleaseCoupon(CommandBase, frozen=True, tag="release_coupon"):
    """Give a redeemed code back, since its order fell through."""

    moves_money = True
    roles = PLATFORM
    code: CouponCode
    order: OrderId


class CouponIssued(EventBase, frozen=True, tag="coupon_issued"):
    """A coupon can be claimed until `claimable_until_ms` and used until `valid_until_ms`."""

    title: str
    terms: CouponTerms
    stock: int
    per_user_max: int
    claimable_until_ms: int
    valid_until_ms: int
    by: str
    users_per_address_max: int = 0


class CouponClaimed(EventBase, frozen=True, tag="coupon_claimed"):
    """A user has a code; only that user is told."""

    delivery = Delivery.personal
    coupon: int
    user: str
    code: str


class CouponLeft(EventBase, frozen=True, tag="coupon_left"):
    """How many of a coupon are left."""

    delivery = Delivery.latest
    latest_key = "coupon"
    coupon: int
    left: int


class CouponRedeemed(EventBase, frozen=True, tag="coupon_redeemed"):
    """A code was used; only its owner is told."""

    delivery = Delivery.personal
    coupon: int
    user: str
    code: str
    order: str
    discount_fen: int


class CouponReleased(EventBase, frozen=True, tag="coupon_released"):
    """A used code can be used again; only its owner is told."""

    delivery = Delivery.personal
    coupon: int
    user: str
    code: str
    order: str


class CouponStopped(EventBase, frozen=True, tag="coupon_stopped"):
    """Nobody can claim it any more; `by` is empty when its time to be claimed was over."""

    coupon: int
    by: str


class CouponExpired(EventBase, frozen=True, tag="coupon_expired"):
    """Its codes cannot be used any more."""

    coupon: int


class CouponView(Struct, frozen=True, omit_defaults=True):
    """A coupon inside a keyframe that can be claimed."""

    coupon: int
    title: str
    terms: CouponTerms
    stock: int
    left: int
    per_user_max: int
    claimable_until_ms: int
    valid_until_ms: int
    users_per_address_max: int = 0
