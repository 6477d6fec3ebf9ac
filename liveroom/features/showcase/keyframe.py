"""The showcase in a room's keyframe and detail."""

from __future__ import annotations

from typing import Any

from liveroom.features.showcase.state import ShowcaseState, of
from liveroom.features.showcase.view import most_wanted
from liveroom.features.state import RoomState

__all__ = ["showcase_detail", "showcase_keyframe"]


def showcase_keyframe(state: RoomState) -> dict[str, Any]:
    """The pinned product, the version and size of the showcase, and the most wanted try-ons."""
    showcase = of(state)
    return {
        "pinned": showcase.products[showcase.pinned] if showcase.pinned else None,
        "showcase_version": showcase.version,
        "showcase_count": len(showcase.products),
        "try_ons": most_wanted(_counts(showcase)),
    }


def showcase_detail(state: RoomState, time_ms: int) -> dict[str, Any]:
    """All products and all try-on requests."""
    showcase = of(state)
    return {"products": tuple(showcase.products.values()), "try_ons": _counts(showcase)}


def _counts(showcase: ShowcaseState) -> dict[str, int]:
    return {product: len(users) for product, users in showcase.try_ons.items()}
