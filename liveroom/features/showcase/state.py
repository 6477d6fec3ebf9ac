"""The state of a room's showcase."""

from __future__ import annotations

from msgspec import Struct, field

from liveroom.features.showcase.messages import Product
from liveroom.features.state import RoomState

__all__ = ["ShowcaseState", "change", "of"]


class ShowcaseState(Struct):
    """A room's products, the pinned one, and the try-on requests."""

    products: dict[str, Product] = field(default_factory=dict)
    pinned: str = ""
    version: int = 0
    try_ons: dict[str, dict[str, None]] = field(default_factory=dict)  # product -> users
    try_ons_count: int = 0


def of(room: RoomState) -> ShowcaseState:
    """The room's part of this feature, or an empty one that is not kept."""
    return room.showcase or ShowcaseState()


def change(room: RoomState) -> ShowcaseState:
    """The room's part of this feature, to fold an event into it."""
    part: ShowcaseState | None = room.showcase
    if part is None:
        part = room.showcase = ShowcaseState()
    return part
