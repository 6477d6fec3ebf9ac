"""Interruptions: if a room's events stop, its viewers get notice, keep their connections, and go on by themselves."""

from __future__ import annotations

import asyncio

from liveroom.config.schema import Config, JournalConfig
from liveroom.engine.engine import Engine
from tests.gateway.place import show


async def test_viewers_are_told_when_the_engine_is_away_and_when_it_is_back() -> None:
    """A command without an engine is refused within its bound. Newcomers get notice, too, and no viewer has to reconnect."""
    async with show(interruption_ms=500, reply_wait_ms=1_000) as place, place.viewer("vera") as vera, place.viewer("bob") as bob:
        await asyncio.gather(vera.until("entitlements"), bob.until("entitlements"))
        await place.engine.stop()
        sent = await vera.send("send_chat", text="is anybody there?")
        began = await bob.until("interruption")
        assert "over" not in began
        refused = await vera.until("refused", id=sent)
        assert refused["code"] == "unavailable"
        async with place.viewer("late") as late:
            assert await late.until("interruption") == began
            engine = Engine(place.journal, Config(journal=JournalConfig(kind="memory", partitions=2)), name="engine-2", metrics=place.engine_metrics)
            await engine.start()
            try:
                for viewer in (vera, bob, late):
                    assert await viewer.until("interruption") == {**began, "over": True}
                assert (await vera.ask("send_chat", text="here again"))["type"] == "accepted"
            finally:
                await engine.stop()
        assert place.metric("joins_total", start="keyframe") == 3


async def test_an_idle_room_is_not_interrupted() -> None:
    """Without commands, no answer is missing."""
    async with show(interruption_ms=500, audience_repeat_ms=600_000) as place, place.viewer("vera") as vera:
        await vera.until("entitlements")
        assert (await vera.ask("send_chat", text="hello"))["type"] == "accepted"
        await place.clock.advance(1)  # twice what would be an interruption
        assert (await vera.ask("send_chat", text="still here"))["type"] == "accepted"
        assert place.metric("partitions_interrupted") == 0
