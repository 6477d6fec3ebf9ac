"""Likes."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from liveroom.messages.base import BACKEND, EVERYONE, CommandBase, EventBase
from liveroom.messages.fields import Delivery

__all__ = ["LikesAdded", "ReportLikes", "SendLikes"]


class SendLikes(CommandBase, frozen=True, tag="send_likes"):
    """Send `count` likes; a gateway adds up the likes of its viewers before it passes them on."""

    roles = EVERYONE
    results = {"total": "all likes of the room; missing in replies over WebSocket, because gateways add up likes first"}
    count: Annotated[int, Meta(ge=1, le=50)] = 1


class ReportLikes(CommandBase, frozen=True, tag="report_likes"):
    """Report the likes of a gateway's viewers."""

    roles = BACKEND
    results = {"total": "all likes of the room"}
    count: Annotated[int, Meta(ge=1, le=10_000_000)]


class LikesAdded(EventBase, frozen=True, tag="likes_added"):
    """The room got `count` likes; `total` is the sum over the room's life."""

    delivery = Delivery.latest
    count: int
    total: int
