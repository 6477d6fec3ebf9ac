"""The feature chat, declared by the contract of a feature."""

from __future__ import annotations

from liveroom.features.chat.messages import (
    REFUSALS,
    ChatBudgetSet,
    ChatSent,
    DeleteMessage,
    MessageDeleted,
    SendChat,
    SetChatBudget,
    SetSlowMode,
    SlowModeSet,
)
from liveroom.features.chat.settings import ChatSettings
from liveroom.features.chat.view import VIEWS
from liveroom.features.feature import Feature

__all__ = ["FEATURE"]

FEATURE = Feature(
    name="chat",
    rules="liveroom.features.chat.rules",
    needs=(
        "lifecycle",
        "moderation",
    ),
    refusals=REFUSALS,
    settings=ChatSettings,
    commands=(
        SendChat,
        DeleteMessage,
        SetSlowMode,
        SetChatBudget,
    ),
    events=(
        ChatSent,
        MessageDeleted,
        SlowModeSet,
        ChatBudgetSet,
    ),
    views=VIEWS,
)
