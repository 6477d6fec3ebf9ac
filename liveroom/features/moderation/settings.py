"""Settings of moderation."""

from __future__ import annotations

from typing import Annotated

from liveroom.messages.settings import Section, setting

__all__ = ["ModerationSettings"]


class ModerationSettings(Section, frozen=True):
    """Settings of moderation."""

    muted_users_max: Annotated[int, setting("Muted users of a room", ge=1, le=10_000)] = 2_000
    banned_users_max: Annotated[int, setting("Banned users of a room", ge=1, le=10_000)] = 2_000
