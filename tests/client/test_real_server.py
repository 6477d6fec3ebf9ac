"""The client against the real server, over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from liveroom.app import App
from liveroom.auth.tokens import make_token
from liveroom.client import Banned, CommandRefused, Disconnected, Joined, Reconnecting, Room, RoomEvent, connect
from liveroom.config.schema import Config
from liveroom.config.settings import load_config
from liveroom.features.chat.messages import ChatSent, DeleteMessage, SendChat, SetChatBudget, SetSlowMode
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom, SetAnnouncement
from liveroom.features.moderation.messages import BanUser, MuteUser
from liveroom.features.questions.messages import AnswerQuestion, DismissQuestion, PickQuestion
from liveroom.features.showcase.messages import AddProduct, PinProduct, Product, RemoveProduct
from liveroom.messages.base import EventBase
from liveroom.messages.fields import Role
from liveroom.protocol.commands import Command
from loadtests.lib.target import Target

SECRET = "a secret of this test, long enough"


class Server(NamedTuple):
    """A running server and how to enter its room."""

    app: App
    config: Config
    enter: Callable[..., Room]


def config_of(directory: Path, gateway_port: int = 0) -> Config:
    flags = {("liveroom", "data_dir"): str(directory), ("console", "port"): "0", ("gateway", "port"): str(gateway_port), ("gateway", "drain_ms"): "0"}
    return load_config(None, {}, {**flags, ("auth", "secret"): SECRET, ("gateway", "reconnect_spread_ms"): "50"})


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server with an open room."""
    config = config_of(tmp_path)
    app = App(config)
    await app.start()
    await Target(app.gateway_url, app.console_url, config.auth).open_room("demo", "Demo")

    def enter(user: str, role: Role = Role.viewer, compression: bool = True, join_timeout_s: float = 10) -> Room:
        token = make_token(SECRET, config.auth, user=user, room="demo", role=role, lifetime_s=600)
        return connect(app.gateway_url, "demo", token, compression=compression, join_timeout_s=join_timeout_s)

    yield Server(app, config, enter)
    await app.stop()


async def until(room: Room, kind: type[EventBase]) -> RoomEvent:
    """The next event of one kind."""
    async with asyncio.timeout(20):
        async for item in room:
            if isinstance(item, RoomEvent) and isinstance(item.event, kind):
                return item
    raise AssertionError("iteration ended")


@pytest.mark.parametrize("compression", [True, False])
async def test_what_one_says_the_other_sees(server: Server, compression: bool) -> None:
    """A line said by one viewer reaches another, compressed or not, and its answer names it."""
    async with server.enter("ann", compression=compression) as ann, server.enter("bob", compression=compression) as bob:
        said = await ann.send_chat("你好 <b>hi</b>")
        item = await until(bob, ChatSent)
        assert isinstance(item.event, ChatSent)
        assert (item.seq, item.event.user, item.event.text) == (said.result["message"], "ann", "你好 <b>hi</b>")


async def test_refusals_arrive_as_exceptions(server: Server) -> None:
    """A forbidden command raises an exception with the code of the room or the gateway."""
    async with server.enter("ann") as ann:
        with pytest.raises(CommandRefused) as refused:
            await ann.send(MuteUser("bob", 60_000))
        assert refused.value.code == "forbidden"
        with pytest.raises(CommandRefused) as refused:
            await ann.send_chat("bell \a")
        assert refused.value.code == "control_characters"


async def test_a_retry_has_the_first_outcome(server: Server) -> None:
    """The same command with the same id happens once."""
    async with server.enter("ann") as ann:
        first = await ann.send(SendChat("once"), id="my-id")
        assert await ann.send(SendChat("once"), id="my-id") == first


