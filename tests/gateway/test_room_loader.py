"""Requests for the state of rooms, and the viewers who wait for it."""

from __future__ import annotations

from typing import Any

import pytest

from liveroom.config.schema import GatewayConfig
from liveroom.features.lifecycle.messages import RequestKeyframe
from liveroom.gateway.room import HeldRoom
from liveroom.gateway.room_loader import RETRY_S, RoomLoader
from liveroom.gateway.subscription import Subscription
from liveroom.journal.command_sender import ReplyCallback
from liveroom.process.clock import Clock
from liveroom.protocol.entitlements import EntitlementsChunk
from liveroom.protocol.frames import Accepted, Keyframe, Refused, RoomDetail
from liveroom.telemetry.metrics import Metrics
from tests.gateway.test_subscription import Sink, connected

METRICS = Metrics()
ROOM_WAIT_S = 10.0


class Loads:
    """A loader whose clock, follower and engine are in the hands of the test."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.followed = True
        self.sent: list[tuple[str, bool, ReplyCallback]] = []  # room, whether entitlements were requested, and who takes the reply
        clock = Clock()
        clock.monotonic_s = lambda: self.now_s
        self.loader = RoomLoader(
            clock, METRICS.isolated, partitions=1, room_wait_ms=int(ROOM_WAIT_S * 1000), follow=lambda partition: self.followed, request=self._request
        )
        self.room = HeldRoom("demo", GatewayConfig(), METRICS)

    def _request(self, room: str, command: RequestKeyframe, on_reply: ReplyCallback) -> None:
        self.sent.append((room, command.entitlements, on_reply))

    def reply(self, reply: Any = None) -> None:
        """Answer the newest request."""
        self.sent[-1][2](reply or Accepted("c", 1))

    def pass_time(self, s: float) -> None:
        self.now_s += s
        self.loader.tidy()

    def enter(self, user: str) -> tuple[Subscription, Sink]:
        """Let a viewer wait."""
        connection, sink = connected(user, deflate=False)
        subscription, _ = self.room.admit(connection)
        self.loader.wait(self.room, subscription, None)
        return subscription, sink


def close_code(sink: Sink) -> int:
    """The code of the close frame that a waiting viewer got; 0 without one."""
    return int.from_bytes(sink.data[2:4], "big") if sink.data[:1] == b"\x88" else 0


@pytest.fixture
def loads() -> Loads:
    return Loads()


def test_a_room_has_one_request_under_way(loads: Loads) -> None:
    """However many viewers wait, the engine gets one request, with entitlements as long as the room does not know them."""
    for number in range(5):
        loads.enter(f"user-{number}")
    loads.loader.load(loads.room)
    assert [(room, entitlements) for room, entitlements, _ in loads.sent] == [("demo", True)]
    loads.loader.finish(loads.room)
    loads.room.begin(RoomDetail(Keyframe("demo", "s1", 1, 1, "Title", "anna", True, 1), entitlements=0), ())
    loads.loader.load(loads.room)
    assert [entitlements for _, entitlements, _ in loads.sent] == [True, False]


def test_a_request_waits_until_its_partition_is_followed(loads: Loads) -> None:
    """An earlier answer would be missed. A follower that starts again gets the requests under way once more, and no others."""
    loads.followed = False
    loads.enter("ann")
    assert not loads.sent
    loads.loader.on_followed(0)
    loads.loader.on_followed(0)
    assert len(loads.sent) == 2
    loads.loader.finish(loads.room)
    loads.loader.on_followed(0)
    assert len(loads.sent) == 2


@pytest.mark.parametrize("reply", [Accepted("c", 1), Refused("c", "unavailable", "the engine is away")])
def test_a_request_whose_state_does_not_come_is_repeated(loads: Loads, reply: Accepted | Refused) -> None:
    """It is repeated after `RETRY_S`, whatever the engine replied, and not while chunks of entitlements arrive."""
    loads.enter("ann")
    loads.reply(reply)
    loads.pass_time(RETRY_S / 2)
    assert len(loads.sent) == 1
    for chunk in range(3):
        loads.room.receive(EntitlementsChunk("demo", "s1", 1, chunk))
        loads.pass_time(RETRY_S)
        assert len(loads.sent) == 1
    loads.pass_time(RETRY_S)
    assert len(loads.sent) == 2


def test_an_empty_room_is_not_requested_again(loads: Loads) -> None:
    """A room without viewers needs its state only when the next one comes."""
    subscription, _ = loads.enter("ann")
    loads.reply()
    loads.room.leave(subscription.connection)
    loads.loader.leave(loads.room, subscription)
    loads.pass_time(RETRY_S)
    assert len(loads.sent) == 1
    loads.enter("bob")
    assert len(loads.sent) == 2


def test_a_step_that_raised_is_repeated_later(loads: Loads) -> None:
    """Without a request under way it is sent at once. Otherwise it is repeated after a pause, because the next state may raise again."""
    loads.room.users["ann"] = ()
    loads.loader.recover(loads.room)
    loads.loader.recover(loads.room)
    assert len(loads.sent) == 1
    loads.pass_time(RETRY_S)
    assert len(loads.sent) == 2


def test_viewers_wait_for_a_bounded_time(loads: Loads) -> None:
    """A viewer is closed with 4002 after `room_wait_ms`, unless it left or joined before."""
    (gone, gone_sink), (joined, joined_sink) = loads.enter("gone"), loads.enter("joined")
    assert loads.loader.take_waiting(loads.room) == [(gone, None), (joined, None)]
    _, late_sink = loads.enter("late")
    left, left_sink = loads.enter("left")
    loads.loader.leave(loads.room, left)
    loads.pass_time(ROOM_WAIT_S)
    assert [close_code(sink) for sink in (gone_sink, joined_sink, late_sink, left_sink)] == [0, 0, 4002, 0]


def test_viewers_of_a_room_that_was_never_opened_are_closed(loads: Loads) -> None:
    """They get 4004, and the room is not requested again."""
    sinks = [loads.enter(user)[1] for user in ("ann", "bob")]
    loads.reply(Refused("c", "room_not_found", "no such room"))
    assert [close_code(sink) for sink in sinks] == [4004, 4004]
    loads.pass_time(RETRY_S)
    assert len(loads.sent) == 1
