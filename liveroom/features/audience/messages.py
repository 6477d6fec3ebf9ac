"""The audience: viewers as gateways report them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from liveroom.messages.base import BACKEND, CommandBase, EventBase
from liveroom.messages.fields import Count, Delivery, GatewayId

__all__ = ["AudienceCounted", "AudienceReported", "ReportAudience"]


class ReportAudience(CommandBase, frozen=True, tag="report_audience"):
    """A gateway's count of viewers in the room, and 53-bit hashes of users who came since its last report."""

    roles = BACKEND
    results = {"viewers": "in the room now, over all gateways", "unique": "estimated over the room's life"}
    gateway: GatewayId
    viewers: Annotated[int, Meta(ge=0, le=10_000_000)]
    joined: Annotated[tuple[Count, ...], Meta(max_length=1_000)] = ()


class AudienceReported(EventBase, frozen=True, tag="audience_reported"):
    """A gateway's own count; `seen` holds what its new users changed in the room's sketch of unique users."""

    delivery = Delivery.internal
    gateway: str
    viewers: int
    seen: tuple[int, ...] = ()


class AudienceCounted(EventBase, frozen=True, tag="audience_counted"):
    """The room's audience over all gateways; `unique` is exact until `unique_estimated`."""

    delivery = Delivery.latest
    viewers: int
    unique: int
    peak: int
    unique_estimated: bool = False
