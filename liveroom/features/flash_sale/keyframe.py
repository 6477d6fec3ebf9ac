"""Flash sales in a room's keyframe."""

from __future__ import annotations

from typing import Final

from liveroom.features.flash_sale.messages import SaleView
from liveroom.features.flash_sale.state import FlashSale, of
from liveroom.features.ruleset import Fill
from liveroom.features.state import RoomState
from liveroom.messages.settings import RoomSettings

__all__ = ["FILLS", "SALES_SHOWN"]

#: Flash sales in a keyframe: the newest ones that are not closed, then the newest closed ones.
SALES_SHOWN: Final = 10


def _by_importance(state: RoomState, rules: RoomSettings) -> list[SaleView]:
    """Sales that are not closed, newest first, then the closed ones, newest first."""
    sales = of(state).live
    newest = [(seq, sales[seq]) for seq in reversed(sales)]
    newest.sort(key=lambda numbered: numbered[1].phase == "closed")
    return [_view(seq, sale) for seq, sale in newest[:SALES_SHOWN]]


def _view(seq: int, sale: FlashSale) -> SaleView:
    return SaleView(
        sale=seq,
        product=sale.product,
        title=sale.title,
        price_fen=sale.price_fen,
        stock=sale.stock,
        available=sale.available,
        held=sale.held,
        sold=sale.sold,
        per_user_max=sale.per_user_max,
        opens_ms=sale.opens_ms,
        closes_ms=sale.closes_ms,
        hold_ms=sale.hold_ms,
        state=sale.phase,
        users_per_address_max=sale.users_per_address_max,
    )


FILLS = (Fill(field="sales", items=_by_importance, key=lambda view: view.sale, rank=1, must=True),)
