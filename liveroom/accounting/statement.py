"""A room's ledger in numbers: an account for each item that holds money, the totals, and the statement."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["CouponAccount", "EnvelopeAccount", "SaleAccount", "Statement", "Totals"]


class EnvelopeAccount(Struct):
    """A red envelope: granted + remaining + refunded = total. `state`: announced, open, or why it is over."""

    envelope: int
    title: str
    state: str
    shares: int
    shares_granted: int
    total_fen: int
    granted_fen: int
    remaining_fen: int
    refunded_fen: int


class CouponAccount(Struct):
    """A coupon; `redeemed` codes are in use by an order, with `discount_fen` off. `state`: claimable, stopped or expired."""

    coupon: int
    title: str
    state: str
    stock: int
    claimed: int
    redeemed: int
    discount_fen: int


class SaleAccount(Struct):
    """A flash sale: available + held + sold = stock; `gross_fen` was paid, after `discount_fen`. `state`: announced, open or closed."""

    sale: int
    product: str
    title: str
    state: str
    price_fen: int
    stock: int
    available: int
    held: int
    sold: int
    gross_fen: int
    discount_fen: int


class Totals(Struct, frozen=True):
    """Sums over everything that a room ever had."""

    envelopes: int
    total_fen: int
    granted_fen: int
    remaining_fen: int
    refunded_fen: int
    coupons: int
    claimed: int
    redeemed: int
    discount_fen: int
    sales: int
    stock: int
    available: int
    held: int
    sold: int
    gross_fen: int


class Statement(Struct, frozen=True):
    """A room's accounts after its money events up to `seq` (-1 for none). `omitted` older accounts appear in the totals only."""

    room: str
    seq: int
    time_ms: int
    totals: Totals
    envelopes: tuple[EnvelopeAccount, ...]
    coupons: tuple[CouponAccount, ...]
    sales: tuple[SaleAccount, ...]
    omitted: int
