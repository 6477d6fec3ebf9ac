"""The room itself: opening, closing, its announcement and its keyframe."""

from __future__ import annotations

from msgspec import Struct

from liveroom.messages.base import ANCHORS, BACKEND, MODERATORS, CommandBase, EventBase
from liveroom.messages.fields import Reason, Text, Title

__all__ = ["AnnouncementSet", "CloseRoom", "OpenRoom", "RequestKeyframe", "RoomClosed", "RoomOpened", "RoomRules", "SetAnnouncement"]


class OpenRoom(CommandBase, frozen=True, tag="open_room"):
    """Open the room, or open it again after it was closed."""

    roles = ANCHORS
    results = {"epoch": "names the numbering of the room's seqs"}
    title: Title


class CloseRoom(CommandBase, frozen=True, tag="close_room"):
    """Close the room: viewers stay connected and see it end; nothing more may be said."""

    roles = ANCHORS
    reason: Reason = ""


class SetAnnouncement(CommandBase, frozen=True, tag="set_announcement"):
    """Show an announcement to everyone; an empty text takes it down."""

    roles = MODERATORS
    text: Text


class RequestKeyframe(CommandBase, frozen=True, tag="request_keyframe"):
    """Somebody who begins to hold a room asks for its detail; a gateway that begins to follow it, with what its users own."""

    roles = BACKEND
    holdings: bool = False


class RoomRules(Struct, frozen=True, omit_defaults=True):
    """The numbers that a room's rules count with, written down so that replay never depends on settings."""

    chat_interval_ms: int
    chat_burst: int
    chat_budget: int
    audience_expiry_ms: int


class RoomOpened(EventBase, frozen=True, tag="room_opened"):
    """The room was opened; `epoch` names its stream of seqs and stays for its life."""

    title: str
    anchor: str
    epoch: str
    rules: RoomRules
    anchor_name: str = ""


class RoomClosed(EventBase, frozen=True, tag="room_closed"):
    """The room was closed."""

    reason: str = ""


class AnnouncementSet(EventBase, frozen=True, tag="announcement_set"):
    """The announcement was changed; empty = taken down."""

    text: str
