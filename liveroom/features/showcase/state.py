"""The state of a room's showcase."""

from __future__ import annotations

from msgspec import Struct, field

from liveroom.features.showcase.messages import Product
from liveroom.features.state import part

__all__ = ["ShowcaseState", "change", "of"]


class ShowcaseState(Struct):
    """A room's products, the pinned one, and the try-on requests."""

    products: dict[str, Product] = field(default_factory=dict)
    pinned: str = ""
    version: int = 0
    try_ons: dict[str, dict[str, None]] = field(default_factory=dict)  # product -> users
    try_ons_count: int = 0


of, change = part("showcase", ShowcaseState)
