"""The room itself as viewers see it. These are fields that every keyframe has."""

from __future__ import annotations

from liveroom.features.feature import View
from liveroom.features.lifecycle.messages import AnnouncementSet, RoomClosed, RoomOpened
from liveroom.features.views import taken_from

__all__ = ["VIEWS"]


def _close_reason(reason: str, event: RoomOpened | RoomClosed, seq: int, time_ms: int) -> str:
    return event.reason if isinstance(event, RoomClosed) else ""


VIEWS = (
    View("title", str, "", (RoomOpened,), taken_from("title"), searched=str),
    View("anchor", str, "", (RoomOpened,), taken_from("anchor"), searched=str),
    View("anchor_name", str, "", (RoomOpened,), taken_from("anchor_name"), searched=str),
    View("open", bool, False, (RoomOpened, RoomClosed), lambda value, event, seq, time_ms: isinstance(event, RoomOpened)),
    View("opened_ms", int, 0, (RoomOpened,), lambda value, event, seq, time_ms: time_ms),
    View("close_reason", str, "", (RoomOpened, RoomClosed), _close_reason),
    View("announcement", str, "", (AnnouncementSet,), taken_from("text")),
)
