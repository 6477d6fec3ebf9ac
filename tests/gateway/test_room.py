"""Joining, following, resuming, and who may not be there: through real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from liveroom.config.schema import GatewayConfig
from liveroom.engine.clock import SteadyClock, passed_ms, wall_clock_ms
from liveroom.features.chat.messages import ChatSent
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom
from liveroom.features.likes.messages import LikesAdded
from liveroom.features.moderation.messages import BanUser, MuteUser, UnbanUser
from liveroom.features.showcase.messages import AddProduct, PinProduct, Product
from liveroom.gateway import hub
from liveroom.gateway import room as room_module
from liveroom.gateway.deltas import build_deltas
from liveroom.gateway.ring import RingFrame
from liveroom.journal.memory import MemoryJournal
from liveroom.messages.fields import Role
from liveroom.protocol.events import Event
from liveroom.protocol.frames import RoomDetail
from tests.gateway.place import ROOM, WAIT_S, Object, Show, running, scripted, show


@pytest.mark.parametrize("deflate", [True, False])
async def test_a_viewer_begins_with_joined_and_keyframe_then_follows(deflate: bool) -> None:
    """The first frame is `joined`, then the keyframe, what the viewer owns, then deltas without gap; a command is answered beside them."""
    async with show() as place, place.viewer("bob", deflate=deflate) as bob, place.viewer("eve", deflate=deflate) as eve:
        joined = await bob.next()
        keyframe = await bob.next()
        assert (joined["type"], joined["user"], joined["role"], joined["resumed"]) == ("joined", "bob", "viewer", False)
        assert (keyframe["type"], keyframe["title"], keyframe["seq"]) == ("keyframe", "Evening show", joined["seq"])
        owned = await bob.next()
        assert owned["type"] == "entitlements"
        assert owned["seq"] >= keyframe["seq"]
        reply = await eve.ask("send_chat", text="hello 你好 " + "x" * 200)
        assert reply["type"] == "accepted"
        cursor = joined["seq"]
        while True:
            delta = await bob.until("delta")
            assert delta["from"] == cursor
            assert len(delta["events"]) + sum(delta.get("omitted", {}).values()) == delta["to"] - delta["from"]
            cursor = delta["to"]
            if any(e["type"] == "chat_sent" and e["text"].startswith("hello 你好") for e in delta["events"]):
                break


async def test_joined_tells_the_time_of_now() -> None:
    """A joining viewer gets the present time even in a room that was quiet for long; the keyframe is as old as the last event."""
    async with scripted(audience_report_ms=60_000) as (place, script):
        async with place.viewer("first") as first:  # brings a record, and with it the time of the partition
            await first.until("keyframe")
        await place.clock.advance(10)
        async with place.viewer("bob") as bob:
            joined, keyframe = await bob.next(), await bob.next()
            assert 10_000 <= joined["time_ms"] <= 10_000 + 1_000 * WAIT_S
            assert keyframe["time_ms"] == 1
            await script.say(1)
            assert (await bob.until("delta"))["time_ms"] == 1


async def test_a_ban_ends_by_the_rooms_clock() -> None:
    """The room's clock may be an hour ahead of the gateway's: a ban of a second ends after a second, and frames tell the room's time."""
    hour_ms = 3_600_000
    clock = SteadyClock(lambda: wall_clock_ms() + hour_ms, passed_ms)
    async with show(engine_clock=clock) as place, place.viewer("bob") as bob:
        await bob.until("keyframe")
        await place.command(BanUser("bob", 1_000, "spam"))
        banned = await bob.until("banned")
        assert 0 < banned["until_ms"] - banned["time_ms"] <= 1_000
        assert banned["reason"] == "spam"
        async with asyncio.timeout(10):
            while True:
                async with place.viewer("bob") as again:
                    frame = await again.next()
                    if frame["type"] == "joined":
                        break
                    assert frame["type"] == "banned"
        assert abs(frame["time_ms"] - wall_clock_ms() - hour_ms) < 10_000
        assert frame["time_ms"] >= banned["until_ms"]


