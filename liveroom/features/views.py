"""Parts that the views of several features share.

A view is one thing of a feature as a keyframe shows it. Each fold gives the views after one event at `seq`. An event about other things, or
about one that is not shown, changes nothing.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

__all__ = ["OFFERS_KEPT", "active", "replace_if"]

#: Newest views of a kind that are kept; a keyframe may hold fewer.
OFFERS_KEPT: Final = 50


def replace_if(it_is: bool, view: Any, **changed: Any) -> Any:
    """The view with these fields changed when `it_is`, and the same view otherwise."""
    return replace(view, **changed) if it_is else view


def active(users: dict[str, int], now_ms: float) -> dict[str, int]:
    """The users whose time has not ended at `now_ms`."""
    return {user: until_ms for user, until_ms in users.items() if until_ms > now_ms}
