"""The feature moderation, as the contract wants it."""

from __future__ import annotations

from liveroom.features.feature import Feature
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

__all__ = ["FEATURE"]

FEATURE = Feature(
    name="moderation",
    rules="liveroom.features.moderation.rules",
    commands=(
        MuteUser,
        UnmuteUser,
        BanUser,
        UnbanUser,
        SetBannedWords,
    ),
    events=(
        UserMuted,
        UserUnmuted,
        UserBanned,
        SanctionExplained,
        UserUnbanned,
        BannedWordsSet,
    ),
)
