"""All events: facts with names in the past tense. An event has a seq in its room and never changes.

The class of an event is in its feature's messages: `liveroom/features/<name>/messages.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from liveroom.features.registry import FEATURES
from liveroom.messages.base import EventBase

__all__ = ["EVENTS", "Event"]

if TYPE_CHECKING:
    Event = EventBase  # to a type checker an event is any event: the union follows from the list of features
else:
    Event = Union[tuple(event for feature in FEATURES for event in feature.events)]

#: Name -> class, in the order of the vocabulary.
EVENTS: dict[str, type[EventBase]] = {str(c.__struct_config__.tag): c for feature in FEATURES for c in feature.events}
