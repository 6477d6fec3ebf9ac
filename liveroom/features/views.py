"""Parts that the views of several features share.

A fold gives the value of one field after one event at `seq`. An event about other things, or about one that is not shown, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from msgspec.structs import replace

__all__ = ["OFFERS_KEPT", "active", "replace_if", "taken_from"]

#: Newest offers of a kind that are kept; a keyframe may hold fewer.
OFFERS_KEPT: Final = 50


def replace_if(it_is: bool, view: Any, **changed: Any) -> Any:
    """The view with these fields changed if `it_is`, else the same view."""
    return replace(view, **changed) if it_is else view


def active(users: dict[str, int], now_ms: float) -> dict[str, int]:
    """The users whose time has not ended at `now_ms`."""
    return {user: until_ms for user, until_ms in users.items() if until_ms > now_ms}


def taken_from(field: str) -> Callable[[Any, Any, int, int], Any]:
    """A fold of a value that each event tells in this field."""
    value_of = attrgetter(field)
    return lambda value, event, seq, time_ms: value_of(event)
