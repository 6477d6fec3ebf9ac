"""Moderation: mutes, bans and banned words."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from liveroom.messages.base import MODERATORS, CommandBase, EventBase
from liveroom.messages.errors import Refusals
from liveroom.messages.fields import BannedWord, Delivery, DurationMs, Reason, UserId

__all__ = [
    "REFUSALS",
    "BanUser",
    "BannedWordsSet",
    "Moderation",
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
    """Mute a user: chat lines and questions are refused until the mute ends. The user sees the reason."""

    roles = MODERATORS
    results = {"until_ms": "the time at which the mute ends"}
    user: UserId
    duration_ms: DurationMs
    reason: Reason = ""


class UnmuteUser(CommandBase, frozen=True, tag="unmute_user"):
    """End a user's mute."""

    roles = MODERATORS
    user: UserId


class BanUser(CommandBase, frozen=True, tag="ban_user"):
    """Ban a user: commands are refused and connections closed until the ban ends. By default the user's chat lines are deleted."""

    roles = MODERATORS
    results = {"until_ms": "the time at which the ban ends"}
    user: UserId
    duration_ms: DurationMs
    reason: Reason = ""
    delete_messages: bool = True


class UnbanUser(CommandBase, frozen=True, tag="unban_user"):
    """End a user's ban."""

    roles = MODERATORS
    user: UserId


class SetBannedWords(CommandBase, frozen=True, tag="set_banned_words"):
    """Replace the room's list of banned words; texts are compared after NFKC normalization and case folding."""

    roles = MODERATORS
    results = {"words": "the number of words on the list now"}
    words: Annotated[tuple[BannedWord, ...], Meta(max_length=500)]


class UserMuted(EventBase, frozen=True, tag="user_muted"):
    """A user was muted until `until_ms`. Only that user receives the reason, in `sanction_explained`."""

    user: str
    until_ms: int
    by: str


class UserUnmuted(EventBase, frozen=True, tag="user_unmuted"):
    """A user's mute ended early."""

    user: str
    by: str


class UserBanned(EventBase, frozen=True, tag="user_banned"):
    """A user was banned until `until_ms`. With `messages_deleted` all chat lines of the user were deleted."""

    user: str
    until_ms: int
    by: str
    messages_deleted: bool = False


class SanctionExplained(EventBase, frozen=True, tag="sanction_explained"):
    """The reason of the mute or ban directly before this event. Only that user and readers of the journal see it."""

    delivery = Delivery.personal
    user: str
    sanction: Literal["mute", "ban"]
    reason: str


class UserUnbanned(EventBase, frozen=True, tag="user_unbanned"):
    """A user's ban ended early."""

    user: str
    by: str


class BannedWordsSet(EventBase, frozen=True, tag="banned_words_set"):
    """The list of banned words was replaced."""

    delivery = Delivery.internal
    words: tuple[str, ...]
    by: str


class Moderation(Struct, frozen=True):
    """Muted and banned users, each with the end in Unix ms, and the words that chat must not contain."""

    muted: dict[str, int]
    banned: dict[str, int]
    banned_words: tuple[str, ...]


#: Refusal code -> (HTTP status of the console's response, meaning).
REFUSALS: Final[Refusals] = {
    "muted": (403, "the sender is muted"),
    "banned": (403, "the sender is banned from the room"),
    "banned_words": (422, "the text contains a banned word"),
    "not_muted": (409, "the user is not muted"),
    "not_banned": (409, "the user is not banned"),
}