@pytest.mark.parametrize("command", [MuteUser("bob", 60_000, "secret"), BanUser("bob", 60_000, "secret")])
async def test_why_a_user_is_muted_or_banned_is_told_to_that_user_alone(command: MuteUser | BanUser) -> None:
    """Everybody learns that it happened; the reason is in a frame for the user, and in no other's."""
    async with show() as place, place.viewer("eve") as eve, place.viewer("bob") as bob:
        await bob.until("keyframe")
        await eve.until("keyframe")
        await place.command(command)
        frame = await bob.until("personal")
        assert frame["event"]["type"] == "sanction_explained"
        assert frame["event"]["reason"] == "secret"
        frames = [await eve.next()]
        while frames[-1]["type"] != "delta" or not any(event["type"] in ("user_muted", "user_banned") for event in frames[-1]["events"]):
            frames.append(await eve.next())
        await eve.send("send_likes", "last")
        while frames[-1].get("id") != "last":
            frames.append(await eve.next())
        assert "secret" not in str(frames)
        assert "secret" not in str(await _frames_of_a_newcomer(place))


async def _frames_of_a_newcomer(place: Show) -> list[Object]:
    async with place.viewer("zoe") as zoe:
        frames = [await zoe.next()]
        while frames[-1]["type"] != "entitlements":
            frames.append(await zoe.next())
    return frames


async def test_events_of_one_tick_are_one_frame() -> None:
    """Events within a tick come in one delta, with only the last `latest` of each key."""
    async with scripted(tick_ms_min=50) as (place, script), place.viewer("bob") as bob:
        await bob.until("keyframe")
        await place.until_slot_begins()
        await script.emit(LikesAdded(1, 1), ChatSent("a", "A", "one"))
        await script.emit(LikesAdded(2, 3), ChatSent("a", "A", "not shown", shown=False))
        delta = await bob.until("delta")
        assert [(e["type"], e["seq"]) for e in delta["events"]] == [("chat_sent", 2), ("likes_added", 3)]
        assert delta["omitted"] == {"latest": 1, "lossy": 1}


async def test_resume_within_the_ring_gives_the_tail_alone() -> None:
    """Coming back with (stream id, seq) still in the ring gives deltas from there on, nothing missing, no keyframe."""
    async with scripted() as (place, script):
        async with place.viewer("bob") as bob:
            stream_id = (await bob.next())["stream_id"]
            await script.say(3)
            seen = [e["seq"] for e in await bob.events(3)]
        await script.say(4)
        async with place.viewer("bob", stream_id=stream_id, seq=seen[-1] + 1) as bob:
            joined = await bob.next()
            assert joined["resumed"]
            assert joined["seq"] <= seen[-1] + 1
            events = await bob.events(4)
            assert [e["seq"] for e in events if e["seq"] > seen[-1]] == [4, 5, 6, 7]


async def test_a_cursor_beyond_the_end_is_of_another_history() -> None:
    """Its viewer gets a backward `skipped` and a keyframe, then follows like all others."""
    async with scripted() as (place, script), place.viewer("eve") as eve:
        await eve.until("keyframe")
        async with place.viewer("bob", stream_id=script.stream_id, seq=script.seq + 50) as bob:
            joined, skipped, keyframe = await bob.next(), await bob.next(), await bob.next()
            assert not joined["resumed"]
            assert skipped == {"type": "skipped", "from": script.seq + 50, "to": script.seq}
            assert (keyframe["type"], keyframe["seq"]) == ("keyframe", script.seq)
            await script.say(1)
            assert [event["seq"] for event in await bob.events(1)] == [script.seq - 1]


async def test_events_of_the_present_tick_are_no_other_history() -> None:
    """A viewer that had them at another gateway, whose ticks fall elsewhere, resumes."""
    async with scripted(tick_ms_min=1_000, tick_ms_max=1_000) as (place, script), place.viewer("eve") as eve:
        await eve.until("keyframe")
        await script.say(1)
        await eve.events(1)
        await script.say(3)
        room = place.gateway._hub.rooms[ROOM]
        async with asyncio.timeout(WAIT_S):
            while room.next_seq < script.seq:
                await asyncio.sleep(0)
        assert room.ring.end < script.seq, "the tick is not over"
        async with place.viewer("bob", stream_id=script.stream_id, seq=script.seq) as bob:
            joined = await bob.next()
            assert (joined["resumed"], joined["seq"]) == (True, script.seq)


