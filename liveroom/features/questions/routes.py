"""Questions over HTTP."""

from __future__ import annotations

from typing import Any, Final

from liveroom.features.feature import RoomRoute
from liveroom.features.questions.messages import Questions

__all__ = ["ROUTES"]


def _questions(view: Any, now_ms: int) -> Questions:
    return Questions(view.details["questions"])


ROUTES: Final = (RoomRoute(name="questions", summary="Open questions, and the newest answered ones", body=Questions, make=_questions),)
