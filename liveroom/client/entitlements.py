"""The user's entitlements: an `entitlements` frame, kept up to date by the events after it.

The fold is pure and gives the frame that the server would send. Events below the frame's seq are in the frame already.
A personal event may come before the delta whose span holds it. A public event between the two does not change its fields,
so their order makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from msgspec.structs import replace

from liveroom.client.items import PersonalEvent, RoomEvent
from liveroom.features.coupon.messages import CouponClaimed, CouponExpired, CouponRedeemed, CouponReleased
from liveroom.features.flash_sale.messages import HoldCancelled, HoldConfirmed, HoldExpired, SaleView, StockReserved
from liveroom.features.red_envelope.messages import RedEnvelopeGrabbed
from liveroom.protocol.entitlements import ENTITLEMENTS_MAX, OwnedHold, Share
from liveroom.protocol.frames import Entitlements

__all__ = ["fold_entitlements", "sales_over"]


def fold_entitlements(entitlements: Entitlements, item: RoomEvent | PersonalEvent, user: str, over: Collection[int] = ()) -> Entitlements:
    """The entitlements of `user` after one event; `over` are the sales that ended with it."""
    if item.seq < entitlements.seq:
        return entitlements
    change = _CHANGES.get(type(item.event))
    if change is not None and getattr(item.event, "user", user) == user:
        entitlements = replace(entitlements, **change(entitlements, item, item.event))
    if entitlements.bought.keys() & set(over):
        entitlements = replace(entitlements, bought={sale: units for sale, units in entitlements.bought.items() if sale not in over})
    return entitlements


def sales_over(before: tuple[SaleView, ...], after: tuple[SaleView, ...]) -> set[int]:
    """The sales that the state no longer shows."""
    return set() if before is after else {view.sale for view in before} - {view.sale for view in after}


Changes = dict[str, Any]


def _grabbed(entitlements: Entitlements, item: RoomEvent, event: RedEnvelopeGrabbed) -> Changes:
    # A share outlives its envelope. The server sends shares of the last envelopes; here the newest are kept.
    return {"shares": (*entitlements.shares, Share(event.envelope, event.amount_fen))[-ENTITLEMENTS_MAX:]}


def _claimed(entitlements: Entitlements, item: PersonalEvent, event: CouponClaimed) -> Changes:
    return {"coupons": (*entitlements.coupons, item.coupon)} if item.coupon else {}


def _used(entitlements: Entitlements, code: str, order: str) -> Changes:
    return {"coupons": tuple(replace(coupon, order=order) if coupon.code == code else coupon for coupon in entitlements.coupons)}


def _expired(entitlements: Entitlements, item: RoomEvent, event: CouponExpired) -> Changes:
    return {"coupons": tuple(coupon for coupon in entitlements.coupons if coupon.coupon != event.coupon)}


def _reserved(entitlements: Entitlements, item: PersonalEvent, event: StockReserved) -> Changes:
    hold = OwnedHold(item.seq, event.sale, event.quantity, event.until_ms, event.due_fen, event.discount_fen, event.coupon_code)
    return {"holds": (*entitlements.holds, hold)}


def _without(entitlements: Entitlements, hold: int) -> Changes:
    return {"holds": tuple(held for held in entitlements.holds if held.hold != hold)}


def _confirmed(entitlements: Entitlements, item: PersonalEvent, event: HoldConfirmed) -> Changes:
    units = entitlements.bought.get(event.sale, 0) + event.quantity
    return {**_without(entitlements, event.hold), "bought": {**entitlements.bought, event.sale: units}}


_CHANGES: dict[type, Callable[[Entitlements, Any, Any], Changes]] = {
    RedEnvelopeGrabbed: _grabbed,
    CouponClaimed: _claimed,
    CouponRedeemed: lambda entitlements, item, event: _used(entitlements, event.code, event.order),
    CouponReleased: lambda entitlements, item, event: _used(entitlements, event.code, ""),
    CouponExpired: _expired,
    StockReserved: _reserved,
    HoldConfirmed: _confirmed,
    HoldCancelled: lambda entitlements, item, event: _without(entitlements, event.hold),
    HoldExpired: lambda entitlements, item, event: _without(entitlements, event.hold),
}
