"""The showcase over HTTP."""

from __future__ import annotations

from typing import Any, Final

from liveroom.features.feature import RoomRoute
from liveroom.features.showcase.messages import Showcase

__all__ = ["ROUTES"]


def _showcase(view: Any, now_ms: int) -> Showcase:
    return Showcase(view.keyframe.showcase_version, view.details["products"], view.details["try_ons"])


ROUTES: Final = (
    RoomRoute(name="showcase", summary="All products of the showcase; fetch it when `showcase_version` changes", body=Showcase, make=_showcase),
)
