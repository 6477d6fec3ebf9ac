"""Limits of users per network address."""

from __future__ import annotations

from typing import Final

from liveroom.messages.base import EventBase
from liveroom.messages.errors import Refusals
from liveroom.messages.fields import Delivery

__all__ = ["REFUSALS", "AddressCounted"]


class AddressCounted(EventBase, frozen=True, tag="address_counted"):
    """One user's units of an item count for a network address, whose hash is `address_hash`; `hold` is -1 unless the unit is a hold."""

    delivery = Delivery.internal
    item: int
    user: str
    address_hash: str
    hold: int = -1


#: Refusal code -> (HTTP status of the console's response, meaning).
REFUSALS: Final[Refusals] = {
    "address_limit": (409, "the limit of users per network address is reached for this item"),
}
