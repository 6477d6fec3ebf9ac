"""Likes as viewers see them."""

from __future__ import annotations

from liveroom.features.feature import View
from liveroom.features.likes.messages import LikesAdded
from liveroom.features.views import taken_from

__all__ = ["VIEWS"]

VIEWS = (View("likes", int, 0, (LikesAdded,), taken_from("total")),)
