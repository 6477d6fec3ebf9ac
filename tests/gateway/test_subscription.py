"""The subscriptions of a room: the list of viewers, and their places."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from liveroom.config.schema import GatewayConfig
from liveroom.gateway.connection import Connection, Stage
from liveroom.gateway.room import HeldRoom
from liveroom.gateway.subscription import Subscription
from liveroom.protocol.frames import Keyframe, RoomDetail
from liveroom.protocol.records import Sender
from liveroom.telemetry.metrics import Metrics

METRICS = Metrics()


class Host:
    """A place without a clock that ignores all calls."""

    command_bytes_max = replies_waiting_max = 1_000

    def time(self) -> float:
        return 0.0

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


class Sink:
    """A transport that takes everything."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def resume_reading(self) -> None:
        pass


def live_room() -> HeldRoom:
    room = HeldRoom("demo", GatewayConfig(connections_per_user_max=100), METRICS)
    room.begin(RoomDetail(Keyframe("demo", "e1", 1, 1, "Title", "anna", True, 1), entitlements=0), ())
    return room


def connected(user: str, *, deflate: bool) -> tuple[Connection, Sink]:
    connection, sink = Connection(Host()), Sink()
    connection._transport = sink  # type: ignore[assignment]
    connection.stage = Stage.open
    connection.deflate = deflate
    connection.sender = Sender(user, user)
    return connection, sink


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), max_size=30), st.data())
def test_each_viewer_is_at_its_place(steps: list[tuple[int, bool, bool]], data: st.DataObject) -> None:
    """After any order of joins and leaves, `place` is the index in the list of viewers, and the counts match this list."""
    room = live_room()
    here: list[tuple[Connection, Subscription]] = []
    for user, deflate, joins in steps:
        leaves = data.draw(st.booleans())
        if here and leaves:
            connection, subscription = here.pop(data.draw(st.integers(0, len(here) - 1)))
            assert room.leave(connection) is subscription
            assert not subscription.joined
            assert connection.subscription is None
        connection, _ = connected(f"user-{user}", deflate=deflate)
        subscription, _ = room.admit(connection)
        here.append((connection, subscription))
        if joins:
            room.join(subscription, None, 1)
        joined = [one for _, one in here if one.joined]
        assert sorted(map(id, room.viewers)) == sorted(map(id, joined))
        assert [viewer.place for viewer in room.viewers] == list(range(len(joined)))
        assert room.deflaters == sum(one.connection.deflate for one in joined)
        assert sum(map(len, room.users.values())) == len(here)


def test_who_has_left_gets_no_frame_of_the_room() -> None:
    """Neither a broadcast that began before nor a socket that has room again writes to a connection that left its room."""
    room = live_room()
    connection, sink = connected("eve", deflate=False)
    subscription, _ = room.admit(connection)
    room.join(subscription, None, 1)
    assert sink.data
    sink.data = b""
    room.leave(connection)
    connection.resume_writing()
    connection.send(b"a reply")
    assert not sink.data
    assert room.ring.start > subscription.cursor
