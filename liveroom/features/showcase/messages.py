"""The showcase: products, the pinned one, and try-on requests."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from liveroom.messages.base import ANCHORS, EVERYONE, MODERATORS, CommandBase, EventBase
from liveroom.messages.errors import Refusals
from liveroom.messages.fields import Delivery, Fen, ProductId, Title, Url

__all__ = [
    "REFUSALS",
    "AddProduct",
    "PinProduct",
    "Product",
    "ProductAdded",
    "ProductPinned",
    "ProductRemoved",
    "ProductUnpinned",
    "RemoveProduct",
    "RequestTryOn",
    "Showcase",
    "TryOnRequested",
    "UnpinProduct",
]


class Product(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A product of the showcase."""

    id: ProductId
    title: Title
    price_fen: Fen
    image_url: Url = ""
    link_url: Url = ""


class AddProduct(CommandBase, frozen=True, tag="add_product"):
    """Add a product to the showcase, or replace the product with the same id."""

    roles = ANCHORS
    results = {"version": "the new version of the showcase"}
    product: Product


class RemoveProduct(CommandBase, frozen=True, tag="remove_product"):
    """Remove a product from the showcase; a pinned product is unpinned first."""

    roles = ANCHORS
    results = {"version": "the new version of the showcase"}
    product: ProductId


class PinProduct(CommandBase, frozen=True, tag="pin_product"):
    """Pin the product that the anchor presents now; it replaces the pinned one."""

    more_bytes_max = 4_000  # the product that is pinned
    roles = MODERATORS
    product: ProductId


class UnpinProduct(CommandBase, frozen=True, tag="unpin_product"):
    """Unpin the pinned product."""

    roles = MODERATORS


class RequestTryOn(CommandBase, frozen=True, tag="request_try_on"):
    """Ask the anchor to try a product on; each viewer counts once per product."""

    roles = EVERYONE
    results = {"count": "viewers who have asked for this product"}
    product: ProductId


class ProductAdded(EventBase, frozen=True, tag="product_added"):
    """A product was added to the showcase or replaced; `count` products are there now."""

    product: Product
    count: int


class ProductRemoved(EventBase, frozen=True, tag="product_removed"):
    """A product was removed from the showcase; `count` products are left."""

    product: str
    count: int


class ProductPinned(EventBase, frozen=True, tag="product_pinned"):
    """A product was pinned: the anchor presents it now."""

    product: Product


class ProductUnpinned(EventBase, frozen=True, tag="product_unpinned"):
    """A product was unpinned."""

    product: str


class TryOnRequested(EventBase, frozen=True, tag="try_on_requested"):
    """A viewer asked the anchor to try a product on; `count` viewers have asked for this product."""

    delivery = Delivery.latest
    latest_key = "product"
    product: str
    user: str
    count: int


class Showcase(Struct, frozen=True):
    """All products of a room, and the number of try-on requests for each. `version` is the keyframe's `showcase_version`."""

    version: int
    products: tuple[Product, ...]
    try_ons: dict[str, int]


#: Refusal code -> (HTTP status of the console's response, meaning).
REFUSALS: Final[Refusals] = {
    "product_not_found": (404, "there is no such product in the showcase"),
    "already_requested": (409, "this viewer has already requested this product"),
    "not_pinned": (409, "no product is pinned"),
}
