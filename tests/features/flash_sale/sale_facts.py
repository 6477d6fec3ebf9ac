"""The memory of the plain model of sales and coupons: one fact for each thing that happened."""

from __future__ import annotations

from dataclasses import dataclass, field

from liveroom.features.coupon import messages as cp
from liveroom.features.coupon.messages import CouponTerms
from liveroom.features.flash_sale import messages as fs
from liveroom.protocol.frames import Result


@dataclass
class SaleFacts:
    command: fs.AnnounceFlashSale
    opens_ms: int
    stock: int
    closed: bool = False

    @property
    def closes_ms(self) -> int:
        return self.opens_ms + self.command.open_for_ms


@dataclass
class HoldFacts:
    sale: int
    user: str
    quantity: int
    until_ms: int
    code: str
    terms: CouponTerms | None
    made_ms: int
    address_hash: str = ""
    ended_ms: int = 0
    how: str = ""  # "" = open
    sold: int = 0
    payment: str = ""
    receipt: Result = field(default_factory=dict)


@dataclass
class CouponFacts:
    command: cp.IssueCoupon
    issued_ms: int
    stopped: bool = False
    expired: bool = False


@dataclass
class CodeFacts:
    coupon: int
    user: str
    address_hash: str
    order: str = ""
    result: Result = field(default_factory=dict)


def cents_off(terms: CouponTerms, spend_fen: int) -> int:
    """The discount, counted down from the whole spend until it is allowed."""
    if spend_fen < terms.min_spend_fen:
        return 0
    if terms.amount_fen:
        return min(spend_fen, terms.amount_fen)
    off = max(fen for fen in range(spend_fen + 1) if fen * 100 <= spend_fen * terms.percent_off)
    return min(off, terms.discount_max_fen or off)
