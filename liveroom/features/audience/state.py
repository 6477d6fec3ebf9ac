"""The state of a room's audience."""

from __future__ import annotations

from msgspec import Struct, field

from liveroom.features.state import RoomState

__all__ = ["AudienceState", "GatewayCount", "change", "of"]


class GatewayCount(Struct, frozen=True, array_like=True, gc=False):
    """Viewers that one gateway reported, and until when the report counts."""

    viewers: int
    expires_ms: int


class AudienceState(Struct):
    """A room's audience, as its gateways reported it."""

    gateways: dict[str, GatewayCount] = field(default_factory=dict)
    viewers: int = 0
    peak: int = 0
    unique: int = 0
    unique_estimated: bool = False
    users: dict[int, None] = field(default_factory=dict)  # hashes, while they are counted exactly
    sketch: bytearray = field(default_factory=bytearray)  # registers, once they are estimated


def of(room: RoomState) -> AudienceState:
    """The room's part of this feature, or an empty one that is not kept."""
    return room.audience or AudienceState()


def change(room: RoomState) -> AudienceState:
    """The room's part of this feature, to fold an event into it."""
    part: AudienceState | None = room.audience
    if part is None:
        part = room.audience = AudienceState()
    return part
