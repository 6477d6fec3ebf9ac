"""The contract is enough: a raffle, defined here and known to no other file, works from the command to the replay after SIGKILL.

The server and the client of these tests run in processes of their own. `install` adds the raffle to the list of features there, before anything
reads the list. The processes of other tests never see it.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import aiohttp
import orjson
from msgspec import Meta, Struct
from msgspec.structs import replace

from liveroom.features.entitlements import EntitlementFold
from liveroom.features.feature import Admission, Feature, RoomRoute, StockChange, View
from liveroom.messages.base import ANCHORS, VIEWERS, CommandBase, EventBase
from liveroom.messages.fields import Seq
from liveroom.messages.settings import Section, setting

if TYPE_CHECKING:
    from tests.serving import Server

ROOM = "fair"
TICKETS = 3
#: More users than tickets, so that some of them find none.
USERS = 8
#: Generated page -> its words about the raffle.
PAGES = {
    "commands.md": "Draw a ticket of a raffle",
    "events.md": "A user drew a ticket",
    "errors.md": "every ticket of the raffle is drawn",
    "configuration.md": "Raffles in one room",
    "openapi.yaml": "commands/draw_ticket",
    "asyncapi.yaml": "ticket_drawn",
}


# The vocabulary


class OpenRaffle(CommandBase, frozen=True, tag="open_raffle"):
    """Open a raffle; its id is the seq of its event."""

    roles = ANCHORS
    results = {"raffle": "the id of the raffle"}
    tickets: Annotated[int, Meta(ge=1, le=1_000)]


class DrawTicket(CommandBase, frozen=True, tag="draw_ticket"):
    """Draw a ticket of a raffle; each user gets one at most."""

    roles = VIEWERS
    results = {"ticket": "the number on the ticket"}
    moves_money = True
    raffle: Seq


class RaffleOpened(EventBase, frozen=True, tag="raffle_opened"):
    """A raffle opened."""

    tickets: int


class TicketDrawn(EventBase, frozen=True, tag="ticket_drawn"):
    """A user drew a ticket; `left` tickets are left."""

    raffle: int
    user: str
    ticket: int
    left: int


class RaffleEnded(EventBase, frozen=True, tag="raffle_ended"):
    """A raffle ended with its room."""

    raffle: int


class RaffleView(Struct, frozen=True):
    """A raffle inside a keyframe."""

    raffle: int
    tickets: int
    left: int


class RaffleSettings(Section, frozen=True):
    """Settings of raffles."""

    raffles_max: Annotated[int, setting("Raffles in one room", ge=1, le=9)] = 1


class Tickets(Struct, frozen=True):
    """The raffles of a room."""

    raffles: tuple[RaffleView, ...]


# Its fold, its admission, its entitlements


def fold_raffles(raffles: tuple[RaffleView, ...], event: object, seq: int, time_ms: int) -> tuple[RaffleView, ...]:
    """The raffles of a room after one event."""
    match event:
        case RaffleOpened():
            return (*raffles, RaffleView(seq, event.tickets, event.tickets))
        case TicketDrawn():
            return tuple(replace(view, left=event.left) if view.raffle == event.raffle else view for view in raffles)
        case RaffleEnded():
            return tuple(view for view in raffles if view.raffle != event.raffle)
    return raffles


class OwnedTicket(Struct, frozen=True):
    """A user's ticket."""

    raffle: int
    ticket: int


class OwnedTickets(Struct):
    """One user's tickets."""

    tickets: tuple[OwnedTicket, ...] = ()


class TicketRow(Struct, frozen=True, array_like=True):
    """A user's ticket, in a chunk for gateways."""

    raffle: int
    user: str
    ticket: int


class TicketRows(Struct):
    """All users' tickets."""

    tickets: tuple[TicketRow, ...] = ()


