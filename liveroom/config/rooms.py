"""The section `[rooms]`, built from the list of features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_type_hints

from msgspec import defstruct
from msgspec.structs import fields

from liveroom.features.registry import FEATURES
from liveroom.messages.settings import RoomSettings

__all__ = ["RoomsConfig"]

if TYPE_CHECKING:

    class RoomsConfig(RoomSettings, frozen=True):
        """The settings of all features."""

        def __init__(self, **settings: Any) -> None: ...

else:
    _SECTIONS = [feature.settings for feature in FEATURES if feature.settings is not None]
    RoomsConfig = defstruct(
        "RoomsConfig",
        [(one.name, get_type_hints(section, include_extras=True)[one.name], one.default) for section in _SECTIONS for one in fields(section)],
        bases=(RoomSettings,),
        namespace={"__doc__": "Limits and rates of the rooms' rules."},
        module=__name__,
        frozen=True,
        kw_only=True,
    )
