"""Chat: sending lines, showing them within the room's budget, and deleting them."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, TypeVar

from msgspec.structs import replace

from liveroom.features.chat.keyframe import FILLS, chat_keyframe
from liveroom.features.chat.limits import VIEWER, check_voice, note_spoken
from liveroom.features.chat.messages import (
    ChatBudgetSet,
    ChatLine,
    ChatSent,
    DeleteMessage,
    MessageDeleted,
    SendChat,
    SetChatBudget,
    SetSlowMode,
    SlowModeSet,
)
from liveroom.features.chat.state import ChatState, change, of
from liveroom.features.decision import Decided, Decision, Refusal, Turn
from liveroom.features.moderation.messages import UserBanned
from liveroom.features.ruleset import Rules
from liveroom.features.state import RoomState
from liveroom.messages.fields import CHAT_BUDGET_MAX

__all__ = [
    "BUYER_SHARE",
    "CHAT_LINES_MAX",
    "MESSAGES_MAX",
    "RULES",
    "chat_budget_set",
    "chat_sent",
    "delete_message",
    "message_deleted",
    "send_chat",
    "set_chat_budget",
    "set_slow_mode",
    "slow_mode_set",
    "user_banned",
]

#: Last shown lines that the state keeps in full, for keyframes.
CHAT_LINES_MAX: Final = 200
#: Last shown lines that can still be deleted.
MESSAGES_MAX: Final = 2_000
#: One in this many lines of the budget is kept free for buyers.
BUYER_SHARE: Final = 4
_WINDOW_MS: Final = 1_000

T = TypeVar("T")


def send_chat(turn: Turn, command: SendChat) -> Decision:
    """Send a line; beyond the room's budget it is recorded but not shown, and the reply says so."""
    state, sender = turn.state, turn.sender
    if not state.open:
        return Refusal("room_closed", "the room is closed: nothing can be said")
    refusal = check_voice(turn, command.text, chat=True)
    if refusal is not None:
        return refusal
    shown = _fits_budget(turn)
    event = ChatSent(sender.user, sender.name, command.text, sender.role, sender.buyer, shown)
    return Decided((event,), {"message": state.seq, "shown": shown})


def _fits_budget(turn: Turn) -> bool:
    """Whether a line is shown. No span of a second shows more viewers' lines than the budget; staff's lines are always shown."""
    if turn.sender.role is not VIEWER:
        return True
    budget = turn.state.rules.chat_budget
    allowed = budget if turn.sender.buyer else budget - budget // BUYER_SHARE
    shown_ms = of(turn.state).shown_ms
    return len(shown_ms) < allowed or shown_ms[-allowed] <= turn.now_ms - _WINDOW_MS


def chat_sent(state: RoomState, event: ChatSent, seq: int, time_ms: int) -> None:
    """Fold a line: it counts against its sender's limits, and against the budget if it was shown."""
    if event.role is VIEWER:
        note_spoken(state, event.user, time_ms, chat=True)
    if not event.shown:
        return
    chat = change(state)
    if event.role is VIEWER:
        _push(chat.shown_ms, time_ms, CHAT_BUDGET_MAX)
    _push(chat.messages, seq, MESSAGES_MAX)
    _push(chat.lines, ChatLine(seq, event.user, event.name, event.text, event.role, event.buyer), CHAT_LINES_MAX)


def _push(items: list[T], item: T, keep: int) -> None:
    """Append, and sometimes drop the oldest, so that `keep` to twice as many stay and the average cost is constant."""
    items.append(item)
    if len(items) >= 2 * keep:
        del items[:-keep]


def delete_message(turn: Turn, command: DeleteMessage) -> Decision:
    """Delete one of the last shown lines."""
    last = of(turn.state).messages[-MESSAGES_MAX:]
    at = bisect_left(last, command.message)
    if at == len(last) or last[at] != command.message:
        return Refusal("message_not_found", f"there is no line with this id among the last {MESSAGES_MAX} shown lines", "message")
    return Decided((MessageDeleted(command.message, turn.sender.user),))


def message_deleted(state: RoomState, event: MessageDeleted, seq: int, time_ms: int) -> None:
    """Fold a deletion: the line leaves the keyframe."""
    chat = change(state)
    del chat.messages[bisect_left(chat.messages, event.message)]
    at = bisect_left(chat.lines, event.message, key=lambda line: line.seq)
    if at < len(chat.lines) and chat.lines[at].seq == event.message:
        del chat.lines[at]


def user_banned(state: RoomState, event: UserBanned, seq: int, time_ms: int) -> None:
    """Fold the deletion of all lines of a banned user."""
    if event.messages_deleted:
        chat = change(state)
        gone = {line.seq for line in chat.lines if line.user == event.user}
        chat.lines = [line for line in chat.lines if line.seq not in gone]
        chat.messages = [message for message in chat.messages if message not in gone]


def set_slow_mode(turn: Turn, command: SetSlowMode) -> Decision:
    """Set the interval of each viewer's lines; earlier lines do not count."""
    if command.interval_ms == of(turn.state).slow_mode_ms:
        return Decided(())
    return Decided((SlowModeSet(command.interval_ms),))


def slow_mode_set(state: RoomState, event: SlowModeSet, seq: int, time_ms: int) -> None:
    """Fold slow mode."""
    chat = change(state)
    chat.slow_mode_ms = event.interval_ms
    chat.slow_mode_since_ms = time_ms


def set_chat_budget(turn: Turn, command: SetChatBudget) -> Decision:
    """Set the number of viewers' lines that are shown per second."""
    if command.lines_per_s == turn.state.rules.chat_budget:
        return Decided(())
    return Decided((ChatBudgetSet(command.lines_per_s),))


def chat_budget_set(state: RoomState, event: ChatBudgetSet, seq: int, time_ms: int) -> None:
    """Fold the budget; reopening the room keeps it."""
    state.rules = replace(state.rules, chat_budget=event.lines_per_s, chat_budget_set=True)


RULES = Rules(
    state=ChatState,
    decide={
        SendChat: send_chat,
        DeleteMessage: delete_message,
        SetSlowMode: set_slow_mode,
        SetChatBudget: set_chat_budget,
    },
    evolve={
        ChatSent: chat_sent,
        MessageDeleted: message_deleted,
        SlowModeSet: slow_mode_set,
        ChatBudgetSet: chat_budget_set,
    },
    react={
        UserBanned: user_banned,
    },
    keyframe=chat_keyframe,
    fills=FILLS,
)
