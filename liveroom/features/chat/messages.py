"""Chat: lines, their deletion, slow mode and the budget."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from liveroom.messages.base import ANCHORS, EVERYONE, MODERATORS, CommandBase, EventBase
from liveroom.messages.fields import CHAT_BUDGET_MAX, Delivery, Line, Role, Seq

__all__ = ["ChatBudgetSet", "ChatLine", "ChatSent", "DeleteMessage", "MessageDeleted", "SendChat", "SetChatBudget", "SetSlowMode", "SlowModeSet"]


class SendChat(CommandBase, frozen=True, tag="send_chat"):
    """Say one line to the room."""

    roles = EVERYONE
    results = {
        "message": "the line's name, for `delete_message`",
        "shown": "true when the room sees the line; false when the room's budget is used up",
    }
    text: Line


class DeleteMessage(CommandBase, frozen=True, tag="delete_message"):
    """Take back a chat line; a message is named by its seq."""

    roles = MODERATORS
    message: Seq


class SetSlowMode(CommandBase, frozen=True, tag="set_slow_mode"):
    """Let each viewer speak once per interval; 0 turns slow mode off."""

    roles = MODERATORS
    interval_ms: Annotated[int, Meta(ge=0, le=3_600_000)]


class SetChatBudget(CommandBase, frozen=True, tag="set_chat_budget"):
    """Set how many chat lines a second the room shows; the rest is kept but not shown."""

    roles = ANCHORS
    lines_per_s: Annotated[int, Meta(ge=1, le=CHAT_BUDGET_MAX)]


class ChatSent(EventBase, frozen=True, tag="chat_sent"):
    """A line was said; its seq is its message id. `shown` is false when the room's budget was spent."""

    delivery = Delivery.lossy
    user: str
    name: str
    text: str
    role: Role = Role.viewer
    buyer: bool = False
    shown: bool = True


class MessageDeleted(EventBase, frozen=True, tag="message_deleted"):
    """A chat line was taken back."""

    message: int
    by: str


class SlowModeSet(EventBase, frozen=True, tag="slow_mode_set"):
    """Each viewer may speak once per interval; 0 = off."""

    interval_ms: int


class ChatBudgetSet(EventBase, frozen=True, tag="chat_budget_set"):
    """The number of chat lines shown a second was changed."""

    lines_per_s: int


class ChatLine(Struct, frozen=True, omit_defaults=True, gc=False):
    """A chat line inside a keyframe."""

    seq: int
    user: str
    name: str
    text: str
    role: Role = Role.viewer
    buyer: bool = False
