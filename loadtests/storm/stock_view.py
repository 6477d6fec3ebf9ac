"""The stock of a flash sale as the room's viewers see it."""

from __future__ import annotations

import asyncio

import msgspec
from msgspec import Struct

from liveroom.features.flash_sale.messages import SaleView
from loadtests.crowd.frame_audit import Event

__all__ = ["StockView"]


class _Stock(Struct):
    sale: int
    available: int
    sold: int


class _Views(Struct):
    seq: int
    sales: tuple[SaleView, ...] = ()


_stock = msgspec.json.Decoder(_Stock)
_views = msgspec.json.Decoder(_Views)


class StockView:
    """The public stock of the sale that `follow` names; `over` when all `units` are sold."""

    def __init__(self, units: int) -> None:
        self._units = units
        self._sale = -1
        self._seq = -1
        self._changed = asyncio.Event()
        self.available = 0
        self.over = False

    def follow(self, sale: int) -> None:
        """Look at this sale, which is untouched."""
        if self._sale != sale:
            self._sale = sale
            self.available = self._units

    async def back(self) -> None:
        """Wait until something is available, or all is sold."""
        while not self.available and not self.over:
            changed = self._changed
            await changed.wait()

    def observe(self, event: Event, raw: msgspec.Raw) -> None:
        """Take an event of the room; what is older than the newest is known."""
        if event.type == "stock_changed" and event.seq > self._seq:
            stock = _stock.decode(raw)
            if stock.sale == self._sale:
                self._stand(event.seq, stock.available, stock.sold)

    def view(self, keyframe: bytes) -> None:
        """Take a keyframe."""
        views = _views.decode(keyframe)
        for sale in views.sales:
            if sale.sale == self._sale and views.seq - 1 > self._seq:
                self._stand(views.seq - 1, sale.available, sale.sold)

    def _stand(self, seq: int, available: int, sold: int) -> None:
        self._seq, self.available = seq, available
        self.over = sold >= self._units
        self._changed.set()
        self._changed = asyncio.Event()
