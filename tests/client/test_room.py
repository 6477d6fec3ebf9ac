"""The client against a gateway that is played by hand."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

import pytest

from liveroom.client import (
    CommandRefused,
    CommandUnanswered,
    Disconnected,
    Entitlements,
    EntitlementsReplaced,
    Item,
    Joined,
    PersonalEvent,
    Reconnecting,
    Room,
    RoomEvent,
    Skipped,
    StateReplaced,
    TooManyCommands,
    connect,
)
from liveroom.client import room as room_module
from liveroom.client.outbox import COMMANDS_WAITING_MAX, RETRIES_MAX
from liveroom.features.chat.messages import SendChat
from liveroom.features.flash_sale.messages import HoldConfirmed
from liveroom.features.lifecycle.messages import AnnouncementSet
from liveroom.features.moderation.messages import MuteUser
from liveroom.messages.errors import BadMessage
from liveroom.protocol.codec import event_object
from liveroom.protocol.frames import Accepted, GoingAway, Personal, Refused
from tests.client.conftest import AcceptedHandshake, Gateway, delta, joined, keyframe

T = TypeVar("T")


@pytest.fixture(autouse=True)
async def no_tasks_left() -> AsyncIterator[None]:
    """Nothing runs on after a test: the client takes its tasks with it."""
    yield
    async with asyncio.timeout(10):
        while [task for task in asyncio.all_tasks() if "liveroom/client" in repr(task)]:
            await asyncio.sleep(0.01)


async def entered(gateway: Gateway, room: Room, seq: int = 0) -> AcceptedHandshake:
    """Enter `room` while the gateway welcomes it."""
    entering = asyncio.create_task(room.__aenter__())
    visit = await gateway.welcome(seq)
    await entering
    return visit


async def next_of(room: Room, kind: type[T]) -> T:
    """The next item of one kind."""
    async with asyncio.timeout(10):
        async for item in room:
            if isinstance(item, kind):
                return item
    raise AssertionError("iteration ended")


async def test_entering_gives_the_state_and_then_events(gateway: Gateway) -> None:
    """A room is entered once its state is there and what the user owns; then events come, typed, and both follow them."""
    room = connect(gateway.url, "demo", "secret-token")
    visit = await entered(gateway, room, seq=7)
    assert visit.path == "/v1/rooms/demo"
    assert visit.headers["Authorization"] == "Bearer secret-token"
    assert (room.state, room.entitlements) == (keyframe(7), Entitlements(7))
    paid = HoldConfirmed(4, 5, "u1", 2, 0, 100, "p")
    await visit.send(delta(7, AnnouncementSet("sale"), {"type": "gift_sent"}), Personal(9, 3, event_object(paid, 9)))
    items: list[Item] = [await anext(room) for _ in range(6)]
    assert isinstance(items[0], Joined)
    assert items[1:3] == [StateReplaced(keyframe(7)), EntitlementsReplaced(Entitlements(7))]
    assert items[3] == RoomEvent(7, 2, AnnouncementSet("sale"))
    assert items[5] == PersonalEvent(9, 3, paid)
    assert room.state == keyframe(9, time_ms=2, announcement="sale")
    assert room.entitlements == Entitlements(7, bought={4: 2})
    await room.close()


async def test_a_command_gets_its_answer(gateway: Gateway) -> None:
    """Accepted gives the frame, refused raises with code, detail, field and retry time; answers may come in any order."""
    room = connect(gateway.url, "demo", "t")
    visit = await entered(gateway, room)
    first, second = asyncio.create_task(room.send_chat("hi")), asyncio.create_task(room.send(MuteUser("u2", 1_000), id="mine"))
    one, two = await visit.command(), await visit.command()
    assert one.command == SendChat("hi")
    assert (two.id, two.command) == ("mine", MuteUser("u2", 1_000))
    await visit.send(Refused("mine", "forbidden", "no", field="user", retry_after_ms=5), Accepted(one.id, 3, {"shown": True}))
    assert (await first).result == {"shown": True}
    with pytest.raises(CommandRefused) as refused:
        await second
    assert (refused.value.code, refused.value.detail, refused.value.field, refused.value.retry_after_ms) == ("forbidden", "no", "user", 5)
    await room.close()


async def test_a_lost_connection_is_resumed(gateway: Gateway) -> None:
    """After a loss the client comes back with stream id and seq and goes on without a double."""
    room = connect(gateway.url, "demo", "t")
    visit = await entered(gateway, room)
    await visit.send(delta(0, AnnouncementSet("a"), AnnouncementSet("b")))
    visit.socket.transport.abort()
    again = await gateway.visit()
    assert again.query == {"stream_id": "e1", "seq": "2"}
    await again.send(joined(1, resumed=True), delta(1, AnnouncementSet("b"), AnnouncementSet("c")))
    seen = [await next_of(room, RoomEvent) for _ in range(2)]
    assert (await next_of(room, Reconnecting)).code == 1006
    seen.append(await next_of(room, RoomEvent))
    assert [item.seq for item in seen] == [0, 1, 2]
    await room.close()


async def test_a_gap_is_noticed(gateway: Gateway) -> None:
    """A delta beyond the cursor is never applied: the client leaves and resumes where it stands."""
    room = connect(gateway.url, "demo", "t")
    visit = await entered(gateway, room)
    await visit.send(delta(3, AnnouncementSet("lost")))
    again = await gateway.visit()
    assert again.query["seq"] == "0"
    assert (await next_of(room, Reconnecting)).code == 3000
    await room.close()


async def test_what_was_skipped_is_told(gateway: Gateway) -> None:
    """A keyframe in the middle, after `skipped`, replaces the state."""
    room = connect(gateway.url, "demo", "t")
    visit = await entered(gateway, room)
    await next_of(room, StateReplaced)
    await visit.send(Skipped(0, 50), keyframe(50, likes=9), delta(50, AnnouncementSet("x")))
    assert await next_of(room, Skipped) == Skipped(0, 50)
    assert (await next_of(room, StateReplaced)).state.likes == 9
    assert (await next_of(room, RoomEvent)).seq == 50
    await room.close()


async def test_a_drain_names_the_delay(gateway: Gateway) -> None:
    """After `going_away` the client comes back after exactly the delay that it was given."""
    room = connect(gateway.url, "demo", "t")
    visit = await entered(gateway, room)
    await visit.send(GoingAway(123))
    await visit.close(1012, "drain")
    assert await next_of(room, Reconnecting) == Reconnecting(1012, "drain", 123, 1)
    await gateway.visit()
    await room.close()


@pytest.mark.parametrize("code", [4500, 4503, 4504])
async def test_a_final_close_ends_it(gateway: Gateway, code: int) -> None:
    """After 4500-4999 the client does not come back: iteration and commands raise, what had come is still yielded."""
    room = connect(gateway.url, "demo", "t")
    visit = await entered(gateway, room)
    sending = asyncio.create_task(room.send_chat("hi"))
    await visit.command()
    await visit.send(delta(0, AnnouncementSet("last")))
    await visit.close(code, "why")
    with pytest.raises(CommandUnanswered):
        await sending
    assert (await next_of(room, RoomEvent)).seq == 0
    with pytest.raises(Disconnected) as end:
        await anext(room)
    assert (end.value.code, end.value.reason) == (code, "why")
    with pytest.raises(Disconnected):
        await room.send_chat("still there?")
    await room.close()


async def test_a_refused_join_raises(gateway: Gateway) -> None:
    """Entering raises at once when the server says that it is of no use."""
    entering = asyncio.create_task(connect(gateway.url, "demo", "t").__aenter__())
    await (await gateway.visit()).close(4500, "bad token")
    with pytest.raises(Disconnected) as end:
        await entering
    assert end.value.code == 4500


async def test_a_refused_handshake_is_named_when_entering_fails(gateway: Gateway) -> None:
    """A status that does not pass within the time to join is raised with the server's words."""
    gateway.refuse = [404] * 1_000
    with pytest.raises(Disconnected) as end:
        await connect(gateway.url, "demo", "t", join_timeout_s=0.3).__aenter__()
    assert end.value.code == 404
    assert "not now" in end.value.reason


