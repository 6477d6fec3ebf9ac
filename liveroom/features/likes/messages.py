"""Likes."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from liveroom.messages.base import BACKEND, EVERYONE, CommandBase, EventBase
from liveroom.messages.fields import Delivery

__all__ = ["LikesAdded", "ReportLikes", "SendLikes"]


class SendLikes(CommandBase, frozen=True, tag="send_likes"):
    """Tap: `count` likes since the last time; a gateway adds up its viewers' taps before it passes them on."""

    roles = EVERYONE
    results = {"total": "likes of the room; not told by gateways, which add up taps first"}
    count: Annotated[int, Meta(ge=1, le=50)] = 1


class ReportLikes(CommandBase, frozen=True, tag="report_likes"):
    """A gateway's sum of its viewers' taps."""

    roles = BACKEND
    results = {"total": "likes of the room"}
    count: Annotated[int, Meta(ge=1, le=10_000_000)]


class LikesAdded(EventBase, frozen=True, tag="likes_added"):
    """`count` likes came in; `total` is the sum over the room's life."""

    delivery = Delivery.latest
    count: int
    total: int
