"""The schedule of keyframes: after some seconds of change, after many events, and at once when a room opens or closes.

A newcomer gets the newest keyframe and all frames since.
After a few events these frames are smaller than another keyframe, so a quiet room waits several times as long for its next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from liveroom.config.schema import EngineConfig
from liveroom.engine.timers import Timers
from liveroom.features.lifecycle.messages import RoomClosed, RoomOpened
from liveroom.messages.fields import Delivery
from liveroom.protocol.events import Event

__all__ = ["KeyframeSchedule"]

#: Limit of the keyframes in one record; the others wait for the next.
#: Keyframes that do not fit beside a step go into a record of their own.
KEYFRAMES_PER_RECORD_MAX = 16
#: Keyframes are due at multiples of this time, so that those of many rooms go into one record.
DUE_STEP_MS = 250


class KeyframeSchedule:
    """Remembers which rooms changed since their last keyframe. Unchanged rooms cost nothing."""

    def __init__(self, config: EngineConfig) -> None:
        self._interval_ms = config.keyframe_interval_ms
        self._quiet_interval_ms = max(config.keyframe_interval_ms, config.keyframe_quiet_interval_ms)
        self._quiet_events_max = config.keyframe_quiet_events_max
        self._events_max = config.keyframe_events_max
        self._changed: dict[str, tuple[int, int]] = {}  # room -> events since its last keyframe, and its time, or that of the first event
        self._last_ms: dict[str, int] = {}  # room -> time of its last keyframe, while that is recent
        self._timers = Timers()

    def note(self, room: str, events: Sequence[Event], now_ms: int) -> None:
        """Note the events of a room."""
        public, at_once = 0, False
        for event in events:
            if event.delivery is not Delivery.internal:
                public += 1
                at_once = at_once or type(event) is RoomOpened or type(event) is RoomClosed
        if not public:
            return
        before, since_ms = self._changed.get(room) or (0, self._last_ms.get(room, now_ms))
        count = before + public
        self._changed[room] = (count, since_ms)
        if at_once or count >= self._events_max:
            self._timers.set(room, now_ms)
        elif count >= self._quiet_events_max > before:
            self._set(room, max(now_ms, since_ms + self._interval_ms))
        elif not before:
            self._set(room, max(now_ms, since_ms + self._quiet_interval_ms))

    def _set(self, room: str, due_ms: int) -> None:
        self._timers.set(room, due_ms + -due_ms % min(DUE_STEP_MS, self._interval_ms))

    def next_ms(self) -> int | None:
        """When the next keyframe is due."""
        return self._timers.next_ms()

    def take(self, now_ms: int) -> list[str]:
        """Take the rooms whose keyframes go into the next record."""
        rooms = self._timers.take(now_ms, KEYFRAMES_PER_RECORD_MAX)
        self.made(rooms, now_ms)
        return rooms

    def made(self, rooms: Iterable[str], now_ms: int) -> None:
        """Note rooms that get a keyframe now, for whatever reason."""
        for room in rooms:
            self._changed.pop(room, None)
            self._timers.set(room, None)
            self._last_ms.pop(room, None)  # so that the oldest comes first
            self._last_ms[room] = now_ms
        while self._last_ms:
            oldest = next(iter(self._last_ms))
            if self._last_ms[oldest] > now_ms - self._quiet_interval_ms:
                break
            del self._last_ms[oldest]
