"""The showcase as viewers see it, and the whole of it for consoles."""

from __future__ import annotations

from heapq import nsmallest
from typing import Final

from liveroom.features.feature import View
from liveroom.features.showcase.messages import Product, ProductAdded, ProductPinned, ProductRemoved, ProductUnpinned, TryOnRequested
from liveroom.features.views import taken_from

__all__ = ["DETAILS", "TRY_ONS_SHOWN", "VIEWS", "fold_products", "fold_try_ons", "most_wanted"]

#: Products in a keyframe with the most try-on requests.
TRY_ONS_SHOWN: Final = 30


def fold_products(products: tuple[Product, ...], event: object, seq: int, time_ms: int) -> tuple[Product, ...]:
    """All products, in the order in which they were added. A new version takes the old one's place."""
    match event:
        case ProductAdded():
            new = event.product
            if any(product.id == new.id for product in products):
                return tuple(new if product.id == new.id else product for product in products)
            return (*products, new)
        case ProductRemoved():
            return tuple(product for product in products if product.id != event.product)
    return products


def fold_try_ons(counts: dict[str, int], event: object, seq: int, time_ms: int) -> dict[str, int]:
    """Try-on requests by product; those of a removed product are forgotten."""
    match event:
        case TryOnRequested():
            return {**counts, event.product: event.count}
        case ProductRemoved():
            return {product: count for product, count in counts.items() if product != event.product}
    return counts


def most_wanted(counts: dict[str, int]) -> dict[str, int]:
    """The products with the most try-on requests."""
    return dict(nsmallest(TRY_ONS_SHOWN, counts.items(), key=lambda wanted: (-wanted[1], wanted[0])))


def _pinned(pinned: Product | None, event: ProductPinned | ProductUnpinned, seq: int, time_ms: int) -> Product | None:
    return event.product if isinstance(event, ProductPinned) else None


VIEWS = (
    View(
        "pinned",
        Product | None,
        None,
        (ProductPinned, ProductUnpinned),
        _pinned,
        searched=lambda product: product.title if product else "",
    ),
    View("showcase_version", int, 0, (ProductAdded, ProductRemoved), lambda version, event, seq, time_ms: seq),
    View("showcase_count", int, 0, (ProductAdded, ProductRemoved), taken_from("count")),
    View("try_ons", dict[str, int], {}, (TryOnRequested, ProductRemoved), fold_try_ons, shown=most_wanted),
)
DETAILS = (
    View("products", tuple[Product, ...], (), (ProductAdded, ProductRemoved), fold_products),
    View("try_ons", dict[str, int], {}, (TryOnRequested, ProductRemoved), fold_try_ons),
)
