"""Limits of users per network address."""

from __future__ import annotations

from liveroom.messages.base import EventBase
from liveroom.messages.fields import Delivery

__all__ = ["AddressCounted"]


class AddressCounted(EventBase, frozen=True, tag="address_counted"):
    """The user's share of an item counts for a network address, which `mark` stands for; `hold` is -1 unless it is a hold."""

    delivery = Delivery.internal
    item: int
    user: str
    mark: str
    hold: int = -1