async def test_the_folded_state_is_the_servers(server: Server) -> None:
    """After every kind of event, the folded state equals a newcomer's."""
    product, other = Product("p1", "Tea", 990), Product("p2", "Cup", 1_990)
    async with server.enter("anna", Role.anchor) as anchor, server.enter("vera") as viewer:
        before: list[Command] = [SetAnnouncement("Sale"), AddProduct(product), AddProduct(other), PinProduct("p1"), SetChatBudget(50)]
        for command in before:
            await anchor.send(command)
        await viewer.request_try_on("p1")
        await viewer.request_try_on("p2")
        questions = [int((await viewer.ask_question(text)).result["question"]) for text in ("a?", "b?", "c?")]
        line = await viewer.send_chat("hello")
        await viewer.send_likes(7)
        after: list[Command] = [
            AddProduct(Product("p1", "Green tea", 890)),
            RemoveProduct("p2"),
            PickQuestion(questions[0]),
            PickQuestion(questions[1]),
            AnswerQuestion(questions[1], "yes"),
            DismissQuestion(questions[2]),
            DeleteMessage(int(line.result["message"])),
            SendChat("kept"),
            SetSlowMode(2_000),
            CloseRoom("break"),
            OpenRoom("Again"),
        ]
        for command in after:
            last = await anchor.send(command)
        while viewer.state.seq < last.seq:
            await anext(viewer)
        async with server.enter("late") as late:
            seq = late.state.seq
            async with asyncio.timeout(20):
                while viewer.state.seq < seq:
                    await anext(viewer)
                while late.state.seq < viewer.state.seq:
                    await anext(late)
            ignored = {"time_ms": 0, "viewers": 0, "unique": 0, "peak": 0}
            assert msgspec.structs.replace(viewer.state, **ignored) == msgspec.structs.replace(late.state, **ignored)


async def test_a_ban_puts_out_until_it_ends(server: Server) -> None:
    """A banned viewer is put out, learns why, waits for the end of the ban and is inside again."""
    async with server.enter("anna", Role.anchor) as anchor, server.enter("bob") as bob:
        await anchor.send(BanUser("bob", 1_500, "spam"))
        items = []
        async with asyncio.timeout(20):
            async for item in bob:
                items.append(item)
                if isinstance(item, Joined) and any(isinstance(before, Reconnecting) for before in items):
                    break
        told = next(item for item in items if isinstance(item, Banned))
        waits = next(item for item in items if isinstance(item, Reconnecting))
        assert (told.reason, waits.code) == ("spam", 4502)
        assert waits.delay_ms >= told.until_ms - told.time_ms


async def test_entering_while_banned_fails_with_the_reason(server: Server) -> None:
    """A client that cannot get in within its time says why."""
    async with server.enter("anna", Role.anchor) as anchor:
        await anchor.send(BanUser("bob", 60_000, "spam"))
        with pytest.raises(Disconnected) as end:
            await server.enter("bob", join_timeout_s=1).__aenter__()
        assert end.value.code == 4502


async def test_an_unknown_room_and_a_bad_token(server: Server) -> None:
    """A token of another secret is final; a room that was never opened is not, but entering has its time."""
    with pytest.raises(Disconnected) as end:
        await connect(
            server.app.gateway_url, "demo", make_token("x" * 40, server.config.auth, user="u", room="demo", role=Role.viewer, lifetime_s=60)
        ).__aenter__()
    assert end.value.code == 4500
    token = make_token(SECRET, server.config.auth, user="u", room="nowhere", role=Role.viewer, lifetime_s=60)
    with pytest.raises(Disconnected) as end:
        await connect(server.app.gateway_url, "nowhere", token, join_timeout_s=2).__aenter__()
    assert end.value.code == 4004


async def test_a_restart_loses_and_doubles_nothing(tmp_path: Path, unused_tcp_port: int) -> None:
    """The server drains and comes back at the same address: the client resumes, and sees each line once and in order."""
    config = config_of(tmp_path, unused_tcp_port)
    app = App(config)
    await app.start()
    await Target(app.gateway_url, app.console_url, config.auth).open_room("demo", "Demo")
    token = make_token(SECRET, config.auth, user="anna", room="demo", role=Role.anchor, lifetime_s=600)
    async with connect(app.gateway_url, "demo", token) as room:
        for number in range(5):
            await room.send_chat(str(number))
        await app.stop()
        sending = asyncio.create_task(room.send_chat("5"))
        app = App(config)
        await app.start()
        try:
            await sending
            texts: list[str] = []
            reconnects = 0
            async with asyncio.timeout(20):
                while texts[-1:] != ["5"]:
                    item = await anext(room)
                    reconnects += isinstance(item, Reconnecting)
                    if isinstance(item, RoomEvent) and isinstance(item.event, ChatSent):
                        texts.append(item.event.text)
            assert texts == ["0", "1", "2", "3", "4", "5"]
            assert reconnects
        finally:
            await room.close()
            await app.stop()
