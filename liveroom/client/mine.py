"""The user's entitlements: a `belongings` frame, kept up to date by the events after it.

The fold is pure and gives the frame that the server would send. Events below the frame's seq are in the frame already.
A personal event may come before the delta whose span holds it. A public event between the two does not change its fields,
so their order makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from msgspec.structs import replace

from liveroom.client.items import PersonalEvent, RoomEvent
from liveroom.protocol import events as e
from liveroom.protocol.belongings import BELONGINGS_MAX, Grant, OwnedHold
from liveroom.protocol.frames import Belongings, SaleView

__all__ = ["fold_mine", "sales_over"]


def fold_mine(mine: Belongings, item: RoomEvent | PersonalEvent, user: str, over: Collection[int] = ()) -> Belongings:
    """The entitlements of `user` after one event; `over` are the sales that ended with it."""
    if item.seq < mine.seq:
        return mine
    change = _CHANGES.get(type(item.event))
    if change is not None and getattr(item.event, "user", user) == user:
        mine = replace(mine, **change(mine, item, item.event))
    if mine.bought.keys() & set(over):
        mine = replace(mine, bought={sale: units for sale, units in mine.bought.items() if sale not in over})
    return mine


def sales_over(before: tuple[SaleView, ...], after: tuple[SaleView, ...]) -> set[int]:
    """The sales that are shown no more."""
    return set() if before is after else {view.sale for view in before} - {view.sale for view in after}


Changes = dict[str, Any]


def _grabbed(mine: Belongings, item: RoomEvent, event: e.RedEnvelopeGrabbed) -> Changes:
    # That an envelope is over ends no grant; the server names those of the last ones, here the newest are kept.
    return {"grants": (*mine.grants, Grant(event.envelope, event.amount_fen))[-BELONGINGS_MAX:]}


def _claimed(mine: Belongings, item: PersonalEvent, event: e.CouponClaimed) -> Changes:
    return {"coupons": (*mine.coupons, item.coupon)} if item.coupon else {}


def _used(mine: Belongings, code: str, order: str) -> Changes:
    return {"coupons": tuple(replace(coupon, order=order) if coupon.code == code else coupon for coupon in mine.coupons)}


def _expired(mine: Belongings, item: RoomEvent, event: e.CouponExpired) -> Changes:
    return {"coupons": tuple(coupon for coupon in mine.coupons if coupon.coupon != event.coupon)}


def _reserved(mine: Belongings, item: PersonalEvent, event: e.StockReserved) -> Changes:
    hold = OwnedHold(item.seq, event.sale, event.quantity, event.until_ms, event.due_fen, event.discount_fen, event.coupon_code)
    return {"holds": (*mine.holds, hold)}


def _without(mine: Belongings, hold: int) -> Changes:
    return {"holds": tuple(held for held in mine.holds if held.hold != hold)}


def _confirmed(mine: Belongings, item: PersonalEvent, event: e.HoldConfirmed) -> Changes:
    units = mine.bought.get(event.sale, 0) + event.quantity
    return {**_without(mine, event.hold), "bought": {**mine.bought, event.sale: units}}


_CHANGES: dict[type, Callable[[Belongings, Any, Any], Changes]] = {
    e.RedEnvelopeGrabbed: _grabbed,
    e.CouponClaimed: _claimed,
    e.CouponRedeemed: lambda mine, item, event: _used(mine, event.code, event.order),
    e.CouponReleased: lambda mine, item, event: _used(mine, event.code, ""),
    e.CouponExpired: _expired,
    e.StockReserved: _reserved,
    e.HoldConfirmed: _confirmed,
    e.HoldCancelled: lambda mine, item, event: _without(mine, event.hold),
    e.HoldExpired: lambda mine, item, event: _without(mine, event.hold),
}
