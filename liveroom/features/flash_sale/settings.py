"""Settings of flash sales."""

from __future__ import annotations

from typing import Annotated

from liveroom.messages.settings import Section, setting

__all__ = ["FlashSaleSettings"]


class FlashSaleSettings(Section, frozen=True):
    """Settings of flash sales."""

    flash_sales_live_max: Annotated[int, setting("Flash sales of a room that are not closed or still have open holds", ge=1, le=200)] = 20
    unpaid_holds_per_user_max: Annotated[
        int, setting("Unpaid holds that a user may make in a flash sale within an hour, including open ones", ge=1, le=1_000)
    ] = 20
    holds_per_room_max: Annotated[int, setting("Open holds of a room", ge=1, le=1_000_000)] = 50_000
