"""The bodies of the API's answers. Every field is present. Only inside products, keyframes and questions, an absent field has its default."""

from __future__ import annotations

from msgspec import Struct

from liveroom.protocol.commands import Product
from liveroom.protocol.frames import Question, Result

__all__ = ["CommandDone", "Moderation", "Questions", "RoomSummary", "Rooms", "Settings", "Showcase"]


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


class Showcase(Struct, frozen=True):
    """All products of a room, and the number of try-on requests for each. `version` is the keyframe's `showcase_version`."""

    version: int
    products: tuple[Product, ...]
    try_ons: dict[str, int]


class Questions(Struct, frozen=True):
    """The room's questions, oldest first."""

    questions: tuple[Question, ...]


class Moderation(Struct, frozen=True):
    """Muted and banned users, each with the end in Unix ms, and the words that chat must not contain."""

    muted: dict[str, int]
    banned: dict[str, int]
    banned_words: tuple[str, ...]


class Settings(Struct, frozen=True):
    """The settings that a page needs to connect."""

    gateway_url: str