async def test_a_busy_gateway_is_tried_again(gateway: Gateway) -> None:
    """429 and 503 during the handshake pass."""
    gateway.refuse = [503, 429]
    room = connect(gateway.url, "demo", "t")
    await entered(gateway, room)
    await room.close()


async def test_nobody_there(unused_tcp_port: int) -> None:
    """Without an answer, entering raises after its time, with the reason."""
    with pytest.raises(Disconnected) as end:
        await connect(f"ws://127.0.0.1:{unused_tcp_port}", "demo", "t", join_timeout_s=0.2).__aenter__()
    assert end.value.code == 1006
    assert "could not enter" in end.value.reason


async def test_giving_up(gateway: Gateway) -> None:
    """With `give_up_s` a client that was inside stops coming back."""
    room = connect(gateway.url, "demo", "t", give_up_s=0.05)
    visit = await entered(gateway, room)
    gateway.refuse = [503] * 1_000
    visit.socket.transport.abort()
    with pytest.raises(Disconnected):
        await next_of(room, RoomEvent)
    await room.close()


async def test_tokens_are_refreshed(gateway: Gateway) -> None:
    """A token that is a function is asked before each attempt; without one an expired token is final."""
    tokens = iter(["old", "new"])

    async def token() -> str:
        return next(tokens)

    room = connect(gateway.url, "demo", token)
    visit = await entered(gateway, room)
    await visit.close(4000, "expired")
    assert (await gateway.visit()).headers["Authorization"] == "Bearer new"
    await room.close()

    room = connect(gateway.url, "demo", "only")
    visit = await entered(gateway, room)
    await visit.close(4000, "expired")
    with pytest.raises(Disconnected):
        await next_of(room, RoomEvent)
    await room.close()


