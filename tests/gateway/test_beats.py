"""Signs of life: a viewer that gets nothing learns that its link works, and none costs a busy room anything."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from liveroom.features.moderation.messages import BanUser
from liveroom.gateway import gateway as server
from tests.gateway.place import ROOM, WAIT_S, Viewer, raw, scripted, show


async def test_a_viewer_that_gets_nothing_gets_beats() -> None:
    """`joined` announces how often, and a quiet room's viewers get them again and again, compressed or not."""
    async with show(beat_ms=200) as place, place.viewer("eve") as eve, place.viewer("bob", deflate=False) as bob:
        for viewer in (eve, bob):
            assert (await viewer.until("joined"))["beat_ms"] == 200
            first = (await viewer.until("beat"))["time_ms"]
            assert (await viewer.until("beat"))["time_ms"] >= first + 200


async def test_beats_can_be_turned_off() -> None:
    """With 0 none is announced and none comes, but a probe is answered."""
    async with show(beat_ms=0) as place, place.viewer("eve") as eve:
        assert "beat_ms" not in await eve.until("joined")
        await eve.socket.send('{"type": "probe"}')
        await eve.until("beat")


async def test_a_room_that_speaks_needs_no_beats() -> None:
    """A beat comes only after a pause: what the room broadcast counts for every viewer."""
    beat_s = 0.5
    async with scripted(beat_ms=int(beat_s * 1_000)) as (place, script), place.viewer("eve") as eve:
        await eve.until("keyframe")
        clock = asyncio.get_running_loop().time
        began_s = said_s = clock()
        while clock() - began_s < 4 * beat_s:
            before_s, said_s = said_s, clock()
            await script.say(1)
            while (frame := await eve.next())["type"] != "delta":  # earlier frames belong to the line before
                assert frame["type"] != "beat" or clock() - before_s > 0.9 * beat_s
        frame = await eve.until("beat")
        assert clock() - said_s > 0.9 * beat_s, frame


async def test_a_viewer_whose_socket_is_full_gets_no_beats() -> None:
    """No beats pile up for a viewer that does not read; its unread data shows life enough."""
    async with scripted(beat_ms=200, socket_send_bytes=4_096) as (place, script), place.viewer("eve") as eve:
        stalled = await raw(place, "stalled", recv_buffer=4_096)
        await script.say(30, length=6_000)
        async with asyncio.timeout(WAIT_S):
            while not (full := [c for c in place.gateway._connections if c.blocked]):
                await asyncio.sleep(0.02)
        (viewer,) = [viewer for viewer in place.gateway._hub.rooms[ROOM].viewers if viewer.connection is full[0]]
        beaten = viewer.beat_at
        for _ in range(4):
            await eve.until("beat")
        assert full[0].blocked
        assert viewer.beat_at == beaten
        stalled.close()


async def probe(viewer: Viewer, count: int) -> None:
    for _ in range(count):
        await viewer.socket.send('{"type": "probe"}')


async def test_probes_count_as_commands() -> None:
    """A probe is answered at once; beyond the rate of commands it is refused, and a client that keeps exceeding it is closed as flooding."""
    async with show(beat_ms=0, commands_burst=3, commands_per_s=1, flood_refusals_max=5) as place, place.viewer("eve") as eve:
        await probe(eve, 4)
        for _ in range(3):
            await eve.until("beat")
        refused = await eve.until("refused")
        assert (refused["id"], refused["code"]) == ("", "rate_limited")
        await probe(eve, 6)
        assert await eve.closed() == 4504


@pytest.mark.parametrize("text", ['{"type":"probe","x":1}', '{"type":"beat"}', '{"type":"probe"', '["probe"]', '{"type":"probe"' + " " * 60 + "}"])
async def test_what_is_no_probe_is_refused(text: str) -> None:
    """Strict, as commands are."""
    async with show() as place, place.viewer("eve") as eve:
        await eve.socket.send(text)
        assert (await eve.until("refused"))["id"] == ""


async def test_a_banned_user_learns_until_when() -> None:
    """`banned` is the last frame before 4502, inside and at the door, by a clock that the frame names."""
    async with show() as place, place.viewer("bob") as bob:
        await bob.until("entitlements")
        await place.command(BanUser("bob", 60_000, "spam"))
        told = await bob.until("banned")
        assert told["reason"] == "spam"
        assert 55_000 < told["until_ms"] - told["time_ms"] <= 60_000
        assert await bob.closed() == 4502
        async with place.viewer("bob") as again:
            frame = await again.next()
            assert (frame["type"], frame["until_ms"]) == ("banned", told["until_ms"])
            assert await again.closed() == 4502


async def test_a_viewer_that_waits_for_its_room_is_sent_away_with_a_delay_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A viewer that has not joined yet gets `going_away` before 1012, as all others do."""
    monkeypatch.setattr(server, "CLOSING_S", 0.5)
    async with scripted() as (place, script):
        script.answering = False
        async with place.viewer("eve") as eve:
            async with asyncio.timeout(WAIT_S):
                while not script.keyframes_asked:
                    await asyncio.sleep(0.01)
            drain = asyncio.create_task(place.gateway.drain())
            assert orjson.loads(await eve.socket.recv())["type"] == "going_away"
            assert await eve.closed() == 1012
            await drain
