"""Chat: lines, their deletion, slow mode and the budget."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from liveroom.messages.base import ANCHORS, EVERYONE, MODERATORS, CommandBase, EventBase
from liveroom.messages.errors import Refusals
from liveroom.messages.fields import CHAT_BUDGET_MAX, Delivery, Line, Role, Seq

__all__ = [
    "REFUSALS",
    "ChatBudgetSet",
    "ChatLine",
    "ChatSent",
    "DeleteMessage",
    "MessageDeleted",
    "SendChat",
    "SetChatBudget",
    "SetSlowMode",
    "SlowModeSet",
]


class SendChat(CommandBase, frozen=True, tag="send_chat"):
    """Send one line of chat to the room."""

    roles = EVERYONE
    results = {
        "message": "the id of the line, for `delete_message`",
        "shown": "true if viewers see the line, false if the room's chat budget is used up",
    }
    text: Line


class DeleteMessage(CommandBase, frozen=True, tag="delete_message"):
    """Delete a chat line; a message's id is the seq of its event."""

    roles = MODERATORS
    message: Seq


class SetSlowMode(CommandBase, frozen=True, tag="set_slow_mode"):
    """Let each viewer send one line per interval; 0 turns slow mode off."""

    roles = MODERATORS
    interval_ms: Annotated[int, Meta(ge=0, le=3_600_000)]


class SetChatBudget(CommandBase, frozen=True, tag="set_chat_budget"):
    """Set the number of chat lines that the room shows per second; further lines are recorded but not shown."""

    roles = ANCHORS
    lines_per_s: Annotated[int, Meta(ge=1, le=CHAT_BUDGET_MAX)]


class ChatSent(EventBase, frozen=True, tag="chat_sent"):
    """A chat line was sent; its seq is the message id. `shown` is false if the room's chat budget was used up."""

    delivery = Delivery.lossy
    user: str
    name: str
    text: str
    role: Role = Role.viewer
    buyer: bool = False
    shown: bool = True


class MessageDeleted(EventBase, frozen=True, tag="message_deleted"):
    """A chat line was deleted."""

    message: int
    by: str


class SlowModeSet(EventBase, frozen=True, tag="slow_mode_set"):
    """Slow mode was set: each viewer may send one line per interval; 0 = off."""

    interval_ms: int


class ChatBudgetSet(EventBase, frozen=True, tag="chat_budget_set"):
    """The number of chat lines shown per second was changed."""

    lines_per_s: int


class ChatLine(Struct, frozen=True, omit_defaults=True, gc=False):
    """A chat line inside a keyframe."""

    seq: int
    user: str
    name: str
    text: str
    role: Role = Role.viewer
    buyer: bool = False


#: Refusal code -> (HTTP status of the console's response, meaning).
REFUSALS: Final[Refusals] = {
    "slow_mode": (429, "the room is in slow mode, and the sender sent a line too recently"),
    "message_not_found": (404, "there is no such chat message, or it is too old to delete"),
}
