"""The flash sales that viewers see: those of a keyframe, kept current by the events after it."""

from __future__ import annotations

from liveroom.features.feature import View
from liveroom.features.flash_sale.messages import FlashSaleAnnounced, FlashSaleClosed, FlashSaleOpened, FlashSaleRestocked, SaleView, StockChanged
from liveroom.features.views import OFFERS_KEPT, replace_if

__all__ = ["VIEWS", "fold_sales"]


def fold_sales(sales: tuple[SaleView, ...], event: object, seq: int, time_ms: int) -> tuple[SaleView, ...]:
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
            return (*sales, view)
        case FlashSaleOpened():
            return tuple(replace_if(view.sale == event.sale, view, state="open") for view in sales)
        case FlashSaleRestocked():
            return tuple(replace_if(view.sale == event.sale, view, stock=event.stock) for view in sales)
        case StockChanged():
            stock = {"available": event.available, "held": event.held, "sold": event.sold}
            sales = tuple(replace_if(view.sale == event.sale, view, **stock) for view in sales)
            return tuple(view for view in sales if view.state != "closed" or view.held)
        case FlashSaleClosed():
            if event.held:  # the number is the event's own: the stock's event may have been left out for a later one
                return tuple(replace_if(view.sale == event.sale, view, state="closed", held=event.held) for view in sales)
            return tuple(view for view in sales if view.sale != event.sale)
    return sales


VIEWS = (
    View(
        "sales",
        tuple[SaleView, ...],
        (),
        (FlashSaleAnnounced, FlashSaleOpened, FlashSaleRestocked, StockChanged, FlashSaleClosed),
        fold_sales,
        kept=OFFERS_KEPT,
    ),
)
