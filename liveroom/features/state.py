"""A room's state: the fold of its events, as plain values that survive JSON unchanged.

How it works. `RoomState` holds what every room has. Each feature keeps a part of its own in a field with the feature's name. The part's class
is in the feature's `state.py`, and `liveroom.rooms.state` puts all of them together. A part without events is `None` and takes no space.
The same file has two functions: `of(room)` reads the part, and `change(room)` makes it if need be, to fold an event into it.

Every collection has a bound. Either a rule refuses the command, by a setting, or the fold trims the collection, by a constant beside its code.
A fold never reads a setting, because replay must give the same state. Sets that must keep their order are dicts with `None` values,
so that equal histories encode to equal bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from liveroom.messages.room_rules import RoomRules

__all__ = ["RoomState"]


class RoomState(Struct, omit_defaults=True):
    """The core of a room's state after all events below `seq`; times are Unix ms."""

    stream_id: str
    seq: int
    title: str
    anchor: str
    open: bool
    opened_ms: int
    rules: RoomRules
    anchor_name: str = ""
    announcement: str = ""
    close_reason: str = ""  # why the room was closed; empty while it is open

    if TYPE_CHECKING:  # the features' parts, of which only the features know the class

        def __getattr__(self, feature: str) -> Any: ...

        def __setattr__(self, feature: str, part: Any) -> None: ...
