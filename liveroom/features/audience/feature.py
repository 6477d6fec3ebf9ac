"""The feature audience, declared by the contract of a feature."""

from __future__ import annotations

from liveroom.features.audience.messages import AudienceCounted, AudienceReported, ReportAudience
from liveroom.features.audience.settings import AudienceSettings
from liveroom.features.audience.view import VIEWS
from liveroom.features.feature import Feature

__all__ = ["FEATURE"]

FEATURE = Feature(
    name="audience",
    rules="liveroom.features.audience.rules",
    settings=AudienceSettings,
    commands=(ReportAudience,),
    events=(
        AudienceReported,
        AudienceCounted,
    ),
    views=VIEWS,
    due_bytes=119_000,
)
