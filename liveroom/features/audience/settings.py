"""Settings of the audience."""

from __future__ import annotations

from typing import Annotated

from liveroom.messages.settings import Section, setting

__all__ = ["AudienceSettings"]


class AudienceSettings(Section, frozen=True):
    """Settings of the audience."""

    audience_expiry_ms: Annotated[int, setting("Time after which a gateway's report of viewers expires", ge=1_000, le=600_000)] = 30_000