async def test_a_token_function_that_never_answers_is_asked_again(gateway: Gateway) -> None:
    """A function that hangs costs one attempt, and the client does not hang with it."""
    asked = 0

    async def token() -> str:
        nonlocal asked
        asked += 1
        if asked == 2:
            await asyncio.sleep(3_600)
        return f"t{asked}"

    room = connect(gateway.url, "demo", token, join_timeout_s=0.5)
    visit = await entered(gateway, room)
    visit.socket.transport.abort()
    assert (await gateway.visit()).headers["Authorization"] == "Bearer t3"
    assert [(await next_of(room, Reconnecting)).code for _ in range(2)] == [1006, 3001]
    await room.close()


async def test_a_paused_application_is_no_silence_of_the_server(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the client does not read because items wait, no beat can be seen: the connection stays, and is judged again afterwards."""
    monkeypatch.setattr(room_module, "ITEMS_WAITING_MAX", 5)
    room = connect(gateway.url, "demo", "t")
    entering = asyncio.create_task(room.__aenter__())
    visit = await gateway.visit()
    await visit.send(joined(0, beat_ms=100), keyframe(0), Entitlements(0))
    await entering
    await visit.send(delta(0, *[AnnouncementSet(str(number)) for number in range(10)]))
    async with asyncio.timeout(10):
        while room._may_read.is_set():
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)  # the silence of five beats
    assert gateway.visits.empty()
    assert (await next_of(room, Reconnecting)).reason == "no data came from the server"
    await room.close()


async def test_commands_in_flight_are_sent_again(gateway: Gateway) -> None:
    """A command that was not answered goes out again with the same id, and gets its one answer on the new connection."""
    room = connect(gateway.url, "demo", "t")
    visit = await entered(gateway, room)
    sending = asyncio.create_task(room.send_chat("hi"))
    first = await visit.command()
    visit.socket.transport.abort()
    again = await gateway.visit()
    await again.send(joined(0, resumed=True))
    assert await again.command() == first
    await again.send(Accepted(first.id, 1), Refused(first.id, "muted", "late"))
    assert (await sending).seq == 1
    await room.close()


async def test_a_repeated_command_that_is_turned_away_is_tried_again(gateway: Gateway) -> None:
    """`rate_limited` at the door says nothing about a command that was sent before: it may have happened."""
    room = connect(gateway.url, "demo", "t")
    visit = await entered(gateway, room)
    sending = asyncio.create_task(room.send_chat("hi"))
    first = await visit.command()
    visit.socket.transport.abort()
    again = await gateway.visit()
    await again.send(joined(0, resumed=True))
    await again.command()
    await again.send(Refused(first.id, "rate_limited", "slowly"))
    assert await again.command() == first
    await again.send(Accepted(first.id, 1))
    assert (await sending).seq == 1
    await room.close()


async def test_an_unknown_outcome_is_asked_for_a_few_times(gateway: Gateway) -> None:
    """A command refused as `unavailable` is repeated with the same id, up to the limit; then the refusal is raised."""
    room = connect(gateway.url, "demo", "t")
    visit = await entered(gateway, room)
    sending = asyncio.create_task(room.send_chat("hi"))
    for _ in range(1 + RETRIES_MAX):
        command = await visit.command()
        await visit.send(Refused(command.id, "unavailable", "?"))
    with pytest.raises(CommandRefused) as refused:
        await sending
    assert refused.value.code == "unavailable"
    await room.close()


async def test_commands_have_limits(gateway: Gateway) -> None:
    """Too many at once, too large ones, broken ids and ids in use are refused here, before anything is sent."""
    room = connect(gateway.url, "demo", "t", command_timeout_s=0.2)
    visit = await entered(gateway, room)
    with pytest.raises(CommandRefused, match="too_large"):
        await room.send_chat("x" * 5_000)
    with pytest.raises(CommandRefused, match="bad_utf8"):
        await room.send_chat("\ud800")
    with pytest.raises(BadMessage):
        await room.send(SendChat("hi"), id="two words")
    waiting = [asyncio.create_task(room.send(SendChat("hi"), id=str(n))) for n in range(COMMANDS_WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(CommandRefused, match="id_reused"):
        await room.send(SendChat("hi"), id="0")
    with pytest.raises(TooManyCommands):
        await room.send_chat("one more")
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {CommandUnanswered}
    visit.socket.transport.abort()
    await room.close()


async def test_time_that_ran_out_tells_whether_the_command_went_out(gateway: Gateway) -> None:
    """A command that waited for a connection in vain was not sent, and names the last end; the outcome of one that went out is unknown."""
    room = connect(gateway.url, "demo", "t", command_timeout_s=0.2)
    visit = await entered(gateway, room)
    with pytest.raises(CommandUnanswered, match="outcome is unknown") as unknown:
        await room.send_chat("hi")
    assert (unknown.value.sent, unknown.value.code) == (True, 0)
    gateway.refuse = [503] * 1_000
    visit.socket.transport.abort()
    await next_of(room, Reconnecting)
    with pytest.raises(CommandUnanswered, match="this call did not send") as unsent:
        await room.send_chat("hi")
    assert not unsent.value.sent
    assert unsent.value.code in (1006, 503)
    await room.close()


async def test_leaving_fails_what_waits_and_ends_iteration(gateway: Gateway) -> None:
    """`close` ends iteration without an error, and a call that waits for an answer fails."""
    room = connect(gateway.url, "demo", "t")
    visit = await entered(gateway, room)
    sending = asyncio.create_task(room.send_chat("hi"))
    await visit.command()
    await room.close()
    with pytest.raises(CommandUnanswered):
        await sending
    assert [type(item) async for item in room] == [Joined, StateReplaced, EntitlementsReplaced]
    with pytest.raises(Disconnected):
        await room.send_chat("hi")


async def test_a_cancelled_application_leaves_cleanly(gateway: Gateway) -> None:
    """Cancelling the application closes the connection with 1000."""

    inside = asyncio.Event()

    async def application() -> None:
        async with connect(gateway.url, "demo", "t") as room:
            async for _ in room:
                inside.set()

    running = asyncio.create_task(application())
    visit = await gateway.welcome()
    await asyncio.wait_for(inside.wait(), 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await visit.socket.wait_closed()
    assert visit.socket.close_code == 1000


async def test_a_slow_application_stops_the_reading(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the application is behind, the client does not read: the gateway sees a slow viewer, the client's memory stays bounded."""
    monkeypatch.setattr(room_module, "ITEMS_WAITING_MAX", 50)
    room = connect(gateway.url, "demo", "t", compression=False)
    visit = await entered(gateway, room)
    count = 5_000  # 20 MB, more than the kernel's buffers take
    flood = asyncio.create_task(visit.send(*(delta(seq, AnnouncementSet("x" * 4_000)) for seq in range(count))))
    async with asyncio.timeout(10):
        while room._may_read.is_set() or not visit.socket.transport.get_write_buffer_size():
            await asyncio.sleep(0.01)
    for _ in range(1_000):  # turns of the loop: it would read on if it did
        await asyncio.sleep(0)
    assert not flood.done()
    assert len(room._backlog) < 60
    for seq in range(count):
        assert (await next_of(room, RoomEvent)).seq == seq
    await flood
    await room.close()


async def test_a_command_inside_the_loop_never_hangs(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """An application that waits for an answer while it is behind gets it; beyond the bound its backlog becomes the state."""
    monkeypatch.setattr(room_module, "ITEMS_WAITING_MAX", 5)
    room = connect(gateway.url, "demo", "t")
    room._backlog._items_max = 20
    visit = await entered(gateway, room)
    await next_of(room, StateReplaced)
    sending = asyncio.create_task(room.send_chat("hi"))
    command = await visit.command()
    await visit.send(*(delta(seq, AnnouncementSet(str(seq))) for seq in range(100)), Accepted(command.id, 100))
    assert (await sending).seq == 100
    while room.state.seq < 100:
        await anext(room)
    assert room.state.announcement == "99"
    await room.close()


async def test_a_silent_server_is_left(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stops answering pings is given up for a new connection."""
    monkeypatch.setattr(room_module, "PING_S", 0.01)
    monkeypatch.setattr(room_module, "PONG_S", 0.05)
    monkeypatch.setattr(room_module, "CLOSE_S", 0.05)
    room = connect(gateway.url, "demo", "t")
    visit = await entered(gateway, room)
    visit.socket.transport.pause_reading()
    again = await gateway.visit()
    assert again.query["seq"] == "0"
    visit.socket.transport.abort()
    await again.close(4500)
    await room.close()


@pytest.mark.parametrize("compression", [True, False])
async def test_compression_is_negotiated(gateway: Gateway, compression: bool) -> None:
    """permessage-deflate is offered unless it is turned off; frames arrive either way."""
    room = connect(gateway.url, "demo", "t", compression=compression)
    visit = await entered(gateway, room)
    assert ("permessage-deflate" in visit.headers.get("Sec-WebSocket-Extensions", "")) is compression
    await visit.send(delta(0, AnnouncementSet("长" * 500)))
    assert (await next_of(room, RoomEvent)).seq == 0
    await room.close()


@pytest.mark.parametrize(
    ("url", "room"), [("http://127.0.0.1", "demo"), ("127.0.0.1:8800", "demo"), ("ws://127.0.0.1", "a b"), ("ws://127.0.0.1", "")]
)
def test_wrong_arguments(url: str, room: str) -> None:
    """An address or a room id of a wrong form is an error at once."""
    with pytest.raises((ValueError, BadMessage)):
        connect(url, room, "t")


async def test_garbage_from_the_server_is_survived(gateway: Gateway) -> None:
    """A frame that is none ends the connection, not the client."""
    room = connect(gateway.url, "demo", "t")
    visit = await entered(gateway, room)
    await visit.send("{no json")
    again = await gateway.visit()
    await again.send(joined(0, resumed=True), delta(0, AnnouncementSet("x")))
    assert (await next_of(room, RoomEvent)).seq == 0
    await room.close()
