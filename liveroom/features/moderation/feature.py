"""The feature moderation, declared by the contract of a feature."""

from __future__ import annotations

from liveroom.features.feature import Feature
from liveroom.features.moderation.messages import (
    REFUSALS,
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
from liveroom.features.moderation.routes import ROUTES
from liveroom.features.moderation.settings import ModerationSettings
from liveroom.features.moderation.view import DETAILS

__all__ = ["FEATURE"]

FEATURE = Feature(
    name="moderation",
    rules="liveroom.features.moderation.rules",
    refusals=REFUSALS,
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
    details=DETAILS,
    routes=ROUTES,
)
