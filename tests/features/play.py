"""A room played by hand: one command after the other, each event folded, time moved only by the test."""

from __future__ import annotations

from random import Random
from typing import Any

from msgspec.structs import replace

from liveroom.config.schema import RoomsConfig
from liveroom.features.chat.messages import SendChat
from liveroom.features.lifecycle.messages import OpenRoom
from liveroom.features.showcase.messages import AddProduct, Product
from liveroom.messages.fields import Role
from liveroom.protocol.commands import Command
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Keyframe, Result, RoomDetail
from liveroom.protocol.records import Request, Sender
from liveroom.rooms.room import Decided, Refusal, RoomState, decide, decide_due, detail, encode_state, evolve, keyframe

ROOM = "room-1"
START_MS = 1_700_000_000_000

ANCHOR = Sender("anna", "Anna", Role.anchor)
MODERATOR = Sender("mo", "Mo", Role.moderator)
PLATFORM = Sender("platform", "Platform", Role.platform)
VERA = Sender("vera", "Vera")
VICTOR = Sender("victor", "Victor")
BELLA = Sender("bella", "Bella", buyer=True)
GATEWAY = Sender("gateway", "gateway", backend=True)

SHIRT = Product("shirt", "Linen shirt", 19_900)
SHOES = Product("shoes", "Running shoes", 49_900)


class Play:
    """A room with its clock and everything that ever happened in it."""

    def __init__(self, *, opened: bool = True, **rules: Any) -> None:
        self.rules = replace(RoomsConfig(), **rules)
        self.rng = Random(1)
        self.now_ms = START_MS
        self.state: RoomState | None = None
        self.story: list[tuple[int, int, Event]] = []
        if opened:
            self.does(ANCHOR, OpenRoom("Spring sale"))

    @property
    def room(self) -> RoomState:
        assert self.state is not None
        return self.state

    def tries(self, sender: Sender, command: Command) -> Decided | Refusal:
        """Decide, check that deciding changed nothing, fold."""
        before = encode_state(self.state)
        decision = decide(self.state, Request("c1", ROOM, sender, command), self.now_ms, self.rng, self.rules)
        assert encode_state(self.state) == before, "deciding never changes the state"
        if isinstance(decision, Decided):
            assert decision.result.keys() == command.results.keys(), "an answer holds what its command says of it"
            self._fold(decision.events)
        return decision

    def does(self, sender: Sender, command: Command) -> Result:
        """A command that must be accepted; its result."""
        decision = self.tries(sender, command)
        assert isinstance(decision, Decided), decision
        return decision.result

    def events(self, sender: Sender, command: Command) -> tuple[Event, ...]:
        """A command that must be accepted; its events."""
        decision = self.tries(sender, command)
        assert isinstance(decision, Decided), decision
        return decision.events

    def refused(self, sender: Sender, command: Command) -> Refusal:
        """A command that must be refused; the refusal."""
        decision = self.tries(sender, command)
        assert isinstance(decision, Refusal), decision
        return decision

    def says(self, sender: Sender, text: str = "hello") -> Result:
        return self.does(sender, SendChat(text))

    def adds(self, *products: Product) -> None:
        for product in products:
            self.does(ANCHOR, AddProduct(product))

    def passes(self, duration_ms: int) -> tuple[Event, ...]:
        """Let time pass, then do what became due."""
        self.now_ms += duration_ms
        events = decide_due(self.room, self.now_ms)
        self._fold(events)
        return events

    def _fold(self, events: tuple[Event, ...]) -> None:
        for event in events:
            seq = self.state.seq if self.state else 0
            self.story.append((seq, self.now_ms, event))
            self.state = evolve(self.state, event, seq, self.now_ms)

    @property
    def keyframe(self) -> Keyframe:
        return keyframe(ROOM, self.room, self.now_ms, self.rules)

    @property
    def detail(self) -> RoomDetail:
        return detail(ROOM, self.room, self.now_ms, self.rules)