@pytest.mark.parametrize("caught_up", [True, False])
async def test_a_gateway_that_may_be_behind_first_catches_up(monkeypatch: pytest.MonkeyPatch, caught_up: bool) -> None:
    """Where other gateways read the same journal, a viewer that is ahead goes on at the head; what has not come by then was set back."""
    monkeypatch.setattr(MemoryJournal, "shared", True)
    monkeypatch.setattr(hub, "CATCH_UP_S", 0.3)
    async with scripted() as (place, script), place.viewer("eve") as eve:
        await eve.until("keyframe")
        at = script.seq
        async with place.viewer("bob", stream_id=script.stream_id, seq=at + 3) as bob:
            joined = await bob.next()
            assert (joined["resumed"], joined["seq"]) == (True, at)
            if caught_up:
                await script.say(3)
                assert [event["seq"] for event in await bob.events(3)] == [at, at + 1, at + 2]
                await script.say(1)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1.0):  # longer than a viewer that is ahead may be
                        await bob.until("skipped")
            else:
                assert await bob.until("skipped") == {"type": "skipped", "from": at + 3, "to": at}
                assert (await bob.next())["seq"] == at
                await script.say(1)
                assert [event["seq"] for event in await bob.events(1)] == [at]


async def test_another_incarnation_of_the_journal_is_another_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old cursors get `skipped` and a keyframe, though their seq is in the ring; cursors of the present stream resume."""
    monkeypatch.setattr(MemoryJournal, "incarnation", lambda journal, partition: "a1b2c3d4")
    async with scripted() as (place, script):
        async with place.viewer("eve") as eve:
            joined, keyframe = await eve.next(), await eve.next()
            assert joined["stream_id"] == keyframe["stream_id"] == f"{script.stream_id}.a1b2c3d4"
            await script.emit(ChatSent("a", "A", "x"), with_keyframe=True)
            assert (await eve.until("delta"))["to"] == script.seq
        for before in (script.stream_id, f"{script.stream_id}.00000000"):
            async with place.viewer("bob", stream_id=before, seq=script.seq) as bob:
                joined, skipped, keyframe = await bob.next(), await bob.next(), await bob.next()
                assert (joined["resumed"], skipped["type"], keyframe["type"]) == (False, "skipped", "keyframe")
                assert keyframe["stream_id"] == f"{script.stream_id}.a1b2c3d4"
        async with place.viewer("bob", stream_id=joined["stream_id"], seq=script.seq) as bob:
            assert (await bob.next())["resumed"]


async def test_resume_behind_the_ring_or_of_another_stream_id_gives_a_keyframe() -> None:
    """A viewer that cannot resume gets `skipped` with the span that will not come; another stream id has nothing to skip."""
    async with scripted(ring_frames_max=16) as (place, script), place.viewer("eve") as eve:
        await eve.until("keyframe")
        for _ in range(40):
            await script.emit(ChatSent("a", "A", "x"), with_keyframe=True)
            await eve.events(1)
        async with place.viewer("bob", stream_id=script.stream_id, seq=2) as bob:
            joined, skipped, keyframe = await bob.next(), await bob.next(), await bob.next()
            assert not joined["resumed"]
            assert skipped == {"type": "skipped", "from": 2, "to": keyframe["seq"]}
            assert keyframe["type"] == "keyframe"
        async with place.viewer("bob", stream_id="other", seq=2) as bob:
            assert [(await bob.next())["type"], (await bob.next())["type"]] == ["joined", "keyframe"]


async def test_a_room_that_was_never_opened_is_told_by_4004() -> None:
    """`room_not_found` closes those who wait; after the room was opened they come in."""
    async with show(open_room=False) as place:
        async with place.viewer("bob") as bob:
            assert await bob.closed() == 4004
        await place.command(OpenRoom("Now"))
        async with place.viewer("bob") as bob:
            assert (await bob.until("keyframe"))["title"] == "Now"


async def test_a_room_whose_keyframe_does_not_come_is_told_by_4002() -> None:
    """Viewers wait for a room no longer than `room_wait_ms`; replies are kept until `joined`, which stays the first frame."""
    async with scripted(room_wait_ms=1_500, reply_wait_ms=100) as (place, script):
        script.answering = False
        async with place.viewer("bob") as bob:
            assert await bob.closed() == 4002
        script.answering = True
        async with place.viewer("eve") as eve:
            await eve.socket.send("nonsense")
            assert (await eve.next())["type"] == "joined"
            assert (await eve.until("refused"))["code"] == "malformed"


async def test_a_closed_room_keeps_its_viewers_and_can_be_opened_again() -> None:
    """Closing and opening are events like others."""
    async with show() as place, place.viewer("bob") as bob:
        await bob.until("keyframe")
        await place.command(CloseRoom("done"))
        assert "room_closed" in [e["type"] for e in await bob.events(1)]
        assert (await bob.ask("send_chat", text="too late"))["code"] == "room_closed"
        await place.command(OpenRoom("Again"))
        while True:
            if any(e["type"] == "room_opened" and e["title"] == "Again" for e in await bob.events(1)):
                break


async def test_a_ban_closes_every_connection_of_the_user_and_keeps_it_out_until_it_is_lifted() -> None:
    """4502 at once and at each new try; others see the event and stay."""
    async with show() as place, place.viewer("eve") as eve, place.viewer("bob") as bob, place.viewer("bob") as bob2:
        await bob.until("keyframe")
        await bob2.until("keyframe")
        await place.command(BanUser("bob", 60_000, "spam"))
        assert await bob.closed() == 4502
        assert await bob2.closed() == 4502
        while not any(e["type"] == "user_banned" for e in await eve.events(1)):
            pass
        async with place.viewer("bob") as again:
            assert await again.closed() == 4502
        await place.command(UnbanUser("bob"))
        async with place.viewer("bob") as again:
            await again.until("keyframe")


async def test_a_ban_binds_no_connection_of_the_platform() -> None:
    """The engine's rules and the console say the same: the role decides, not the user id."""
    async with show() as place, place.viewer("shop", role=Role.platform) as shop, place.viewer("shop") as viewer:
        await shop.until("keyframe")
        await viewer.until("keyframe")
        await place.command(BanUser("shop", 60_000))
        assert await viewer.closed() == 4502
        while not any(e["type"] == "user_banned" for e in await shop.events(1)):
            pass
        async with place.viewer("shop", role=Role.platform) as again:
            await again.until("keyframe")
            assert (await again.ask("send_chat", text="still here"))["type"] == "accepted"


