"""Mutes, bans and banned words for gateways and consoles; viewers never get the lists."""

from __future__ import annotations

from liveroom.features.feature import View
from liveroom.features.moderation.messages import BannedWordsSet, UserBanned, UserMuted, UserUnbanned, UserUnmuted
from liveroom.features.views import active, taken_from

__all__ = ["DETAILS", "fold_sanctions"]


def fold_sanctions(users: dict[str, int], event: object, seq: int, time_ms: int) -> dict[str, int]:
    """Mutes, or bans: user -> until_ms. Past ones are forgotten with the next."""
    match event:
        case UserMuted() | UserBanned():
            return {**active(users, time_ms), event.user: event.until_ms}
        case UserUnmuted() | UserUnbanned():
            return {user: until_ms for user, until_ms in users.items() if user != event.user}
    return users


DETAILS = (
    View("banned", dict[str, int], {}, (UserBanned, UserUnbanned), fold_sanctions),
    View("muted", dict[str, int], {}, (UserMuted, UserUnmuted), fold_sanctions),
    View("banned_words", tuple[str, ...], (), (BannedWordsSet,), taken_from("words")),
)
