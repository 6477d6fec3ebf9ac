"""What a room has on offer, as viewers see it: red envelopes, coupons and flash sales of a keyframe, kept right by the events after it.

Each function gives the views as after one event at `seq`; an event that is not about them, or about one that is not shown, changes nothing.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from liveroom.features.coupon.messages import CouponExpired, CouponIssued, CouponLeft, CouponStopped
from liveroom.features.flash_sale.messages import FlashSaleAnnounced, FlashSaleClosed, FlashSaleOpened, FlashSaleRestocked, StockChanged
from liveroom.protocol.frames import CouponView, EnvelopeView, SaleView
from liveroom.features.red_envelope.messages import RedEnvelopeClosed, RedEnvelopeDropped, RedEnvelopeGrabbed, RedEnvelopeOpened

__all__ = ["OFFERS_KEPT", "fold_coupons", "fold_envelopes", "fold_sales"]

#: Newest views of a kind that are kept; a keyframe may hold fewer.
OFFERS_KEPT: Final = 50


def fold_envelopes(envelopes: tuple[EnvelopeView, ...], event: object, seq: int) -> tuple[EnvelopeView, ...]:
    """Red envelopes that are announced or open."""
    match event:
        case RedEnvelopeDropped():
            view = EnvelopeView(
                envelope=seq,
                title=event.title,
                total_fen=event.total_fen,
                parts=event.parts,
                parts_left=event.parts,
                left_fen=event.total_fen,
                split=event.split,
                opens_ms=event.opens_ms,
                closes_ms=event.closes_ms,
                commitment=event.commitment,
                condition=event.condition,
                users_per_address_max=event.users_per_address_max,
            )
            return (*envelopes, view)[-OFFERS_KEPT:]
        case RedEnvelopeOpened():
            return tuple(_if(view.envelope == event.envelope, view, open=True) for view in envelopes)
        case RedEnvelopeGrabbed():
            left = {"parts_left": event.parts_left, "left_fen": event.left_fen}
            return tuple(_if(view.envelope == event.envelope, view, **left) for view in envelopes)
        case RedEnvelopeClosed():
            return tuple(view for view in envelopes if view.envelope != event.envelope)
    return envelopes


def fold_coupons(coupons: tuple[CouponView, ...], event: object, seq: int) -> tuple[CouponView, ...]:
    """Coupons that can be claimed."""
    match event:
        case CouponIssued():
            view = CouponView(
                coupon=seq,
                title=event.title,
                terms=event.terms,
                stock=event.stock,
                left=event.stock,
                per_user_max=event.per_user_max,
                claimable_until_ms=event.claimable_until_ms,
                valid_until_ms=event.valid_until_ms,
                users_per_address_max=event.users_per_address_max,
            )
            return (*coupons, view)[-OFFERS_KEPT:]
        case CouponLeft():
            return tuple(_if(view.coupon == event.coupon, view, left=event.left) for view in coupons)
        case CouponStopped() | CouponExpired():
            return tuple(view for view in coupons if view.coupon != event.coupon)
    return coupons


def fold_sales(sales: tuple[SaleView, ...], event: object, seq: int) -> tuple[SaleView, ...]:
    """Flash sales that are announced or open, or closed with holds that are not resolved."""
    match event:
        case FlashSaleAnnounced():
            view = SaleView(
                sale=seq,
                product=event.product,
                title=event.title,
                price_fen=event.price_fen,
                stock=event.stock,
                available=event.stock,
                held=0,
                sold=0,
                per_user_max=event.per_user_max,
                opens_ms=event.opens_ms,
                closes_ms=event.closes_ms,
                hold_ms=event.hold_ms,
                state="announced",
                users_per_address_max=event.users_per_address_max,
            )
            return (*sales, view)[-OFFERS_KEPT:]
        case FlashSaleOpened():
            return tuple(_if(view.sale == event.sale, view, state="open") for view in sales)
        case FlashSaleRestocked():
            return tuple(_if(view.sale == event.sale, view, stock=event.stock) for view in sales)
        case StockChanged():
            stock = {"available": event.available, "held": event.held, "sold": event.sold}
            sales = tuple(_if(view.sale == event.sale, view, **stock) for view in sales)
            return tuple(view for view in sales if view.state != "closed" or view.held)
        case FlashSaleClosed():
            if event.held:  # as the event says: the stock's own event may have been left out for a later one
                return tuple(_if(view.sale == event.sale, view, state="closed", held=event.held) for view in sales)
            return tuple(view for view in sales if view.sale != event.sale)
    return sales


def _if(it_is: bool, view: Any, **changed: Any) -> Any:
    return replace(view, **changed) if it_is else view
