"""The items that frames become."""

import json

import pytest

from liveroom.client.items import RoomEvent, UnknownEvent, decode_frame, events_of
from liveroom.features.lifecycle.messages import AnnouncementSet
from liveroom.messages.errors import BadMessage
from liveroom.protocol.frames import Accepted, Delta
from tests.client.conftest import delta


def decoded(events: list[dict[str, object]]) -> list[RoomEvent]:
    frame = decode_frame(json.dumps({"type": "delta", "from": 0, "to": 9, "time_ms": 5, "events": events, "new_field": 1}))
    assert isinstance(frame, Delta)
    return events_of(frame, 0)


def test_events_are_typed() -> None:
    """A known event has its class, with fields that only a newer server knows left aside."""
    assert decoded([{"type": "announcement_set", "text": "x", "seq": 4, "colour": "red"}]) == [RoomEvent(4, 5, AnnouncementSet("x"))]


def test_unknown_events_are_passed_on() -> None:
    """An event of an unknown type, or a known one of another form, comes as plain values."""
    assert decoded([{"type": "gift_sent", "gift": "rose", "seq": 4}]) == [RoomEvent(4, 5, UnknownEvent("gift_sent", {"gift": "rose"}))]
    assert decoded([{"type": "announcement_set", "text": 7, "seq": 4}]) == [RoomEvent(4, 5, UnknownEvent("announcement_set", {"text": 7}))]


def test_events_below_the_cursor_are_left_aside() -> None:
    """Events seen before a reconnect do not come again."""
    assert [item.seq for item in events_of(delta(3, AnnouncementSet("a"), AnnouncementSet("b")), 4)] == [4]


def test_frames_of_newer_servers_are_ignored() -> None:
    """An unknown frame type is nothing; a known one is a frame."""
    assert decode_frame('{"type":"poll","question":"?"}') is None
    assert decode_frame('{"type":"accepted","id":"c","seq":3}') == Accepted("c", 3)


@pytest.mark.parametrize("data", ["", "[]", "{", '{"type":"delta"}', '{"type":7}', "\ud800", '{"a":' * 100_000])
def test_what_is_no_frame_is_said_so(data: str) -> None:
    """Bytes that are no frame raise `BadMessage`, never anything else."""
    with pytest.raises(BadMessage):
        decode_frame(data)
