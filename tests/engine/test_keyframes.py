"""The schedule of keyframes."""

from __future__ import annotations

from liveroom.config.schema import EngineConfig
from liveroom.engine.keyframes import DUE_STEP_MS, KEYFRAMES_PER_RECORD_MAX, KeyframeSchedule
from liveroom.features.audience.messages import AudienceReported
from liveroom.features.chat.messages import ChatSent
from liveroom.features.lifecycle.messages import RoomClosed
from liveroom.protocol.events import Event

CONFIG = EngineConfig()
INTERVAL_MS = CONFIG.keyframe_interval_ms
QUIET_EVENTS_MAX = CONFIG.keyframe_quiet_events_max
LINE = ChatSent("vera", "Vera", "hello")


def times(lines_per_s: int, seconds: int, *, before: Event | None = None) -> list[int]:
    """The times of the keyframes of a room with so many chat lines a second, in ms after its first line."""
    schedule, found = KeyframeSchedule(CONFIG), list[int]()
    if before is not None:
        schedule.note("lamp-sale", [before], 0)
    for now_ms in range(0, seconds * 1000, 10):
        if lines_per_s and now_ms % (1000 // lines_per_s) == 0:
            schedule.note("lamp-sale", [LINE], now_ms)
        found += [now_ms for _ in schedule.take(now_ms)]
    return found


def test_a_busy_room_gets_one_every_interval() -> None:
    """A room with 10 lines a second gets its keyframes `keyframe_interval_ms` apart."""
    assert times(10, 21) == [INTERVAL_MS, 2 * INTERVAL_MS, 3 * INTERVAL_MS, 4 * INTERVAL_MS]


def test_a_quiet_room_gets_one_after_as_many_events() -> None:
    """A room with one line a second gets a keyframe when a newcomer would otherwise need more than `keyframe_quiet_events_max` frames."""
    first, second = times(1, 60)
    assert QUIET_EVENTS_MAX - 1 <= first / 1000 < QUIET_EVENTS_MAX + 1
    assert QUIET_EVENTS_MAX - 1 <= (second - first) / 1000 < QUIET_EVENTS_MAX + 1


def test_a_room_with_one_event_gets_one_in_the_end() -> None:
    """A room that changed once gets its keyframe after `keyframe_quiet_interval_ms`, and no other one."""
    assert times(0, 200, before=LINE) == [CONFIG.keyframe_quiet_interval_ms]


def test_a_room_that_closes_gets_one_at_once() -> None:
    """The last keyframe of a room is not late, and internal events ask for none."""
    assert times(0, 200, before=RoomClosed("ended")) == [0]
    assert times(0, 200, before=AudienceReported("gateway-1", 1)) == []


def test_small_rooms_share_records() -> None:
    """The keyframes of rooms that changed within `DUE_STEP_MS` are due at the same time."""
    schedule = KeyframeSchedule(CONFIG)
    for n in range(KEYFRAMES_PER_RECORD_MAX):
        schedule.note(f"room-{n}", [LINE], n * DUE_STEP_MS // KEYFRAMES_PER_RECORD_MAX + 1)
    due_ms = schedule.next_ms()
    assert due_ms is not None
    assert len(schedule.take(due_ms)) == KEYFRAMES_PER_RECORD_MAX
