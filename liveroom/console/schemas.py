"""The bodies of the API's answers. Every field is always there; only inside products, keyframes and questions an absent field has its default."""

from __future__ import annotations

from msgspec import Struct

from liveroom.protocol.commands import Product
from liveroom.protocol.frames import Question, Result

__all__ = ["CommandDone", "Moderation", "Questions", "RoomSummary", "Rooms", "Settings", "Showcase"]


class CommandDone(Struct, frozen=True):
    """The command happened; its events have seqs below `seq`."""

    id: str
    seq: int
    result: Result


class RoomSummary(Struct, frozen=True):
    """A room as the directory shows it."""

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
    """A page of the directory, most viewers first; `next` is the `after` of the next page, null at the end."""

    rooms: tuple[RoomSummary, ...]
    next: str | None


class Showcase(Struct, frozen=True):
    """All products of a room and how many viewers wish to see each tried on; `version` is the keyframe's `showcase_version`."""

    version: int
    products: tuple[Product, ...]
    try_ons: dict[str, int]


class Questions(Struct, frozen=True):
    """The room's questions in the order they were asked."""

    questions: tuple[Question, ...]


class Moderation(Struct, frozen=True):
    """Users that are muted or banned, each until a time in ms, and the words that chat may not hold."""

    muted: dict[str, int]
    banned: dict[str, int]
    banned_words: tuple[str, ...]


class Settings(Struct, frozen=True):
    """What a page must know to connect."""

    gateway_url: str