async def test_a_room_that_is_held_anew_knows_its_bans_and_mutes() -> None:
    """Bans and mutes come with the room's detail, not only with its events."""
    async with show(room_idle_ms=0) as place:
        await place.command(BanUser("bob", 60_000))
        await place.command(MuteUser("eve", 60_000))
        async with place.viewer("bob") as bob:
            assert await bob.closed() == 4502
        async with place.viewer("eve") as eve:
            assert (await eve.next())["muted_until_ms"] > 0


async def test_an_expired_ban_is_no_ban() -> None:
    """A ban ends by time without an event."""
    async with show() as place:
        await place.command(BanUser("bob", 1_000))
        async with place.viewer("bob") as bob:
            assert await bob.closed() == 4502
        await place.clock.advance(1)
        async with place.viewer("bob") as bob:
            await bob.until("keyframe")


async def test_a_users_newest_connections_stay() -> None:
    """One more than `connections_per_user_max` closes the oldest with 4003."""
    async with show(connections_per_user_max=2) as place, place.viewer("bob") as first, place.viewer("bob") as second:
        await first.until("keyframe")
        await second.until("keyframe")
        async with place.viewer("bob") as third:
            await third.until("keyframe")
            assert await first.closed() == 4003
            assert (await second.ask("send_likes", count=1))["type"] == "accepted"


async def test_a_gap_in_the_stream_is_healed_by_a_keyframe() -> None:
    """A span that does not continue the room makes the gateway ask for its state; viewers get the span that they skipped."""
    async with scripted() as (place, script), place.viewer("bob") as bob:
        await bob.until("keyframe")
        await script.say(2)
        await bob.events(2)
        await script.emit(ChatSent("a", "A", "after the gap"), lost=5)
        skipped = await bob.until("skipped")
        keyframe = await bob.next()
        assert (skipped["from"], skipped["to"]) == (3, keyframe["seq"])
        await script.say(1)
        assert [e["seq"] for e in await bob.events(1)] == [keyframe["seq"]]


