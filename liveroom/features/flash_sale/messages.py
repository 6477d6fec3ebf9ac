"""Flash sales: limited stock at a price, reserved by holds that are paid, cancelled or expire."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from liveroom.features.coupon.messages import OrderId
from liveroom.messages.base import ANCHORS, PLATFORM, CommandBase, EventBase
from liveroom.messages.fields import Delivery, Fen, ProductId, Role, Seq, UsersPerAddress

__all__ = [
    "AnnounceFlashSale",
    "CancelHold",
    "CloseFlashSale",
    "ConfirmHold",
    "FlashSaleAnnounced",
    "FlashSaleClosed",
    "FlashSaleOpened",
    "FlashSaleRestocked",
    "HoldCancelled",
    "HoldConfirmed",
    "HoldExpired",
    "ReserveStock",
    "RestockFlashSale",
    "SaleView",
    "StockChanged",
    "StockReserved",
]

Quantity = Annotated[int, Meta(ge=1, le=10_000)]


class AnnounceFlashSale(CommandBase, frozen=True, tag="announce_flash_sale"):
    """Announce a sale of a showcase product; it opens `opens_in_ms` later for everybody at once and is named by its seq."""

    moves_money = True
    roles = ANCHORS
    results = {"sale": "its name"}
    product: ProductId
    price_fen: Fen
    stock: Annotated[int, Meta(ge=1, le=1_000_000)]
    per_user_max: Annotated[int, Meta(ge=1, le=1_000)] = 1
    opens_in_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 5_000
    open_for_ms: Annotated[int, Meta(ge=1_000, le=86_400_000)] = 3_600_000
    hold_ms: Annotated[int, Meta(ge=1_000, le=3_600_000)] = 300_000
    users_per_address_max: UsersPerAddress = 0


class ReserveStock(CommandBase, frozen=True, tag="reserve_stock"):
    """Reserve some of a sale's stock; the hold is named by its seq and must be paid before it expires."""

    moves_money = True
    roles = frozenset({Role.viewer, Role.moderator})
    results = {
        "hold": "the hold's name",
        "until_ms": "when it expires unless it is paid",
        "due_fen": "what is to be paid",
        "discount_fen": "what the coupon takes off, 0 without one",
    }
    sale: Seq
    quantity: Quantity = 1
    coupon_code: Annotated[str, Meta(max_length=16, pattern=r"^([A-Z2-7]{16})?$(?!\n)", description="Code of a coupon to apply; empty = none")] = ""


class ConfirmHold(CommandBase, frozen=True, tag="confirm_hold"):
    """It was paid: `quantity` of the hold are sold (0 = all of it), the rest returns."""

    moves_money = True
    roles = PLATFORM
    results = {"quantity": "units sold", "returned": "units that came back", "paid_fen": "what they cost after the discount"}
    hold: Seq
    payment: OrderId
    quantity: Annotated[int, Meta(ge=0, le=10_000)] = 0


class CancelHold(CommandBase, frozen=True, tag="cancel_hold"):
    """Give a hold back: its own user, or the platform."""

    moves_money = True
    roles = frozenset({Role.viewer, Role.moderator, Role.platform})
    results = {"hold": "which one"}
    hold: Seq


class RestockFlashSale(CommandBase, frozen=True, tag="restock_flash_sale"):
    """Put more stock into a sale."""

    moves_money = True
    roles = ANCHORS
    results = {"stock": "all stock ever put in"}
    sale: Seq
    quantity: Annotated[int, Meta(ge=1, le=1_000_000)]


class CloseFlashSale(CommandBase, frozen=True, tag="close_flash_sale"):
    """Reserve nothing more; open holds live on until they are resolved."""

    moves_money = True
    roles = ANCHORS
    sale: Seq


class FlashSaleAnnounced(EventBase, frozen=True, tag="flash_sale_announced"):
    """A sale opens at `opens_ms`."""

    product: str
    title: str
    price_fen: int
    stock: int
    per_user_max: int
    opens_ms: int
    closes_ms: int
    hold_ms: int
    by: str
    users_per_address_max: int = 0


class FlashSaleOpened(EventBase, frozen=True, tag="flash_sale_opened"):
    """Reservations count from now on."""

    sale: int


class StockChanged(EventBase, frozen=True, tag="stock_changed"):
    """The sale's stock: available + held + sold = stock."""

    delivery = Delivery.latest
    latest_key = "sale"
    sale: int
    available: int
    held: int
    sold: int


class StockReserved(EventBase, frozen=True, tag="stock_reserved"):
    """A user has a hold, which this event's seq names, until `until_ms`; `due_fen` is to pay. Only that user is told."""

    delivery = Delivery.personal
    sale: int
    user: str
    quantity: int
    until_ms: int
    due_fen: int
    discount_fen: int = 0
    coupon_code: str = ""


class HoldConfirmed(EventBase, frozen=True, tag="hold_confirmed"):
    """A hold was paid: `quantity` sold for `paid_fen`, `returned` came back. Only its user is told."""

    delivery = Delivery.personal
    sale: int
    hold: int
    user: str
    quantity: int
    returned: int
    paid_fen: int
    payment: str


class HoldCancelled(EventBase, frozen=True, tag="hold_cancelled"):
    """A hold was given back. Only its user is told."""

    delivery = Delivery.personal
    sale: int
    hold: int
    user: str
    by: str


class HoldExpired(EventBase, frozen=True, tag="hold_expired"):
    """A hold was not paid in time: its stock is free again. Only its user is told."""

    delivery = Delivery.personal
    sale: int
    hold: int
    user: str


class FlashSaleRestocked(EventBase, frozen=True, tag="flash_sale_restocked"):
    """There is more to sell."""

    sale: int
    quantity: int
    stock: int


class FlashSaleClosed(EventBase, frozen=True, tag="flash_sale_closed"):
    """Nothing more can be reserved; `by` is empty when its time was over. `held` units wait for their holds to be resolved."""

    sale: int
    by: str
    held: int = 0


class SaleView(Struct, frozen=True, omit_defaults=True):
    """A flash sale inside a keyframe: announced or open, or closed with holds that are not resolved."""

    sale: int
    product: str
    title: str
    price_fen: int
    stock: int
    available: int
    held: int
    sold: int
    per_user_max: int
    opens_ms: int
    closes_ms: int
    hold_ms: int
    state: str  # announced, open or closed
    users_per_address_max: int = 0
