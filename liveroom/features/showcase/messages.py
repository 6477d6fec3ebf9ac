"""The showcase: products, the pinned one, and try-on requests."""

from __future__ import annotations

from msgspec import Struct

from liveroom.messages.base import ANCHORS, EVERYONE, MODERATORS, CommandBase, EventBase
from liveroom.messages.fields import Delivery, Fen, ProductId, Title, Url

__all__ = [
    "AddProduct",
    "PinProduct",
    "Product",
    "ProductAdded",
    "ProductPinned",
    "ProductRemoved",
    "ProductUnpinned",
    "RemoveProduct",
    "RequestTryOn",
    "TryOnRequested",
    "UnpinProduct",
]


class Product(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One product of the showcase."""

    id: ProductId
    title: Title
    price_fen: Fen
    image_url: Url = ""
    link_url: Url = ""


class AddProduct(CommandBase, frozen=True, tag="add_product"):
    """Put a product into the showcase, or replace the one with the same id."""

    roles = ANCHORS
    results = {"version": "the showcase's version with it"}
    product: Product


class RemoveProduct(CommandBase, frozen=True, tag="remove_product"):
    """Take a product out of the showcase; a pinned one is unpinned first."""

    roles = ANCHORS
    results = {"version": "the showcase's version without it"}
    product: ProductId


class PinProduct(CommandBase, frozen=True, tag="pin_product"):
    """Pin the product that is being explained; it takes the place of the one pinned before."""

    roles = MODERATORS
    product: ProductId


class UnpinProduct(CommandBase, frozen=True, tag="unpin_product"):
    """Unpin the product that was being explained."""

    roles = MODERATORS


class RequestTryOn(CommandBase, frozen=True, tag="request_try_on"):
    """Wish to see a product tried on; counted once per viewer and product."""

    roles = EVERYONE
    results = {"count": "how many wish it now"}
    product: ProductId


class ProductAdded(EventBase, frozen=True, tag="product_added"):
    """A product was put into the showcase or replaced there."""

    product: Product


class ProductRemoved(EventBase, frozen=True, tag="product_removed"):
    """A product left the showcase."""

    product: str


class ProductPinned(EventBase, frozen=True, tag="product_pinned"):
    """The product being explained."""

    product: Product


class ProductUnpinned(EventBase, frozen=True, tag="product_unpinned"):
    """No product is being explained."""

    product: str


class TryOnRequested(EventBase, frozen=True, tag="try_on_requested"):
    """A viewer wishes to see a product tried on; `count` viewers do by now."""

    delivery = Delivery.latest
    latest_key = "product"
    product: str
    user: str
    count: int