async def test_a_frame_that_cannot_be_built_costs_its_room_a_keyframe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in building frames never stops the ticks: the room is loaded again, with its buffer, and goes on."""
    build = build_deltas
    failed: list[int] = []

    def fail_once(from_: int, events: Sequence[Event], time_ms: int, bytes_max: int) -> list[RingFrame]:
        if not failed:
            failed.append(from_)
            raise ZeroDivisionError
        return build(from_, events, time_ms, bytes_max)

    async with scripted() as (place, script), place.viewer("bob") as bob:
        await bob.until("keyframe")
        monkeypatch.setattr(room_module, "build_deltas", fail_once)
        await script.say(1)
        assert [e["seq"] for e in await bob.events(1)] == [1]
        assert failed == [1]
        await script.say(1)
        assert [e["seq"] for e in await bob.events(1)] == [2]


async def test_the_ring_asks_for_a_keyframe_before_it_would_lose_the_last() -> None:
    """Half a ring after the newest keyframe another is asked for, so that joining never has to wait."""
    async with scripted(ring_frames_max=16, tick_ms_min=1, tick_ms_max=1) as (place, script), place.viewer("bob") as bob:
        await bob.until("keyframe")
        asked = script.keyframes_asked
        for _ in range(20):
            await script.say(1)
            await bob.events(1)
        assert script.keyframes_asked > asked
        async with place.viewer("eve") as eve:
            assert (await eve.until("keyframe"))["seq"] > 1


async def test_without_a_keyframe_beyond_the_hard_bound_newcomers_wait_for_one() -> None:
    """The ring stays bounded even when no keyframe comes: who joins then waits, who follows goes on."""
    async with scripted(ring_frames_max=16, tick_ms_min=1, tick_ms_max=1) as (place, script), place.viewer("bob") as bob:
        await bob.until("keyframe")
        script.answering = False
        for _ in range(40):
            await script.say(1)
            await bob.events(1)
        async with place.viewer("eve") as eve:
            async with asyncio.timeout(WAIT_S):
                while not place.gateway._loader.waiting(place.gateway._hub.rooms[ROOM]):
                    await asyncio.sleep(0.01)
            await script.say(1)
            await bob.events(1)  # the room goes on, and she does not
            await script.emit(with_keyframe=True)
            joined, keyframe = await eve.next(), await eve.next()
            assert (joined["type"], joined["seq"], keyframe["type"], keyframe["seq"]) == ("joined", script.seq, "keyframe", script.seq)


async def test_rooms_are_let_go_after_their_last_viewer() -> None:
    """A room without viewers is held for `room_idle_ms` and then forgotten."""
    async with show(room_idle_ms=200) as place:
        async with place.viewer("bob") as bob:
            await bob.until("keyframe")
            assert place.metric("rooms") == 1
        async with asyncio.timeout(10):
            while place.metric("rooms"):
                await asyncio.sleep(0.02)
        async with place.viewer("bob") as bob:
            await bob.until("keyframe")


async def test_two_gateways_serve_one_room() -> None:
    """Viewers of either gateway see the same events, and can resume at the other."""
    async with (
        show() as one,
        running(GatewayConfig(port=0, drain_ms=0), one.journal, name="gateway-2") as two,
        one.viewer("bob") as bob,
        two.viewer("eve") as eve,
    ):
        stream_id = (await bob.next())["stream_id"]
        await eve.until("keyframe")
        await one.command(AddProduct(Product("p1", "Shoes", 9_900)))
        await one.command(PinProduct("p1"))
        here = [e for e in await bob.events(2) if e["type"].startswith("product")]
        there = [e for e in await eve.events(2) if e["type"].startswith("product")]
        assert [e["seq"] for e in here] == [e["seq"] for e in there]
        async with two.viewer("bob", stream_id=stream_id, seq=here[-1]["seq"] + 1) as moved:
            assert (await moved.next())["resumed"]


async def test_more_of_who_is_banned_comes_in_details_that_continue_the_first() -> None:
    """Banned users in it are closed; a detail of another moment is ignored."""
    until_ms = int(time.time() * 1000) + 600_000
    async with scripted() as (place, script), place.viewer("bob") as bob, place.viewer("eve") as eve:
        for viewer in (bob, eve):
            await viewer.until("keyframe")
        old = script.keyframe()
        await script.say(1)
        await script._append(details=(RoomDetail(old, banned={"eve": until_ms}, continues=True),))
        await script._append(details=(RoomDetail(script.keyframe(), banned={"bob": until_ms}, continues=True),))
        assert await bob.closed() == 4502
        async with place.viewer("bob") as again:
            assert await again.closed() == 4502
        await script.say(1)
        assert [event["type"] for event in await eve.events(2)] == ["chat_sent"] * 2
