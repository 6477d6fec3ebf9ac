"""The showcase: what is for sale, the product being explained, and the try-ons that viewers request."""

from __future__ import annotations

from liveroom.features.decision import Decided, Decision, Refusal, Turn
from liveroom.features.ruleset import Rules
from liveroom.features.showcase.keyframe import showcase_detail, showcase_keyframe
from liveroom.features.showcase.messages import (
    AddProduct,
    PinProduct,
    ProductAdded,
    ProductPinned,
    ProductRemoved,
    ProductUnpinned,
    RemoveProduct,
    RequestTryOn,
    TryOnRequested,
    UnpinProduct,
)
from liveroom.features.showcase.state import ShowcaseState, change, of
from liveroom.features.state import RoomState
from liveroom.features.texts import check_line, check_optional
from liveroom.messages.base import EventBase

__all__ = [
    "RULES",
    "add_product",
    "pin_product",
    "product_added",
    "product_pinned",
    "product_removed",
    "product_unpinned",
    "remove_product",
    "request_try_on",
    "try_on_requested",
    "unpin_product",
]


def add_product(turn: Turn, command: AddProduct) -> Decision:
    """Put a product into the showcase or replace it in its place. A pinned product is pinned again, so that viewers see its new data."""
    showcase, product = of(turn.state), command.product
    refusal = (
        check_line(product.title, "product.title")
        or check_optional(product.image_url, "product.image_url")
        or check_optional(product.link_url, "product.link_url")
    )
    if refusal is not None:
        return refusal
    if product.id not in showcase.products and len(showcase.products) >= turn.rules.products_max:
        return Refusal("limit_reached", f"the showcase holds {turn.rules.products_max} products already", "product")
    if showcase.products.get(product.id) == product:
        return Decided((), {"version": showcase.version})
    count = len(showcase.products) + (product.id not in showcase.products)
    events: tuple[EventBase, ...] = (ProductAdded(product, count),)
    if showcase.pinned == product.id:
        events += (ProductPinned(product),)
    return Decided(events, {"version": turn.state.seq})


def remove_product(turn: Turn, command: RemoveProduct) -> Decision:
    """Take a product out; a pinned one is unpinned first. Its try-on requests are forgotten."""
    showcase = of(turn.state)
    if command.product not in showcase.products:
        return _not_found(command.product)
    events: tuple[EventBase, ...] = (ProductRemoved(command.product, len(showcase.products) - 1),)
    if showcase.pinned == command.product:
        events = (ProductUnpinned(command.product), *events)
    return Decided(events, {"version": turn.state.seq + len(events) - 1})


def pin_product(turn: Turn, command: PinProduct) -> Decision:
    """Pin the product that the anchor presents now."""
    product = of(turn.state).products.get(command.product)
    if product is None:
        return _not_found(command.product)
    return Decided(() if of(turn.state).pinned == product.id else (ProductPinned(product),))


def unpin_product(turn: Turn, command: UnpinProduct) -> Decision:
    """Unpin the pinned product."""
    pinned = of(turn.state).pinned
    return Decided((ProductUnpinned(pinned),)) if pinned else Refusal("not_pinned", "no product is pinned")


def request_try_on(turn: Turn, command: RequestTryOn) -> Decision:
    """Request a try-on of a product, once per user and product."""
    showcase, user = of(turn.state), turn.sender.user
    if not turn.state.open:
        return Refusal("room_closed", "the room is closed: try-ons are over")
    if command.product not in showcase.products:
        return _not_found(command.product)
    users = showcase.try_ons.get(command.product, {})
    if user in users:
        return Refusal("already_requested", "you already asked to see this product tried on", "product")
    if sum(user in requesters for requesters in showcase.try_ons.values()) >= turn.rules.try_ons_per_user_max:
        return Refusal("limit_reached", f"you have asked for {turn.rules.try_ons_per_user_max} products already")
    if showcase.try_ons_count >= turn.rules.try_on_users_max:
        return Refusal("limit_reached", f"the room has {turn.rules.try_on_users_max} try-on requests already")
    count = len(users) + 1
    return Decided((TryOnRequested(command.product, user, count),), {"count": count})


def _not_found(product: str) -> Refusal:
    return Refusal("product_not_found", f"there is no product {product!r} in the showcase", "product")


def product_added(state: RoomState, event: ProductAdded, seq: int, time_ms: int) -> None:
    """Fold a product."""
    showcase = change(state)
    showcase.products[event.product.id] = event.product
    showcase.version = seq


def product_removed(state: RoomState, event: ProductRemoved, seq: int, time_ms: int) -> None:
    """Fold a removal."""
    showcase = change(state)
    del showcase.products[event.product]
    showcase.try_ons_count -= len(showcase.try_ons.pop(event.product, {}))
    showcase.version = seq


def product_pinned(state: RoomState, event: ProductPinned, seq: int, time_ms: int) -> None:
    """Fold a pin."""
    change(state).pinned = event.product.id


def product_unpinned(state: RoomState, event: ProductUnpinned, seq: int, time_ms: int) -> None:
    """Fold an unpin."""
    change(state).pinned = ""


def try_on_requested(state: RoomState, event: TryOnRequested, seq: int, time_ms: int) -> None:
    """Fold a try-on request."""
    showcase = change(state)
    showcase.try_ons.setdefault(event.product, {})[event.user] = None
    showcase.try_ons_count += 1


RULES = Rules(
    state=ShowcaseState,
    decide={
        AddProduct: add_product,
        RemoveProduct: remove_product,
        PinProduct: pin_product,
        UnpinProduct: unpin_product,
        RequestTryOn: request_try_on,
    },
    evolve={
        ProductAdded: product_added,
        ProductRemoved: product_removed,
        ProductPinned: product_pinned,
        ProductUnpinned: product_unpinned,
        TryOnRequested: try_on_requested,
    },
    keyframe=showcase_keyframe,
    detail=showcase_detail,
)
