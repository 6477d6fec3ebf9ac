"""The state of a room's chat."""

from __future__ import annotations

from msgspec import Struct, field

from liveroom.features.chat.messages import ChatLine
from liveroom.features.state import RoomState

__all__ = ["ChatState", "Spoken", "change", "of"]


class Spoken(Struct, frozen=True, array_like=True, gc=False):
    """When a user may speak again by the rate limit (GCRA's theoretical arrival time), and when they last sent chat."""

    arrival_ms: int
    chat_ms: int


class ChatState(Struct):
    """A room's chat: its last lines, and its recent speakers.

    Speakers have two generations: the older one is dropped whole when nothing in it can matter any more.
    """

    lines: list[ChatLine] = field(default_factory=list)  # last shown ones, oldest first
    messages: list[int] = field(default_factory=list)  # seqs of the lines that can be deleted, ascending
    shown_ms: list[int] = field(default_factory=list)  # when viewers' lines were shown, ascending
    slow_mode_ms: int = 0
    slow_mode_since_ms: int = 0
    speakers: dict[str, Spoken] = field(default_factory=dict)
    speakers_before: dict[str, Spoken] = field(default_factory=dict)
    speakers_since_ms: int = 0


def of(room: RoomState) -> ChatState:
    """The room's part of this feature, or an empty one that is not kept."""
    return room.chat or ChatState()


def change(room: RoomState) -> ChatState:
    """The room's part of this feature, to fold an event into it."""
    part: ChatState | None = room.chat
    if part is None:
        part = room.chat = ChatState()
    return part
