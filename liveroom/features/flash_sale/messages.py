"""Flash sales: limited stock at a special price. Viewers reserve it by holds, which are paid, cancelled or expire."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from liveroom.features.coupon.messages import OrderId
from liveroom.messages.base import ANCHORS, PLATFORM, CommandBase, EventBase
from liveroom.messages.errors import Refusals
from liveroom.messages.fields import Delivery, Fen, ProductId, Role, Seq, UsersPerAddress

__all__ = [
    "REFUSALS",
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
    """Announce a sale of a showcase product, which opens `opens_in_ms` later for all viewers at once; its id is the seq of its event."""

    moves_money = True
    roles = ANCHORS
    results = {"sale": "the id of the sale"}
    product: ProductId
    price_fen: Fen
    stock: Annotated[int, Meta(ge=1, le=1_000_000)]
    per_user_max: Annotated[int, Meta(ge=1, le=1_000)] = 1
    opens_in_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 5_000
    open_for_ms: Annotated[int, Meta(ge=1_000, le=86_400_000)] = 3_600_000
    hold_ms: Annotated[int, Meta(ge=1_000, le=3_600_000)] = 300_000
    users_per_address_max: UsersPerAddress = 0


class ReserveStock(CommandBase, frozen=True, tag="reserve_stock"):
    """Reserve units of a sale; the hold must be paid before it expires, and its id is the seq of its event."""

    moves_money = True
    roles = frozenset({Role.viewer, Role.moderator})
    results = {
        "hold": "the id of the hold",
        "until_ms": "the time at which the hold expires unless it is paid",
        "due_fen": "the amount to pay",
        "discount_fen": "the coupon's discount, 0 without a coupon",
    }
    sale: Seq
    quantity: Quantity = 1
    coupon_code: Annotated[str, Meta(max_length=16, pattern=r"^([A-Z2-7]{16})?$(?!\n)", description="Code of a coupon to apply; empty = none")] = ""


class ConfirmHold(CommandBase, frozen=True, tag="confirm_hold"):
    """Confirm that a hold was paid: `quantity` of its units are sold (0 = all), and the rest becomes available again."""

    moves_money = True
    roles = PLATFORM
    results = {"quantity": "units sold", "returned": "units available again", "paid_fen": "the price of the sold units after the discount"}
    hold: Seq
    payment: OrderId
    quantity: Annotated[int, Meta(ge=0, le=10_000)] = 0


class CancelHold(CommandBase, frozen=True, tag="cancel_hold"):
    """Cancel a hold; only its own user and the platform may do so."""

    moves_money = True
    roles = frozenset({Role.viewer, Role.moderator, Role.platform})
    results = {"hold": "the id of the hold"}
    hold: Seq


class RestockFlashSale(CommandBase, frozen=True, tag="restock_flash_sale"):
    """Add stock to a sale."""

    moves_money = True
    roles = ANCHORS
    results = {"stock": "all units that the sale ever had"}
    sale: Seq
    quantity: Annotated[int, Meta(ge=1, le=1_000_000)]


class CloseFlashSale(CommandBase, frozen=True, tag="close_flash_sale"):
    """Close a sale: no further units can be reserved, and open holds stay until they are paid, cancelled or expired."""

    moves_money = True
    roles = ANCHORS
    sale: Seq


class FlashSaleAnnounced(EventBase, frozen=True, tag="flash_sale_announced"):
    """A sale was announced; it opens at `opens_ms`."""

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
    """A sale opened: its stock can be reserved from now on."""

    sale: int


class StockChanged(EventBase, frozen=True, tag="stock_changed"):
    """A sale's stock changed; available + held + sold = stock. A closed sale without `held` units is over."""

    delivery = Delivery.latest
    latest_key = "sale"
    sale: int
    available: int
    held: int
    sold: int
    closed: bool = False


class StockReserved(EventBase, frozen=True, tag="stock_reserved"):
    """A user reserved units until `until_ms` for `due_fen`; the hold's id is this event's seq. Only that user receives this event."""

    delivery = Delivery.personal
    sale: int
    user: str
    quantity: int
    until_ms: int
    due_fen: int
    discount_fen: int = 0
    coupon_code: str = ""


class HoldConfirmed(EventBase, frozen=True, tag="hold_confirmed"):
    """A hold was paid: `quantity` units were sold for `paid_fen`, `returned` units are available again. Only its user receives this event."""

    delivery = Delivery.personal
    sale: int
    hold: int
    user: str
    quantity: int
    returned: int
    paid_fen: int
    payment: str


class HoldCancelled(EventBase, frozen=True, tag="hold_cancelled"):
    """A hold was cancelled. Only its user receives this event."""

    delivery = Delivery.personal
    sale: int
    hold: int
    user: str
    by: str


class HoldExpired(EventBase, frozen=True, tag="hold_expired"):
    """A hold was not paid in time, so its units are available again. Only its user receives this event."""

    delivery = Delivery.personal
    sale: int
    hold: int
    user: str


class FlashSaleRestocked(EventBase, frozen=True, tag="flash_sale_restocked"):
    """Stock was added to a sale."""

    sale: int
    quantity: int
    stock: int


class FlashSaleClosed(EventBase, frozen=True, tag="flash_sale_closed"):
    """A sale closed; `by` is empty if its time was over. `held` units still belong to open holds."""

    sale: int
    by: str
    held: int = 0


class SaleView(Struct, frozen=True, omit_defaults=True):
    """A flash sale inside a keyframe: announced, open, or closed with open holds."""

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


#: Refusal code -> (HTTP status of the console's response, meaning).
REFUSALS: Final[Refusals] = {
    "sale_not_found": (404, "there is no such flash sale"),
    "sale_not_open": (409, "the flash sale is not open yet"),
    "sale_closed": (409, "the flash sale is over"),
    "sold_out": (409, "not enough units are available now"),
    "unpaid_limit": (429, "the user has made too many unpaid holds within an hour"),
    "others_first": (429, "few units are left and the user's last hold ended unpaid, so other users go first for a while"),
    "payment_used": (409, "the payment was already used for another hold"),
    "hold_not_found": (404, "there is no such hold"),
    "hold_confirmed": (409, "the hold is already paid"),
    "hold_cancelled": (409, "the hold is already cancelled"),
    "hold_expired": (409, "the hold has expired"),
    "not_owner": (403, "the item belongs to another user"),
}
