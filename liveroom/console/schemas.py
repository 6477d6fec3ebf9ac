"""The bodies of the API's responses that belong to no feature.

Every field is present. Only inside products and keyframes, an absent field has its default.
"""

from __future__ import annotations

from msgspec import Struct

from liveroom.features.showcase.messages import Product
from liveroom.protocol.frames import Result

__all__ = ["CommandDone", "RoomSummary", "Rooms", "Settings"]


class CommandDone(Struct, frozen=True):
    """The command was accepted. Its events have seqs below `seq`."""

    id: str
    seq: int
    result: Result


class RoomSummary(Struct, frozen=True):
    """The summary of a room in the directory."""

    room: str
    title: str
    anchor: str
    anchor_name: str
    open: bool
    viewers: int
    peak: int
    likes: int
    pinned: Product | None
    opened_ms: int


class Rooms(Struct, frozen=True):
    """A page of the directory, most viewers first. `next` is the `after` of the next page, and null on the last page."""

    rooms: tuple[RoomSummary, ...]
    next: str | None


class Settings(Struct, frozen=True):
    """The settings that a page needs to connect."""

    gateway_url: str