class TicketEntitlements(EntitlementFold):
    """The tickets by raffle."""

    __slots__ = ("_raffles",)
    rows = TicketRows
    owned = OwnedTickets

    def __init__(self, owners: set[str]) -> None:
        super().__init__(owners)
        self._raffles: dict[int, dict[str, int]] = {}

    def load(self, rows: TicketRows) -> None:
        for row in rows.tickets:
            self._add(row.raffle, row.user, row.ticket)

    def adopt(self, user: str, owned: OwnedTickets) -> None:
        for one in owned.tickets:
            self._add(one.raffle, user, one.ticket)

    def owned_by(self, user: str) -> dict[str, list[Any] | dict[Any, Any]]:
        return {"tickets": [OwnedTicket(raffle, users[user]) for raffle, users in self._raffles.items() if user in users]}

    def users(self) -> Iterator[Collection[str]]:
        yield from self._raffles.values()

    def _add(self, raffle: int, user: str, ticket: int) -> None:
        self._raffles.setdefault(raffle, {})[user] = ticket
        self._owners.add(user)

    def _drawn(self, seq: int, event: TicketDrawn) -> None:
        self._add(event.raffle, event.user, event.ticket)

    def _ended(self, seq: int, event: RaffleEnded) -> int:
        return len(self._raffles.pop(event.raffle, {}))

    changes = {TicketDrawn: _drawn, RaffleEnded: _ended}


DRAW = Admission(
    command=DrawTicket,
    claim=lambda command: (command.raffle, 1),
    empty_code="no_ticket_left",
    changes={
        RaffleOpened: lambda seq, event: StockChange(seq, (event.tickets, 0), is_new=True),
        TicketDrawn: lambda seq, event: StockChange(event.raffle, (event.left, 0), event.user),
        RaffleEnded: lambda seq, event: StockChange(event.raffle, end_code="raffle_over"),
    },
    views="raffles",
    view=lambda view: StockChange(view.raffle, (view.left, 0), total=view.tickets),
    one_per_user=True,
)

FEATURE = Feature(
    name="raffle",
    rules=__name__,
    commands=(OpenRaffle, DrawTicket),
    events=(RaffleOpened, TicketDrawn, RaffleEnded),
    settings=RaffleSettings,
    refusals={
        "no_ticket_left": (409, "every ticket of the raffle is drawn"),
        "raffle_over": (409, "the raffle is over"),
        "too_many_raffles": (409, "the room has as many raffles as it may have"),
    },
    views=(View("raffles", tuple[RaffleView, ...], (), (RaffleOpened, TicketDrawn, RaffleEnded), fold_raffles),),
    admission=DRAW,
    entitlements=TicketEntitlements,
    closing_bytes=1_000,
    routes=(RoomRoute(name="raffles", summary="The raffles of a room", body=Tickets, make=lambda view, now_ms: Tickets(view.keyframe.raffles)),),
)


# Its rules

from liveroom.features.decision import Decided, Decision, Refusal, Turn  # noqa: E402
from liveroom.features.ruleset import Rules  # noqa: E402
from liveroom.features.state import RoomState  # noqa: E402


class Raffle(Struct):
    """A raffle that has not ended: user -> ticket, in the order of the draws."""

    tickets: int
    drawn: dict[str, int] = {}


class Raffles(Struct):
    """The raffles of a room by the seq of their opening."""

    live: dict[int, Raffle] = {}


def of(room: RoomState) -> Raffles:
    """The room's part of this feature, or an empty one that is not kept."""
    return room.raffle or Raffles()


def change(room: RoomState) -> Raffles:
    """The room's part of this feature, to fold an event into it."""
    part: Raffles | None = room.raffle
    if part is None:
        part = room.raffle = Raffles()
    return part


def _open(turn: Turn, command: OpenRaffle) -> Decision:
    if len(of(turn.state).live) >= turn.rules.raffles_max:
        return Refusal("too_many_raffles", "end a raffle first")
    return Decided((RaffleOpened(command.tickets),), {"raffle": turn.state.seq})


