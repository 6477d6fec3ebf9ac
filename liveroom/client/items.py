"""The items that a room's iterator yields, made from frames. An unknown frame or event of a newer server is no error."""

from __future__ import annotations

from typing import Any, Union

import msgspec
from msgspec import Struct

from liveroom.features.tables import ENTITLEMENTS
from liveroom.messages.errors import BadMessage
from liveroom.messages.structs import fields_of
from liveroom.protocol.events import Event
from liveroom.protocol.frames import FRAMES, Banned, Delta, Entitlements, Frame, Interruption, Joined, Keyframe, Personal, Queued, Skipped

__all__ = [
    "Advanced",
    "EntitlementsReplaced",
    "Item",
    "PersonalEvent",
    "Reconnecting",
    "Repeated",
    "RoomEvent",
    "StateReplaced",
    "UnknownEvent",
    "decode_frame",
    "events_of",
    "personal_event",
]


class UnknownEvent(Struct, frozen=True):
    """An event that this version has no class for: its type and all its fields as plain values."""

    type: str
    fields: dict[str, Any]


class RoomEvent(Struct, frozen=True):
    """One event of the room at its position."""

    seq: int
    time_ms: int
    event: Event | UnknownEvent


class PersonalEvent(Struct, frozen=True):
    """An event that concerns this user alone, at its position in the room. It comes as soon as it happened, even before events below its seq.

    `added` has the frame's further fields by name: new entries of the `entitlements` frame.
    """

    seq: int
    time_ms: int
    event: Event | UnknownEvent
    added: dict[str, Any] = {}


class StateReplaced(Struct, frozen=True):
    """The room's state came whole: at the start, or after a span was skipped. Redraw everything."""

    state: Keyframe


class EntitlementsReplaced(Struct, frozen=True):
    """The user's entitlements came whole: after each new connection, and after a span was skipped. They hold everything that happened meanwhile."""

    entitlements: Entitlements


class Reconnecting(Struct, frozen=True):
    """The connection was lost; the next attempt comes after `delay_ms`. Then events continue where they stopped, or a `Skipped` comes.

    `unauthorized`: several tokens in a row were refused, and only your token function can change that.
    """

    code: int
    reason: str
    delay_ms: int
    attempt: int
    unauthorized: bool = False


class Advanced(Struct, frozen=True):
    """The end of a delta, with the events that the server left out. Folded into the state, never yielded."""

    seq: int
    time_ms: int


class Repeated(Struct, frozen=True):
    """An event that was yielded before, repeated by a gateway that is behind the previous gateway.

    It is folded into the entitlements and never yielded again.
    """

    item: PersonalEvent | RoomEvent


Item = Union[Joined, StateReplaced, EntitlementsReplaced, RoomEvent, PersonalEvent, Queued, Skipped, Interruption, Banned, Reconnecting]

#: The fields of a `personal` frame that features add.
_ADDED = tuple(name for name, *_ in fields_of(fold.added for fold in ENTITLEMENTS))


class _TypeOnly(Struct):
    type: str


_frame: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
_type_only = msgspec.json.Decoder(_TypeOnly)


def decode_frame(data: str | bytes) -> Frame | None:
    """Decode a frame; `None` for a type of a newer server. Raises `BadMessage` for data that is no frame."""
    try:
        return _frame.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        try:
            if _type_only.decode(data).type not in FRAMES:
                return None
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            pass
        raise BadMessage("malformed", f"the server sent no frame: {error}") from None


def events_of(delta: Delta, from_: int) -> list[RoomEvent]:
    """The events of a delta from the seq `from_` on."""
    return [RoomEvent(plain["seq"], delta.time_ms, _event(plain)) for plain in delta.events if plain["seq"] >= from_]


def personal_event(frame: Personal) -> PersonalEvent:
    """The event of a personal frame."""
    added = {name: value for name in _ADDED if (value := getattr(frame, name)) is not None}
    return PersonalEvent(frame.seq, frame.time_ms, _event(frame.event), added)


def _event(plain: dict[str, Any]) -> Event | UnknownEvent:
    try:
        event: Event = msgspec.convert(plain, Event)
    except msgspec.ValidationError:
        return UnknownEvent(plain["type"], {k: v for k, v in plain.items() if k not in ("type", "seq")})
    return event
