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
from liveroom.features.moderation.settings import ModerationSettings

__all__ = ["FEATURE"]

FEATURE = Feature(
    name="moderation",
    rules="liveroom.features.moderation.rules",
    settings=ModerationSettings,
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
