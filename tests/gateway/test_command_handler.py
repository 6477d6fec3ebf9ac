"""Commands: every one gets exactly one reply, from the room or with a code from the gateway."""

from __future__ import annotations

import orjson

from liveroom.messages.fields import Role
from tests.gateway.place import Object, scripted, show


async def test_bad_messages_are_refused_with_code_field_and_id() -> None:
    """The refusal has the id whenever it could be read."""
    async with show() as place, place.viewer("bob") as bob:
        await bob.until("keyframe")
        for text, code, command_id in (
            ("nonsense", "malformed", ""),
            ('{"id":"x","command":{"type":"fly"}}', "unknown_command", "x"),
            ('{"id":"x","command":{"type":"send_chat"}}', "missing_field", "x"),
            ('{"id":"x","command":{"type":"send_chat","text":7}}', "wrong_type", "x"),
            ('{"id":"x","command":{"type":"send_chat","text":"%s"}}' % ("y" * 301), "too_long", "x"),
            ('{"id":"big","command":{"type":"send_chat","text":"y"},%s"pad":1}' % (" " * 5_000), "unknown_field", "big"),
        ):
            await bob.socket.send(text)
            refused = await bob.until("refused")
            assert (refused["code"], refused["id"]) == (code, command_id), refused


async def test_a_message_beyond_the_limit_is_refused_with_its_id() -> None:
    """Up to four times the limit it is read and refused; its sender need not guess."""
    async with show() as place, place.viewer("bob", deflate=False) as bob:
        await bob.socket.send('{"id":"big",%s"command":{"type":"send_chat","text":"y"}}' % (" " * 5_000))
        refused = await bob.until("refused")
        assert (refused["id"], refused["code"]) == ("big", "too_large")
        await bob.socket.send('{"id":"huge",%s"command":{"type":"send_chat","text":"y"}}' % (" " * 20_000))
        assert await bob.closed() == 1009


async def test_commands_beyond_the_rate_are_refused_with_the_time_to_wait() -> None:
    """After a burst each further one is `rate_limited`; after the wait it goes through."""
    async with show(commands_per_s=2, commands_burst=3) as place, place.viewer("bob") as bob:
        ids = [await bob.send("send_likes") for _ in range(5)]
        replies: dict[str, Object] = {}
        while len(replies) < 5:
            frame = await bob.next()
            if frame["type"] in ("accepted", "refused"):
                replies[frame["id"]] = frame
        assert [replies[i]["type"] for i in ids] == ["accepted"] * 3 + ["refused"] * 2
        wait_ms = replies[ids[-1]]["retry_after_ms"]
        assert 0 < wait_ms <= 501
        await place.clock.advance(wait_ms / 1000)
        assert (await bob.ask("send_likes"))["type"] == "accepted"


async def test_too_many_unanswered_commands_are_refused_as_overloaded() -> None:
    """While the engine does not answer, a connection has `commands_waiting_max` under way."""
    async with scripted(commands_waiting_max=2, likes_report_ms=60_000, drain_ms=0) as (place, _), place.viewer("bob") as bob:
        for _ in range(2):
            await bob.send("send_likes")
        last = await bob.send("send_likes")
        refused = await bob.until("refused")
        assert (refused["id"], refused["code"]) == (last, "overloaded")


async def test_commands_without_an_answer_are_counted_as_refusals() -> None:
    """The metric of refusals shows an absent engine: `unavailable` counts like the gateway's own refusals."""
    async with scripted(reply_wait_ms=500, drain_ms=0) as (place, script), place.viewer("bob") as bob:
        await bob.until("keyframe")
        await script.stop()
        assert (await bob.ask("send_chat", text="hello"))["code"] == "unavailable"
        assert place.metric("refusals_total", code="unavailable") == 1


async def test_flooding_ends_the_connection() -> None:
    """Far beyond the limits is 4504; a few mistakes are not."""
    async with show(flood_refusals_max=50) as place, place.viewer("bob") as bob, place.viewer("eve") as eve:
        for _ in range(20):
            await eve.socket.send("oops")
        for _ in range(80):
            await bob.socket.send("x")
        assert await bob.closed() == 4504
        await place.clock.advance(2)
        assert (await eve.ask("send_likes"))["type"] == "accepted"


async def test_a_retry_by_the_same_id_gets_the_original_outcome() -> None:
    """Also over a new connection; the same id for another command is refused."""
    async with show() as place:
        async with place.viewer("bob") as bob:
            await bob.send("send_chat", "once", text="hello")
            first = await bob.until("accepted")
        async with place.viewer("bob") as bob:
            await bob.send("send_chat", "once", text="hello")
            assert await bob.until("accepted") == first
            await bob.send("send_chat", "once", text="other")
            assert (await bob.until("refused"))["code"] == "id_reused"


async def test_viewers_cannot_send_what_only_gateways_may() -> None:
    """Backend commands are forbidden to every token."""
    async with show() as place, place.viewer("anna", role=Role.anchor) as anna:
        commands = ({"type": "request_keyframe"}, {"type": "report_likes", "count": 5}, {"type": "report_audience", "gateway": "g", "viewers": 5})
        for i, command in enumerate(commands):
            await anna.socket.send(orjson.dumps({"id": f"b{i}", "command": command}).decode())
            assert (await anna.until("refused", id=f"b{i}"))["code"] == "forbidden"


async def test_likes_of_all_viewers_become_one_report_and_each_is_answered() -> None:
    """The sum is journaled before any viewer gets a yes; the room sees the total."""
    async with show(likes_report_ms=100) as place, place.viewer("bob") as bob, place.viewer("eve") as eve:
        ids = [await bob.send("send_likes", count=3), await bob.send("send_likes", count=4)]
        await eve.send("send_likes", "e1", count=5)
        assert [(await bob.until("accepted"))["id"] for _ in ids] == ids
        assert (await eve.until("accepted"))["id"] == "e1"
        async with place.viewer("late") as late:
            keyframe = await late.until("keyframe")
            total = keyframe.get("likes", 0)
            while total < 12:
                total = max(e["total"] for e in await late.events(1) if e["type"] == "likes_added")
            assert total == 12
