"""Sanctions and banned words over HTTP, for moderators."""

from __future__ import annotations

from typing import Any, Final

from liveroom.features.feature import RoomRoute
from liveroom.features.moderation.messages import Moderation
from liveroom.features.views import active
from liveroom.messages.base import MODERATORS

__all__ = ["ROUTES"]


def _moderation(view: Any, now_ms: int) -> Moderation:
    muted, banned = (active(view.details[name], now_ms) for name in ("muted", "banned"))
    return Moderation(muted, banned, view.details["banned_words"])


ROUTES: Final = (
    RoomRoute(name="moderation", summary="Muted users, banned users and banned words", body=Moderation, make=_moderation, roles=MODERATORS),
)
