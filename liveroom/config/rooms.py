"""The section `[rooms]`, built from the list of features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import defstruct

from liveroom.features.registry import FEATURES
from liveroom.messages.settings import RoomSettings
from liveroom.messages.structs import fields_of

__all__ = ["RoomsConfig"]

if TYPE_CHECKING:

    class RoomsConfig(RoomSettings, frozen=True):
        """The settings of all features."""

        def __init__(self, **settings: Any) -> None: ...

else:
    RoomsConfig = defstruct(
        "RoomsConfig",
        fields_of(feature.settings for feature in FEATURES),
        bases=(RoomSettings,),
        namespace={"__doc__": "Limits and rates of the rooms' rules."},
        module=__name__,
        frozen=True,
        kw_only=True,
    )
