"""The state of a room's flash sales, their holds and payments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from msgspec import Struct, field

from liveroom.features.coupon.messages import CouponTerms
from liveroom.features.flash_sale.entitlements import BoughtUnits, HeldUnits
from liveroom.features.state import RoomState

__all__ = ["FlashSale", "FlashSalesState", "Hold", "ResolvedHold", "UnpaidHolds", "change", "of", "sale_rows"]


class Hold(Struct, frozen=True, array_like=True, gc=False):
    """Units that wait for payment until `until_ms`; `terms` are those of its coupon, which may expire before the hold."""

    user: str
    quantity: int
    until_ms: int
    due_fen: int
    coupon_code: str = ""
    terms: CouponTerms | None = None


class ResolvedHold(Struct, frozen=True, array_like=True, gc=False):
    """A hold that is over: `how` is confirmed, cancelled or expired."""

    user: str
    how: str
    payment: str = ""
    quantity: int = 0
    returned: int = 0
    paid_fen: int = 0


class UnpaidHolds(Struct, frozen=True, array_like=True, gc=False):
    """One user's unpaid holds of a sale: the times of their making and of the last change, and a pause after an unpaid end."""

    made_ms: tuple[int, ...] = ()
    noted_ms: int = 0
    pause_until_ms: int = 0


class FlashSale(Struct):
    """A sale that is announced or open, or closed with open holds; available + held + sold = stock."""

    product: str
    title: str
    price_fen: int
    stock: int
    per_user_max: int
    opens_ms: int
    closes_ms: int
    hold_ms: int
    phase: str = "announced"  # announced, open or closed
    held: int = 0
    sold: int = 0
    taken: dict[str, int] = field(default_factory=dict)  # user -> units held and sold
    holds: dict[int, Hold] = field(default_factory=dict)  # open ones, by seq
    queue: list[int] = field(default_factory=list)  # seqs of holds as they expire; from `queue_head` on
    queue_head: int = 0  # the first open hold's place in the queue, or its end
    users_per_address_max: int = 0
    unpaid: dict[str, UnpaidHolds] = field(default_factory=dict)  # by user; while stock can be reserved
    unpaid_looked_ms: int = 0  # the last check for users to forget

    @property
    def available(self) -> int:
        """Units that can be reserved."""
        return self.stock - self.held - self.sold


class FlashSalesState(Struct):
    """A room's flash sales, by seq.

    Resolved holds and payments have two generations: the older one is dropped whole when the newer one is full.
    """

    live: dict[int, FlashSale] = field(default_factory=dict)
    over: list[int] = field(default_factory=list)  # seqs of closed ones without open holds
    resolved_holds: dict[int, ResolvedHold] = field(default_factory=dict)
    resolved_holds_before: dict[int, ResolvedHold] = field(default_factory=dict)
    payments: dict[str, int] = field(default_factory=dict)  # payment -> the hold that it paid
    payments_before: dict[str, int] = field(default_factory=dict)


def of(room: RoomState) -> FlashSalesState:
    """The room's part of this feature, or an empty one that is not kept."""
    return room.flash_sale or FlashSalesState()


def change(room: RoomState) -> FlashSalesState:
    """The room's part of this feature, to fold an event into it."""
    part: FlashSalesState | None = room.flash_sale
    if part is None:
        part = room.flash_sale = FlashSalesState()
    return part


def sale_rows(state: RoomState) -> Iterator[tuple[str, Any]]:
    """The holds and bought units of all sales that are not over."""
    for number, sale in of(state).live.items():
        held: Counter[str] = Counter()
        for hold_number, hold in sale.holds.items():
            held[hold.user] += hold.quantity
            discount = sale.price_fen * hold.quantity - hold.due_fen
            yield "holds", HeldUnits(number, hold.user, hold_number, hold.quantity, hold.until_ms, hold.due_fen, discount, hold.coupon_code)
        for user, taken in sale.taken.items():
            if taken > held[user]:
                yield "bought", BoughtUnits(number, user, taken - held[user])
