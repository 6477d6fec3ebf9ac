"""The life of a room: opening, closing, its announcement and its keyframe."""

from __future__ import annotations

from typing import Final

from liveroom.messages.base import ANCHORS, BACKEND, MODERATORS, CommandBase, EventBase
from liveroom.messages.errors import Refusals
from liveroom.messages.fields import Reason, Text, Title
from liveroom.messages.room_rules import RoomRules

__all__ = ["REFUSALS", "AnnouncementSet", "CloseRoom", "OpenRoom", "RequestKeyframe", "RoomClosed", "RoomOpened", "SetAnnouncement"]


class OpenRoom(CommandBase, frozen=True, tag="open_room"):
    """Open a room, or reopen a closed one."""

    roles = ANCHORS
    results = {"stream_id": "names the numbering of the room's seqs"}
    title: Title


class CloseRoom(CommandBase, frozen=True, tag="close_room"):
    """Close a room: viewers stay connected and see the end, but can send nothing more."""

    roles = ANCHORS
    reason: Reason = ""


class SetAnnouncement(CommandBase, frozen=True, tag="set_announcement"):
    """Show an announcement to all viewers; an empty text removes it."""

    roles = MODERATORS
    text: Text


class RequestKeyframe(CommandBase, frozen=True, tag="request_keyframe"):
    """Ask for a room's detail. Gateways that begin to follow a room set `entitlements`, to get those of its users, too."""

    roles = BACKEND
    entitlements: bool = False


class RoomOpened(EventBase, frozen=True, tag="room_opened"):
    """The room was opened; `stream_id` names its stream of seqs and stays for its life."""

    title: str
    anchor: str
    stream_id: str
    rules: RoomRules
    anchor_name: str = ""


class RoomClosed(EventBase, frozen=True, tag="room_closed"):
    """A room was closed."""

    reason: str = ""


class AnnouncementSet(EventBase, frozen=True, tag="announcement_set"):
    """The announcement was changed; an empty text means that it was removed."""

    text: str


#: Refusal code -> (HTTP status of the console's response, meaning).
REFUSALS: Final[Refusals] = {
    "room_already_open": (409, "the room is already open"),
}
