"""The state of the limits of users per network address."""

from __future__ import annotations

from msgspec import Struct, field

from liveroom.features.state import RoomState

__all__ = ["AddressLimit", "AddressLimitsState", "change", "of"]


class AddressLimit(Struct):
    """The users of each network address who have units of one item."""

    users_max: int
    addresses: dict[str, dict[str, int]] = field(default_factory=dict)  # address hash -> user -> shares, codes or holds
    hold_address_hashes: dict[int, str] = field(default_factory=dict)  # hold -> address hash, for open holds that count


class AddressLimitsState(Struct):
    """The items of a room that have a limit and can still be got, by seq."""

    items: dict[int, AddressLimit] = field(default_factory=dict)


def of(room: RoomState) -> AddressLimitsState:
    """The room's part of this feature, or an empty one that is not kept."""
    return room.address_limits or AddressLimitsState()


def change(room: RoomState) -> AddressLimitsState:
    """The room's part of this feature, to fold an event into it."""
    part: AddressLimitsState | None = room.address_limits
    if part is None:
        part = room.address_limits = AddressLimitsState()
    return part
