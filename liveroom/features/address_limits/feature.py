"""The feature address limits, declared by the contract of a feature."""

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
