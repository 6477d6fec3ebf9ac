"""The feature likes, declared by the contract of a feature."""

from __future__ import annotations

from liveroom.features.feature import Feature
from liveroom.features.likes.messages import LikesAdded, ReportLikes, SendLikes
from liveroom.features.likes.view import VIEWS

__all__ = ["FEATURE"]

FEATURE = Feature(
    name="likes",
    rules="liveroom.features.likes.rules",
    commands=(
        SendLikes,
        ReportLikes,
    ),
    events=(LikesAdded,),
    views=VIEWS,
)
