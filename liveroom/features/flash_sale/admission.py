"""Reservations of a flash sale's stock in gateways' queues: the units of unpaid holds return."""

from __future__ import annotations

from liveroom.features.feature import Admission, StockChange
from liveroom.features.flash_sale.messages import FlashSaleAnnounced, FlashSaleClosed, ReserveStock, SaleView, StockChanged, StockReserved

__all__ = ["RESERVE"]


def _announced(seq: int, event: FlashSaleAnnounced) -> StockChange:
    limited = event.users_per_address_max > 0
    return StockChange(seq, (event.stock, 0), is_new=True, units_max=event.per_user_max, counts_addresses=limited)


def _reserved(seq: int, event: StockReserved) -> StockChange:
    return StockChange(event.sale, winner=event.user)


def _changed(seq: int, event: StockChanged) -> StockChange:
    return StockChange(event.sale, (event.available, event.held))


def _closed(seq: int, event: FlashSaleClosed) -> StockChange:
    return StockChange(event.sale, end_code="sale_closed")


def _view(view: SaleView) -> StockChange:
    return StockChange(
        view.sale,
        (view.available, view.held),
        end_code="sale_closed" if view.state == "closed" else "",
        total=view.stock,
        units_max=view.per_user_max,
        counts_addresses=view.users_per_address_max > 0,
    )


RESERVE = Admission(
    command=ReserveStock,
    claim=lambda command: (command.sale, command.quantity),
    empty_code="sold_out",
    changes={FlashSaleAnnounced: _announced, StockReserved: _reserved, StockChanged: _changed, FlashSaleClosed: _closed},
    views="sales",
    view=_view,
    returns=True,
)