def _draw(turn: Turn, command: DrawTicket) -> Decision:
    raffle = of(turn.state).live.get(command.raffle)
    if raffle is None:
        return Refusal("raffle_over", "there is no such raffle any more")
    user, drawn = turn.sender.user, len(raffle.drawn)
    if user in raffle.drawn:
        return Decided((), {"ticket": raffle.drawn[user]})
    if drawn == raffle.tickets:
        return Refusal("no_ticket_left", "every ticket is drawn")
    return Decided((TicketDrawn(command.raffle, user, drawn + 1, raffle.tickets - drawn - 1),), {"ticket": drawn + 1})


def _opened(state: RoomState, event: RaffleOpened, seq: int, time_ms: int) -> None:
    change(state).live[seq] = Raffle(event.tickets)


def _drawn(state: RoomState, event: TicketDrawn, seq: int, time_ms: int) -> None:
    change(state).live[event.raffle].drawn[event.user] = event.ticket


def _ended(state: RoomState, event: RaffleEnded, seq: int, time_ms: int) -> None:
    del change(state).live[event.raffle]


RULES = Rules(
    state=Raffles,
    decide={OpenRaffle: _open, DrawTicket: _draw},
    evolve={RaffleOpened: _opened, TicketDrawn: _drawn, RaffleEnded: _ended},
    close=lambda turn: tuple(RaffleEnded(number) for number in of(turn.state).live),
    entitlements=lambda state: (
        ("tickets", TicketRow(number, user, ticket)) for number, one in of(state).live.items() for user, ticket in one.drawn.items()
    ),
    keyframe=lambda state: {
        "raffles": tuple(RaffleView(number, one.tickets, one.tickets - len(one.drawn)) for number, one in of(state).live.items()),
    },
)


# Programs for processes of their own


def install() -> None:
    """Add the raffle to the features of this process."""
    from liveroom.features import registry

    assert "liveroom.protocol.commands" not in sys.modules, "the list of features was read already"
    vars(registry)["FEATURES"] = (*registry.FEATURES, FEATURE)


def serve(*_command: str) -> None:
    """Run `liveroom` with the raffle; the arguments are the whole command that would run it without."""
    install()
    del sys.argv[1:4]  # python -m liveroom
    from liveroom.cli import main

    main()


def play(gateway: str, tokens: str, raffle: str) -> None:
    """Enter as every user, draw a ticket each, and print replies, states and entitlements as JSON."""
    install()
    from liveroom.client import CommandRefused, connect

    async def one(user: str, token: str) -> tuple[str, dict[str, Any]]:
        async with connect(gateway, room=ROOM, token=token) as room:
            try:
                reply = (await room.send(DrawTicket(int(raffle)), id="draw")).result
            except CommandRefused as refused:
                reply = {"refused": refused.code}
            async with asyncio.timeout(20):
                while room.state.raffles[0].left or ("ticket" in reply and not room.entitlements.tickets):
                    await anext(room)
            return user, {"reply": reply, "raffles": room.state.raffles, "tickets": room.entitlements.tickets}

    async def everybody() -> dict[str, Any]:
        return dict(await asyncio.gather(*(one(user, token) for user, token in orjson.loads(tokens).items())))

    from liveroom.protocol.codec import encode

    sys.stdout.buffer.write(encode(asyncio.run(everybody())))


def describe() -> None:
    """Print the reference pages that name the raffle."""
    install()
    from docs.generate.__main__ import generated

    print(orjson.dumps({path.name: text for path, text in generated().items()}).decode())


def _program(name: str) -> tuple[str, ...]:
    return sys.executable, "-c", f"from {__name__} import {name}; {name}(*__import__('sys').argv[1:])"


def _server(directory: Path, *flags: str) -> Server:
    from tests.serving import Server  # not at the top: it reads the list of features

    return Server(directory / "data", *flags, within=_program("serve"))


