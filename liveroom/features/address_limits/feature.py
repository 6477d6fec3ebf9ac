"""The feature address limits, as the contract wants it."""

from __future__ import annotations

from liveroom.features.address_limits.messages import REFUSALS, AddressCounted
from liveroom.features.feature import Feature

__all__ = ["FEATURE"]

FEATURE = Feature(
    name="address_limits",
    rules="liveroom.features.address_limits.rules",
    refusals=REFUSALS,
    events=(AddressCounted,),
)
