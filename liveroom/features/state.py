"""A room's state: the fold of its events, as plain values that survive JSON unchanged.

How it works. `RoomState` holds what every room has. Each feature keeps a part of its own in a field with the feature's name. The part's class
is in the feature's `state.py`, and `liveroom.rooms.state` puts all of them together. A part without events is `None` and takes no space.

Every collection has a bound. Either a rule refuses the command, by a setting, or the fold trims the collection, by a constant beside its code.
A fold never reads a setting, because replay must give the same state. Sets that must keep their order are dicts with `None` values,
so that equal histories encode to equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TypeVar

from msgspec import Struct

from liveroom.messages.room_rules import RoomRules

__all__ = ["RoomState", "part"]

P = TypeVar("P", bound=Struct)


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


def part(name: str, kind: type[P]) -> tuple[Callable[[RoomState], P], Callable[[RoomState], P]]:
    """Two functions for the part of the state in the field `name`: one to read it, one to fold an event into it.

    The first returns a shared empty part if the room has none, which must not be changed. The second makes the part.
    """
    get: Callable[[RoomState], P | None] = attrgetter(name)
    # The field's name stands in the function's code: a call of `get` in each of them would cost a decision a tenth of its time.
    of: Callable[[RoomState], P] = eval(f"lambda room: room.{name} or empty", {"empty": kind()})

    def change(room: RoomState) -> P:
        found = get(room)
        if found is None:
            found = kind()
            setattr(room, name, found)
        return found

    return of, change