async def _output(name: str, *arguments: str) -> Any:
    process = await asyncio.create_subprocess_exec(*_program(name), *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    async with asyncio.timeout(60):
        out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()[-3_000:]
    return orjson.loads(out)


async def _played(server: Server, raffle: int, name: str = "user") -> Any:
    tokens = {user: server.token(ROOM, user) for user in (f"{name}{number}" for number in range(USERS))}
    return await _output("play", server.gateway_url, orjson.dumps(tokens).decode(), str(raffle))


async def _raffles(server: Server) -> Any:
    async with aiohttp.ClientSession() as session, session.get(f"{server.console_url}/v1/rooms/{ROOM}/raffles") as answer:
        assert answer.status == 200, await answer.text()
        return orjson.loads(await answer.read())["raffles"]


async def test_a_raffle_works_from_the_command_to_the_replay(tmp_path: Path) -> None:
    """Rules, settings, HTTP, WebSocket, admission, fold, entitlements and replay need nothing but the contract."""
    async with _server(tmp_path, "--rooms-raffles-max", "2") as server:
        await server.command(ROOM, "open_room", {"title": "Fair"})
        raffle = (await server.command(ROOM, "open_raffle", {"tickets": TICKETS}))["result"]["raffle"]
        await server.command(ROOM, "open_raffle", {"tickets": 1})
        refused = await server.command(ROOM, "open_raffle", {"tickets": 1})
        assert (refused["http_status"], refused["code"]) == (409, "too_many_raffles")

        played = await _played(server, raffle)
        winners = {user: one["reply"]["ticket"] for user, one in played.items() if "ticket" in one["reply"]}
        assert sorted(winners.values()) == list(range(1, TICKETS + 1))
        for user, one in played.items():
            assert user in winners or one["reply"] == {"refused": "no_ticket_left"}
            assert one["tickets"] == ([{"raffle": raffle, "ticket": winners[user]}] if user in winners else [])
            assert one["raffles"][0] == {"raffle": raffle, "tickets": TICKETS, "left": 0}
        shown = await _raffles(server)
        assert shown[0] == {"raffle": raffle, "tickets": TICKETS, "left": 0}

        await server.kill()
        await server.start()
        assert await _raffles(server) == shown
        assert await _played(server, raffle) == played

        await server.command(ROOM, "close_room", {})
        assert await _raffles(server) == []


async def test_the_gateway_refuses_draws_of_a_raffle_without_tickets(tmp_path: Path) -> None:
    """The admission queue knows from the raffle's events that no ticket is left, so later draws never reach the engine."""
    async with _server(tmp_path) as server:
        await server.command(ROOM, "open_room", {"title": "Fair"})
        raffle = (await server.command(ROOM, "open_raffle", {"tickets": TICKETS}))["result"]["raffle"]
        await _played(server, raffle)
        await _played(server, raffle, "late")
        async with aiohttp.ClientSession() as session, session.get(f"{server.console_url}/metrics") as answer:
            metrics = await answer.text()
        found = re.search(r'^liveroom_gateway_claims_answered_here_total\{code="no_ticket_left"\} (\S+)', metrics, re.MULTILINE)
        assert found is not None
        assert float(found[1]) == USERS


async def test_the_reference_describes_a_raffle() -> None:
    """The pages of commands, events, refusals, settings and both API descriptions follow from the list of features."""
    pages = await _output("describe")
    for page, words in PAGES.items():
        assert words in pages[page], page


def test_no_other_file_knows_the_raffle() -> None:
    """The proof holds only if nothing else was written for it."""
    root = Path(__file__).parents[2]
    files = subprocess.run(["git", "ls-files", "*.py", "*.js", "*.toml"], cwd=root, capture_output=True, text=True, check=True).stdout.split()
    assert [file for file in files if "draw_ticket" in (root / file).read_text(encoding="utf-8")] == ["tests/features/test_plug_in.py"]
