"""Mutes, which refuse a user's texts, and bans, which keep a user out of the room; both until they end."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from liveroom.features.decision import Decided, Decision, Refusal, Turn
from liveroom.features.moderation.banned_words import banned_words_set, set_banned_words
from liveroom.features.moderation.keyframe import moderation_detail
from liveroom.features.moderation.messages import (
    BannedWordsSet,
    BanUser,
    MuteUser,
    SanctionExplained,
    SetBannedWords,
    UnbanUser,
    UnmuteUser,
    UserBanned,
    UserMuted,
    UserUnbanned,
    UserUnmuted,
)
from liveroom.features.moderation.state import ModerationState, Sanction, active, change, lasts, of
from liveroom.features.ruleset import Rules
from liveroom.features.state import RoomState
from liveroom.features.texts import check_optional, utc
from liveroom.messages.fields import Role
from liveroom.messages.sender import Sender

__all__ = [
    "RULES",
    "ban_user",
    "check_banned",
    "check_muted",
    "mute_user",
    "sanction_explained",
    "unban_user",
    "unmute_user",
    "user_banned",
    "user_muted",
    "user_unbanned",
    "user_unmuted",
]


def mute_user(turn: Turn, command: MuteUser) -> Decision:
    """Mute a user from now on; a second mute replaces the first."""
    refusal = _check_sanction(turn, command, of(turn.state).muted, turn.rules.muted_users_max)
    if refusal is not None:
        return refusal
    until_ms = turn.now_ms + command.duration_ms
    return Decided((UserMuted(command.user, until_ms, turn.sender.user), *_explained(command, "mute")), {"until_ms": until_ms})


def ban_user(turn: Turn, command: BanUser) -> Decision:
    """Ban a user from now on; a second ban replaces the first."""
    refusal = _check_sanction(turn, command, of(turn.state).banned, turn.rules.banned_users_max)
    if refusal is not None:
        return refusal
    until_ms = turn.now_ms + command.duration_ms
    banned = UserBanned(command.user, until_ms, turn.sender.user, command.delete_messages)
    return Decided((banned, *_explained(command, "ban")), {"until_ms": until_ms})


def _explained(command: MuteUser | BanUser, sanction: Literal["mute", "ban"]) -> tuple[SanctionExplained, ...]:
    """The event with the reason, which only the user gets."""
    return (SanctionExplained(command.user, sanction, command.reason),) if command.reason else ()


def _check_sanction(turn: Turn, command: MuteUser | BanUser, sanctions: dict[str, Sanction], users_max: int) -> Refusal | None:
    if command.user == turn.state.anchor:
        return Refusal("forbidden", "the room's anchor can be neither muted nor banned", "user")
    if len(sanctions) >= users_max:
        others = active(sanctions, turn.now_ms)
        others.pop(command.user, None)
        if len(others) >= users_max:
            return Refusal("limit_reached", f"{users_max} users are on this list already", "user")
    return check_optional(command.reason, "reason")


def unmute_user(turn: Turn, command: UnmuteUser) -> Decision:
    """End a user's mute."""
    if not lasts(of(turn.state).muted.get(command.user), turn.now_ms):
        return Refusal("not_muted", f"{command.user} is not muted", "user")
    return Decided((UserUnmuted(command.user, turn.sender.user),))


def unban_user(turn: Turn, command: UnbanUser) -> Decision:
    """End a user's ban."""
    if not lasts(of(turn.state).banned.get(command.user), turn.now_ms):
        return Refusal("not_banned", f"{command.user} is not banned", "user")
    return Decided((UserUnbanned(command.user, turn.sender.user),))


def check_muted(state: RoomState, sender: Sender, now_ms: int) -> Refusal | None:
    """The refusal if the sender is muted, else `None`; the platform itself may always speak."""
    muted = of(state).muted.get(sender.user)
    return _refusal("muted", muted, now_ms) if muted is not None and sender.role is not Role.platform else None


def check_banned(state: RoomState, sender: Sender, now_ms: int) -> Refusal | None:
    """The refusal if the sender is banned, else `None`; the platform itself is never banned."""
    banned = of(state).banned.get(sender.user)
    return _refusal("banned", banned, now_ms) if banned is not None and sender.role is not Role.platform else None


def _refusal(code: str, sanction: Sanction, now_ms: int) -> Refusal | None:
    if not lasts(sanction, now_ms):
        return None
    why = f": {sanction.reason}" if sanction.reason else ""
    return Refusal(code, f"you are {code} until {utc(sanction.until_ms)}{why}", retry_after_ms=sanction.until_ms - now_ms)


def user_muted(state: RoomState, event: UserMuted, seq: int, time_ms: int) -> None:
    """Fold a mute; ended ones are forgotten."""
    moderation = change(state)
    moderation.muted = {**active(moderation.muted, time_ms), event.user: Sanction(event.until_ms, event.by)}


def user_banned(state: RoomState, event: UserBanned, seq: int, time_ms: int) -> None:
    """Fold a ban; ended ones are forgotten."""
    moderation = change(state)
    moderation.banned = {**active(moderation.banned, time_ms), event.user: Sanction(event.until_ms, event.by)}


def sanction_explained(state: RoomState, event: SanctionExplained, seq: int, time_ms: int) -> None:
    """Fold the reason of the mute or ban directly before this event."""
    moderation = change(state)
    sanctions = moderation.muted if event.sanction == "mute" else moderation.banned
    sanctions[event.user] = replace(sanctions[event.user], reason=event.reason)


def user_unmuted(state: RoomState, event: UserUnmuted, seq: int, time_ms: int) -> None:
    """Fold the end of a mute."""
    del change(state).muted[event.user]


def user_unbanned(state: RoomState, event: UserUnbanned, seq: int, time_ms: int) -> None:
    """Fold the end of a ban."""
    del change(state).banned[event.user]


RULES = Rules(
    state=ModerationState,
    decide={
        MuteUser: mute_user,
        UnmuteUser: unmute_user,
        BanUser: ban_user,
        UnbanUser: unban_user,
        SetBannedWords: set_banned_words,
    },
    evolve={
        UserMuted: user_muted,
        UserUnmuted: user_unmuted,
        UserBanned: user_banned,
        UserUnbanned: user_unbanned,
        SanctionExplained: sanction_explained,
        BannedWordsSet: banned_words_set,
    },
    detail=moderation_detail,
)
