"""The audience as viewers see it."""

from __future__ import annotations

from liveroom.features.audience.messages import AudienceCounted
from liveroom.features.feature import View
from liveroom.features.views import taken_from

__all__ = ["VIEWS"]

VIEWS = (
    View("viewers", int, 0, (AudienceCounted,), taken_from("viewers")),
    View("unique", int, 0, (AudienceCounted,), taken_from("unique")),
    View("unique_estimated", bool, False, (AudienceCounted,), taken_from("unique_estimated")),
    View("peak", int, 0, (AudienceCounted,), taken_from("peak")),
)
