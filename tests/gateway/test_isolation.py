"""An error in one viewer's or one room's step reaches no other viewer and no other room, and leaves nobody waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from liveroom.features.chat.messages import ChatSent
from liveroom.features.lifecycle.messages import OpenRoom
from liveroom.features.likes.messages import ReportLikes
from liveroom.features.moderation.messages import BanUser
from liveroom.gateway.admission_queues import AdmissionQueues
from liveroom.gateway.likes import LikesReporter
from liveroom.gateway.room import HeldRoom
from liveroom.gateway.subscription import Subscription
from liveroom.journal.partition import partition_of
from liveroom.protocol.frames import Accepted, Reply
from liveroom.telemetry.metrics import Metrics
from tests.gateway.place import ROOM, WAIT_S, Place, scripted, show

#: Another room of the same partition.
BESIDE = next(f"room-{n}" for n in range(100) if partition_of(f"room-{n}", 2) == partition_of(ROOM, 2))


def isolated(place: Place, where: str) -> float:
    return place.metrics.registry.get_sample_value("liveroom_errors_isolated_total", {"place": where}) or 0.0


def failing(monkeypatch: pytest.MonkeyPatch, of: type, name: str, when: Callable[..., bool]) -> None:
    """Let a method raise when the arguments are such."""
    real = getattr(of, name)

    def method(*arguments: Any, **named: Any) -> Any:
        if when(*arguments):
            raise ZeroDivisionError("a bug")
        return real(*arguments, **named)

    monkeypatch.setattr(of, name, method)


async def test_one_that_cannot_join_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """If one join in a cold room raises, that viewer is sent away to come back, and all other waiting viewers join."""
    failing(monkeypatch, HeldRoom, "join", lambda room, subscription, *rest: subscription.user == "eve")
    async with scripted() as (place, script), AsyncExitStack() as viewers:
        script.answering = False
        ann, eve, bob = [await viewers.enter_async_context(place.viewer(name)) for name in ("ann", "eve", "bob")]
        async with asyncio.timeout(WAIT_S):
            while not script.keyframes_asked:
                await asyncio.sleep(0.005)
        await script.transfer_state(True)
        for viewer in (ann, bob):
            await viewer.until("keyframe")
        assert await eve.closed() == 4002
        assert isolated(place, "gateway_join") == 1


async def test_a_viewer_whose_write_raises_is_dropped_and_the_others_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broadcast to a room goes on, and the room has further ones."""
    async with scripted() as (place, script), place.viewer("ann") as ann, place.viewer("eve") as eve, place.viewer("bob") as bob:
        for viewer in (ann, eve, bob):
            await viewer.until("keyframe")
        room = place.gateway._hub.rooms[ROOM]
        for one in room.viewers:
            one.cursor -= one.user == "eve"  # not with the others
        failing(monkeypatch, Subscription, "advance", lambda subscription, *rest: subscription.user == "eve")
        await script.say(1)
        for viewer in (ann, bob):
            assert len(await viewer.events(1)) == 1
        assert await eve.closed() == 1006
        await script.say(1)
        assert len(await bob.events(1)) == 1
        assert isolated(place, "gateway_viewer") == 1


async def test_a_room_whose_event_raises_comes_back_and_no_other_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The room is asked for again and its viewers go on from a keyframe; the rooms beside it miss nothing."""
    failing(monkeypatch, AdmissionQueues, "apply", lambda admission_queues, seq, event: isinstance(event, ChatSent) and event.text == "broken")
    async with show() as place:
        await place.command(OpenRoom("Beside"), room=BESIDE)
        async with place.viewer("ann") as ann, place.viewer("bob", room=BESIDE) as bob:
            await ann.until("keyframe")
            await bob.until("keyframe")
            assert (await ann.ask("send_chat", text="broken"))["type"] == "accepted"
            assert (await ann.until("keyframe"))["chat"][-1]["text"] == "broken"
            for viewer in (bob, ann):
                assert (await viewer.ask("send_chat", text="hello"))["type"] == "accepted"
            assert [event["text"] for event in await bob.events(1)] == ["hello"]
            assert isolated(place, "gateway_room") == 2  # when it came, and in the past that the room begins with


async def test_a_room_that_cannot_begin_is_asked_for_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A detail that raises every time is not asked for as fast as it comes; its viewers are sent away in time, others go on."""
    failing(monkeypatch, HeldRoom, "begin", lambda room, *rest: room.id == ROOM)
    async with show(room_wait_ms=1_500) as place:
        await place.command(OpenRoom("Beside"), room=BESIDE)
        async with place.viewer("ann") as ann, place.viewer("bob", room=BESIDE) as bob:
            assert await ann.closed() == 4002
            assert 1 <= isolated(place, "gateway_room") <= 10  # twice an attempt, with its past and without
            assert (await bob.ask("send_chat", text="hello"))["type"] == "accepted"


async def test_one_that_cannot_be_put_out_keeps_no_other_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """If closing one connection of a banned user raises, all their others are still closed."""
    async with show() as place, place.viewer("eve") as one, place.viewer("eve") as other:
        for viewer in (one, other):
            await viewer.until("keyframe")
        first = place.gateway._hub.rooms[ROOM].users["eve"][0].connection
        failing(monkeypatch, type(first), "close", lambda connection, *rest: connection is first)
        await place.command(BanUser("eve", 60_000))
        assert await other.closed() == 4502
        assert isolated(place, "gateway_viewer") == 1
        monkeypatch.undo()


async def test_a_reply_that_cannot_be_written_costs_no_other_its_own() -> None:
    """The sum of many viewers' taps has one answer, which each of the others gets; rooms whose report raises keep no other's back."""
    metrics, replies = Metrics(), list[Reply]()
    reported: list[str] = []

    def raising(reply: Reply) -> None:
        raise ZeroDivisionError("a bug")

    def report(room: str, command: ReportLikes, on_reply: Callable[[Reply], None]) -> None:
        reported.append(room)
        if room == "broken":
            raise ZeroDivisionError("a bug")
        on_reply(Accepted("r", 7))

    likes = LikesReporter(report, metrics)
    likes.add("broken", "c0", 1, replies.append)
    likes.add("whole", "c1", 1, replies.append)
    likes.add("whole", "c2", 1, raising)
    likes.add("whole", "c3", 1, replies.append)
    likes.flush()
    assert reported == ["broken", "whole"]
    assert replies == [Accepted("c1", 7), Accepted("c3", 7)]
    for place in ("gateway_report", "command_answer"):
        assert metrics.registry.get_sample_value("liveroom_errors_isolated_total", {"place": place}) == 1
