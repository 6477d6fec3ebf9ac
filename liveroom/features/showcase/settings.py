"""Settings of the showcase."""

from __future__ import annotations

from typing import Annotated

from liveroom.messages.settings import Section, setting

__all__ = ["ShowcaseSettings"]


class ShowcaseSettings(Section, frozen=True):
    """Settings of the showcase."""

    products_max: Annotated[int, setting("Products of a showcase", ge=1, le=500)] = 500
    try_on_users_max: Annotated[int, setting("Try-on requests that a room remembers, one per viewer and product", ge=1, le=1_000_000)] = 20_000
    try_ons_per_user_max: Annotated[int, setting("Try-on requests of one viewer", ge=1, le=500)] = 20
