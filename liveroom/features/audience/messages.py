"""The audience: the viewers that gateways report."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from liveroom.messages.base import BACKEND, CommandBase, EventBase
from liveroom.messages.fields import Count, Delivery, GatewayId

__all__ = ["AudienceCounted", "AudienceReported", "ReportAudience"]


#: The longest time for which a report may count.
EXPIRY_MS_MAX: Final = 24 * 3_600_000


class ReportAudience(CommandBase, frozen=True, tag="report_audience"):
    """Report a gateway's number of viewers in the room, with 53-bit hashes of the users who came since its last report."""

    roles = BACKEND
    results = {"viewers": "viewers in the room now, over all gateways", "unique": "different users over the room's life, estimated"}
    gateway: GatewayId
    viewers: Annotated[int, Meta(ge=0, le=10_000_000)]
    joined: Annotated[tuple[Count, ...], Meta(max_length=1_000)] = ()
    #: Time for which the report counts, if that is longer than `rooms.audience_expiry_ms`. A gateway repeats an unchanged number seldom.
    expiry_ms: Annotated[int, Meta(ge=0, le=EXPIRY_MS_MAX)] = 0


class AudienceReported(EventBase, frozen=True, tag="audience_reported"):
    """A gateway reported its viewers; `seen` holds the changes that its new users make to the room's estimate of unique users."""

    delivery = Delivery.internal
    gateway: str
    viewers: int
    seen: tuple[int, ...] = ()
    expiry_ms: int = 0


class AudienceCounted(EventBase, frozen=True, tag="audience_counted"):
    """The room's audience over all gateways changed; `unique` is exact until `unique_estimated` is true."""

    delivery = Delivery.latest
    viewers: int
    unique: int
    peak: int
    unique_estimated: bool = False
