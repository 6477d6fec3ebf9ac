"""The state of a room's moderation: mutes, bans and banned words."""

from __future__ import annotations

from msgspec import Struct, field

from liveroom.features.state import RoomState

__all__ = ["ModerationState", "Sanction", "WordList", "active", "change", "has_ban", "lasts", "of"]


class Sanction(Struct, frozen=True, array_like=True, gc=False):
    """A mute or a ban, with its moderator, its reason and its end."""

    until_ms: int
    by: str
    reason: str = ""


class WordList(Struct, frozen=True, array_like=True, eq=False, weakref=True):
    """Banned words as they were written. `digest` identifies the list, so that comparing lists costs the same for any number of words."""

    words: tuple[str, ...] = ()
    digest: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WordList) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


class ModerationState(Struct):
    """A room's mutes and bans, by user, and its banned words."""

    muted: dict[str, Sanction] = field(default_factory=dict)
    banned: dict[str, Sanction] = field(default_factory=dict)
    banned_words: WordList = WordList()


def of(room: RoomState) -> ModerationState:
    """The room's part of this feature, or an empty one that is not kept."""
    return room.moderation or ModerationState()


def change(room: RoomState) -> ModerationState:
    """The room's part of this feature, to fold an event into it."""
    part: ModerationState | None = room.moderation
    if part is None:
        part = room.moderation = ModerationState()
    return part


def has_ban(room: RoomState, user: str) -> bool:
    """Whether a user was ever banned in this room and not unbanned. Every command asks it, so it makes no empty part."""
    part: ModerationState | None = room.moderation
    return part is not None and user in part.banned


def active(sanctions: dict[str, Sanction], now_ms: int) -> dict[str, Sanction]:
    """The sanctions that are still active at `now_ms`."""
    return {user: sanction for user, sanction in sanctions.items() if lasts(sanction, now_ms)}


def lasts(sanction: Sanction | None, now_ms: int) -> bool:
    """Whether there is a mute or ban that is not past at `now_ms`."""
    return sanction is not None and sanction.until_ms > now_ms
