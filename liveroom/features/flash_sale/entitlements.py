"""Holds and bought units of flash sales, as their users own them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from operator import attrgetter
from typing import Any

from msgspec import Struct

from liveroom.features.entitlements import EntitlementFold
from liveroom.features.flash_sale.messages import FlashSaleClosed, HoldCancelled, HoldConfirmed, HoldExpired, StockChanged, StockReserved

__all__ = ["BoughtUnits", "FlashSaleEntitlements", "HeldUnits", "OwnedHold"]


class OwnedHold(Struct, frozen=True, omit_defaults=True):
    """An open hold: units of a flash sale, reserved until `until_ms` for a payment of `due_fen`."""

    hold: int
    sale: int
    quantity: int
    until_ms: int
    due_fen: int
    discount_fen: int = 0
    coupon_code: str = ""


class OwnedUnits(Struct):
    """One user's units."""

    holds: tuple[OwnedHold, ...] = ()  # open holds
    bought: dict[int, int] = {}  # sale -> paid units, for sales that are not over


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


class SaleRows(Struct):
    """All users' holds and bought units."""

    holds: tuple[HeldUnits, ...] = ()
    bought: tuple[BoughtUnits, ...] = ()


class _Sale:
    """The open holds and the bought units of a flash sale, by user."""

    __slots__ = ("bought", "holds")

    def __init__(self) -> None:
        self.holds: dict[str, tuple[OwnedHold, ...]] = {}
        self.bought: dict[str, int] = {}


class FlashSaleEntitlements(EntitlementFold):
    """The units by sale, until it is over: closed, and without open holds. The rules bound sales, holds and units."""

    __slots__ = ("_sales",)
    rows = SaleRows
    owned = OwnedUnits

    def __init__(self, owners: set[str]) -> None:
        super().__init__(owners)
        self._sales: dict[int, _Sale] = {}

    def load(self, rows: SaleRows) -> None:
        for held in rows.holds:
            hold = OwnedHold(held.hold, held.sale, held.quantity, held.until_ms, held.due_fen, held.discount_fen, held.coupon_code)
            self._hold(held.user, hold)
        for one in rows.bought:
            self._sale(one.sale).bought[one.user] = one.units
            self._owners.add(one.user)

    def adopt(self, user: str, owned: OwnedUnits) -> None:
        for hold in owned.holds:
            self._hold(user, hold)
        for sale, units in owned.bought.items():
            self._sale(sale).bought[user] = units

    def owned_by(self, user: str) -> dict[str, list[Any] | dict[Any, Any]]:
        holds = [hold for sale in self._sales.values() if user in sale.holds for hold in sale.holds[user]]
        holds.sort(key=_number)
        bought = [(number, sale.bought[user]) for number, sale in self._sales.items() if user in sale.bought]
        bought.sort()
        return {"holds": holds, "bought": dict(bought)}

    def users(self) -> Iterator[Collection[str]]:
        for sale in self._sales.values():
            yield sale.holds
            yield sale.bought

    def _sale(self, number: int) -> _Sale:
        sale = self._sales.get(number)
        if sale is None:
            sale = self._sales[number] = _Sale()
        return sale

    def _hold(self, user: str, hold: OwnedHold) -> None:
        holds = self._sale(hold.sale).holds
        holds[user] = (*holds.get(user, ()), hold)
        self._owners.add(user)

    def _reserved(self, seq: int, event: StockReserved) -> None:
        self._hold(event.user, OwnedHold(seq, event.sale, event.quantity, event.until_ms, event.due_fen, event.discount_fen, event.coupon_code))

    def _confirmed(self, seq: int, event: HoldConfirmed) -> int:
        bought = self._sale(event.sale).bought
        bought[event.user] = bought.get(event.user, 0) + event.quantity
        self._owners.add(event.user)
        return self._resolved(seq, event)

    def _resolved(self, seq: int, event: HoldConfirmed | HoldCancelled | HoldExpired) -> int:
        sale = self._sales.get(event.sale)
        if sale is None or event.user not in sale.holds:  # a client's frame has omitted the hold
            return 0
        left = tuple(hold for hold in sale.holds[event.user] if hold.hold != event.hold)
        if left:
            sale.holds[event.user] = left
            return 0
        del sale.holds[event.user]
        return 1

    def _closed(self, seq: int, event: FlashSaleClosed) -> int:
        return 0 if event.held else self._over(event.sale)

    def _stock(self, seq: int, event: StockChanged) -> int:
        return self._over(event.sale) if event.closed and not event.held else 0

    def _over(self, number: int) -> int:
        sale = self._sales.pop(number, None)
        return 0 if sale is None else len(sale.bought)

    changes = {
        StockReserved: _reserved,
        HoldConfirmed: _confirmed,
        HoldCancelled: _resolved,
        HoldExpired: _resolved,
        FlashSaleClosed: _closed,
        StockChanged: _stock,
    }


_number = attrgetter("hold")
