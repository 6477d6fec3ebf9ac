"""Moderation: mutes, bans and banned words."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from liveroom.messages.base import MODERATORS, CommandBase, EventBase
from liveroom.messages.fields import BannedWord, Delivery, DurationMs, Reason, UserId

__all__ = [
    "BanUser",
    "BannedWordsSet",
    "MuteUser",
    "SanctionExplained",
    "SetBannedWords",
    "UnbanUser",
    "UnmuteUser",
    "UserBanned",
    "UserMuted",
    "UserUnbanned",
    "UserUnmuted",
]


class MuteUser(CommandBase, frozen=True, tag="mute_user"):
    """Forbid a user to speak for a while; the user sees the reason."""

    roles = MODERATORS
    results = {"until_ms": "when the mute ends"}
    user: UserId
    duration_ms: DurationMs
    reason: Reason = ""


class UnmuteUser(CommandBase, frozen=True, tag="unmute_user"):
    """Let a muted user speak again."""

    roles = MODERATORS
    user: UserId


class BanUser(CommandBase, frozen=True, tag="ban_user"):
    """Put a user out of the room for a while; open connections are closed, and the user's chat lines are taken back unless they shall stay."""

    roles = MODERATORS
    results = {"until_ms": "when the ban ends"}
    user: UserId
    duration_ms: DurationMs
    reason: Reason = ""
    delete_messages: bool = True


class UnbanUser(CommandBase, frozen=True, tag="unban_user"):
    """Let a banned user come back."""

    roles = MODERATORS
    user: UserId


class SetBannedWords(CommandBase, frozen=True, tag="set_banned_words"):
    """Replace the room's list of banned words; matched after NFKC and case folding."""

    roles = MODERATORS
    results = {"words": "how many there are now"}
    words: Annotated[tuple[BannedWord, ...], Meta(max_length=500)]


class UserMuted(EventBase, frozen=True, tag="user_muted"):
    """A user may not speak until `until_ms`. The reason goes to that user alone, by `sanction_explained`."""

    user: str
    until_ms: int
    by: str


class UserUnmuted(EventBase, frozen=True, tag="user_unmuted"):
    """A user may speak again."""

    user: str
    by: str


class UserBanned(EventBase, frozen=True, tag="user_banned"):
    """A user is out of the room until `until_ms`. With `messages_deleted` all chat lines of the user are taken back."""

    user: str
    until_ms: int
    by: str
    messages_deleted: bool = False


class SanctionExplained(EventBase, frozen=True, tag="sanction_explained"):
    """The reason of the mute or ban right before this event. Only that user and readers of the journal see it."""

    delivery = Delivery.personal
    user: str
    sanction: Literal["mute", "ban"]
    reason: str


class UserUnbanned(EventBase, frozen=True, tag="user_unbanned"):
    """A user may come back."""

    user: str
    by: str


class BannedWordsSet(EventBase, frozen=True, tag="banned_words_set"):
    """The list of banned words was replaced."""

    delivery = Delivery.internal
    words: tuple[str, ...]
    by: str
