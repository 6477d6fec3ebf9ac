"""Checks before a user may send something: mute, slow mode, rate limit, then the text itself."""

from __future__ import annotations

from typing import Final

from liveroom.features.chat.state import ChatState, Spoken, change, of
from liveroom.features.decision import Refusal, Turn
from liveroom.features.moderation import state as moderation
from liveroom.features.moderation.banned_words import check_words
from liveroom.features.moderation.rules import check_muted
from liveroom.features.state import RoomState
from liveroom.features.texts import check_line
from liveroom.messages.fields import Role

__all__ = ["SPEAKERS_MAX", "VIEWER", "check_voice", "note_spoken"]

#: Most users remembered for rate limit and slow mode. Beyond it, the half with the oldest last lines is forgotten.
SPEAKERS_MAX: Final = 50_000
#: Most senders are viewers; a global costs a fraction of an enum's attribute.
VIEWER: Final = Role.viewer


def check_voice(turn: Turn, text: str, *, chat: bool) -> Refusal | None:
    """The refusal if the sender may not send `text` now, else `None`. Slow mode counts for chat only. Retry times are exact."""
    state, sender, now_ms = turn.state, turn.sender, turn.now_ms
    refusal = check_muted(state, sender, now_ms)
    if refusal is None and sender.role is VIEWER:
        refusal = _check_pace(state, sender.user, now_ms, chat=chat)
    return refusal or check_line(text) or check_words(moderation.of(state).banned_words, text)


def _check_pace(state: RoomState, user: str, now_ms: int, *, chat: bool) -> Refusal | None:
    room_chat = of(state)
    spoken = _spoken(room_chat, user)
    if spoken is None:
        return None
    if chat and room_chat.slow_mode_ms and spoken.chat_ms >= room_chat.slow_mode_since_ms:
        wait_ms = spoken.chat_ms + room_chat.slow_mode_ms - now_ms
        if wait_ms > 0:
            return Refusal("slow_mode", f"slow mode: one line every {room_chat.slow_mode_ms / 1000:g} s", retry_after_ms=wait_ms)
    rules = state.rules
    wait_ms = spoken.arrival_ms - rules.chat_interval_ms * (rules.chat_burst - 1) - now_ms
    if wait_ms > 0:
        return Refusal(
            "rate_limited", f"at most {rules.chat_burst} at once, then one every {rules.chat_interval_ms / 1000:g} s", retry_after_ms=wait_ms
        )
    return None


def note_spoken(state: RoomState, user: str, time_ms: int, *, chat: bool) -> None:
    """Count one line or question of a user against the rate limit (GCRA), and a line against slow mode."""
    rules, room_chat = state.rules, change(state)
    spoken = _spoken(room_chat, user)
    arrival_ms = max(time_ms, spoken.arrival_ms if spoken else 0) + rules.chat_interval_ms
    chat_ms = time_ms if chat else spoken.chat_ms if spoken else -1
    matters_ms = max(rules.chat_interval_ms * rules.chat_burst, room_chat.slow_mode_ms)
    if time_ms - room_chat.speakers_since_ms >= matters_ms or len(room_chat.speakers) >= SPEAKERS_MAX // 2:
        room_chat.speakers_before = room_chat.speakers
        room_chat.speakers = {}
        room_chat.speakers_since_ms = time_ms
    room_chat.speakers[user] = Spoken(arrival_ms, chat_ms)


def _spoken(room_chat: ChatState, user: str) -> Spoken | None:
    return room_chat.speakers.get(user) or room_chat.speakers_before.get(user)
