"""Chat as viewers see it."""

from __future__ import annotations

from typing import Final

from liveroom.features.chat.messages import ChatBudgetSet, ChatLine, ChatSent, MessageDeleted, SlowModeSet
from liveroom.features.feature import View
from liveroom.features.lifecycle.messages import RoomOpened
from liveroom.features.moderation.messages import UserBanned
from liveroom.features.views import taken_from

__all__ = ["CHAT_LINES_KEPT", "VIEWS", "fold_chat"]

#: Newest lines of chat that are kept; a keyframe may hold fewer.
CHAT_LINES_KEPT: Final = 200


def fold_chat(lines: tuple[ChatLine, ...], event: object, seq: int, time_ms: int) -> tuple[ChatLine, ...]:
    """The lines that are shown, oldest first."""
    match event:
        case ChatSent() if event.shown:
            return (*lines, ChatLine(seq, event.user, event.name, event.text, event.role, event.buyer))
        case MessageDeleted():
            return tuple(line for line in lines if line.seq != event.message)
        case UserBanned() if event.messages_deleted:
            return tuple(line for line in lines if line.user != event.user)
    return lines


def _budget(budget: int, event: ChatBudgetSet | RoomOpened, seq: int, time_ms: int) -> int:
    """A budget survives a closing; the event of a reopening has it."""
    return event.rules.chat_budget if isinstance(event, RoomOpened) else event.lines_per_s


VIEWS = (
    View("chat", tuple[ChatLine, ...], (), (ChatSent, MessageDeleted, UserBanned), fold_chat, kept=CHAT_LINES_KEPT),
    View("slow_mode_ms", int, 0, (SlowModeSet,), taken_from("interval_ms")),
    View("chat_budget", int, 0, (RoomOpened, ChatBudgetSet), _budget),
)
