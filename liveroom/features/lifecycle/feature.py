"""The feature of the room itself, declared by the contract of a feature."""

from __future__ import annotations

from liveroom.features.feature import Feature
from liveroom.features.lifecycle.messages import (
    REFUSALS,
    AnnouncementSet,
    CloseRoom,
    OpenRoom,
    RequestKeyframe,
    RoomClosed,
    RoomOpened,
    SetAnnouncement,
)
from liveroom.features.lifecycle.view import VIEWS

__all__ = ["FEATURE"]

FEATURE = Feature(
    name="lifecycle",
    rules="liveroom.features.lifecycle.rules",
    refusals=REFUSALS,
    commands=(
        OpenRoom,
        CloseRoom,
        SetAnnouncement,
        RequestKeyframe,
    ),
    events=(
        RoomOpened,
        RoomClosed,
        AnnouncementSet,
    ),
    views=VIEWS,
)
