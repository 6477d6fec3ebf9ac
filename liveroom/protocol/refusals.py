"""All refusal codes: the common ones, then those of each feature."""

from __future__ import annotations

from types import MappingProxyType

from liveroom.features.registry import FEATURES
from liveroom.messages.errors import COMMON_REFUSALS

__all__ = ["REFUSALS"]

#: Refusal code -> (HTTP status of the console's response, meaning).
REFUSALS: MappingProxyType[str, tuple[int, str]] = MappingProxyType(
    {**COMMON_REFUSALS, **{code: meaning for feature in FEATURES for code, meaning in feature.refusals.items()}}
)
