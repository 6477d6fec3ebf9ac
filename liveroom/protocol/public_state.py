"""The fold of a room's public state: console and client keep keyframes current by it.

Each field belongs to one view of a feature, whose fold gives the value after an event.
The detail is folded likewise, by consoles alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from liveroom.features.feature import View
from liveroom.protocol.frames import DETAILS, VIEWS, Keyframe, RoomDetail

__all__ = ["add_details", "details_of", "fold_details", "fold_keyframe"]


def _by_event(views: Iterable[View]) -> dict[type, tuple[View, ...]]:
    found: defaultdict[type, list[View]] = defaultdict(list)
    for view in views:
        for event in view.events:
            found[event].append(view)
    return {event: tuple(some) for event, some in found.items()}


_VIEWS: Final = _by_event(VIEWS)
_DETAILS: Final = _by_event(DETAILS)
_SHOWN: Final = {view.field: view.shown for view in VIEWS if view.shown is not None}
_NOTHING: Final[Mapping[str, Any]] = {}


def fold_keyframe(keyframe: Keyframe, changed: dict[str, Any], event: object, seq: int, time_ms: int, kept: Mapping[str, int] = _NOTHING) -> None:
    """Fold an event into `changed`: the fields that differ from those of `keyframe`, which stays as it is.

    `kept`: by field, the newest entries that this reader keeps, where it keeps fewer than the view says.
    """
    for view in _VIEWS.get(type(event), ()):
        before = changed[view.field] if view.field in changed else getattr(keyframe, view.field)
        after = view.fold(before, event, seq, time_ms)
        if view.kept is not None and len(after) > (most := kept.get(view.field, view.kept)):
            after = after[len(after) - most :]
        if after is not before:
            changed[view.field] = after


def fold_details(details: dict[str, Any], changed: dict[str, Any], event: object, seq: int, time_ms: int) -> None:
    """Fold an event into a room's details, in place, and into the fields of its keyframe that show a part of them."""
    for view in _DETAILS.get(type(event), ()):
        details[view.field] = view.fold(details[view.field], event, seq, time_ms)
        if (shown := _SHOWN.get(view.field)) is not None:
            changed[view.field] = shown(details[view.field])


def details_of(detail: RoomDetail) -> dict[str, Any]:
    """The features' fields of a detail."""
    return {view.field: getattr(detail, view.field) for view in DETAILS}


def add_details(details: dict[str, Any], more: RoomDetail) -> None:
    """Add the entries of a continuation, in place. Entries that are there already do not count twice."""
    for view in DETAILS:
        before, entries = details[view.field], getattr(more, view.field)
        details[view.field] = before | entries if isinstance(before, dict) else tuple(dict.fromkeys((*before, *entries)))
