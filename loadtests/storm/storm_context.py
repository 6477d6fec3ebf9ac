"""The shared context of one process's customers: the room's address, its public events, and the transcript."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any, Final

import msgspec
import orjson
from msgspec import Struct

from liveroom.auth.tokens import make_token
from liveroom.config.schema import AuthConfig
from liveroom.messages.fields import Role
from loadtests.crowd.frame_audit import Event, FrameAudit, LatencyProbe, PhaseOf
from loadtests.lib.latency import LatencySeries
from loadtests.lib.lean_client import Address
from loadtests.storm.options import StormOptions
from loadtests.storm.stock_view import StockView
from loadtests.storm.transcript import Asked, End, Letter, Owned, Reply, Transcript

__all__ = ["CustomerRange", "StormContext"]

#: Connections of one process that are being opened at once.
OPENING_MAX: Final = 64
TOKEN_LIFETIME_S: Final = 86_400
#: Public events that say who got something.
SHOWN: Final = frozenset({"red_envelope_grabbed", "red_envelope_closed"})


class CustomerRange(Struct):
    """The part of one process: the customers of ordinals [first, first + viewers)."""

    options: StormOptions
    gateway_url: str
    console_url: str
    auth: AuthConfig
    first: int
    viewers: int
    sources: list[str]


class StormContext:
    """`life` counts the server's lives.

    `waiting` is everything that has to come to an end: replies, connections that come back, repeats that are due.
    """

    def __init__(self, part: CustomerRange, phase_of: PhaseOf = lambda _: 0) -> None:
        self.part = part
        self.options = part.options
        self.address = Address.of(part.gateway_url)
        self.path = f"/v1/rooms/{part.options.room}"
        self.opening = asyncio.Semaphore(OPENING_MAX)
        self.stock_view = StockView(part.options.units)
        self.frame_audit = FrameAudit(self.observe, phase_of)
        self.life = 0
        self.waiting = 0
        self.sent = 0
        self.answered = 0
        self.granted = 0
        self.queued = 0
        self.skipped = 0
        self.back: Counter[str] = Counter()
        self.failed_attempts: Counter[str] = Counter()
        self.habits: Counter[str] = Counter()
        self.latency = LatencySeries()
        self.latency_granted = LatencySeries()
        self.asked: list[Asked] = []
        self._letters: dict[tuple[str, int], Letter] = {}
        self._ends: list[End] = []
        self._shown: dict[int, dict[str, Any]] = {}

    def token(self, user: str, role: Role) -> str:
        """A token for the room."""
        auth = self.part.auth
        return make_token(auth.secret, auth, user=user, room=self.options.room, role=role, lifetime_s=TOKEN_LIFETIME_S)

    def source(self, number: int) -> str:
        """The local address that a connection comes from; empty for any."""
        sources = self.part.sources
        return sources[number % len(sources)] if sources else ""

    def ask(self, user: str, id: str, command: str, about: int, quantity: int) -> Asked:
        """Begin the transcript of a command."""
        asked = Asked(user, id, command, about, quantity)
        self.asked.append(asked)
        return asked

    def answer(self, asked: Asked, due_ns: int) -> None:
        """A command got its answer."""
        took_us = (time.monotonic_ns() - due_ns) // 1_000
        self.answered += 1
        self.latency.add(due_ns, took_us)
        if asked.granted is not None:
            self.granted += asked.quantity
            self.latency_granted.add(due_ns, took_us)

    def told(self, asked: Asked, reply: Reply) -> None:
        """A reply came, the first or another one. For those who keep a record of their own."""

    def letter(self, user: str, seq: int, event: dict[str, Any]) -> None:
        """A personal event came; a user with several connections gets it on each, the same."""
        letter = Letter(user, seq, event)
        self.frame_audit.rewritten += self._letters.setdefault((user, seq), letter) != letter

    def end(self, user: str, life: int, words: str) -> None:
        """A connection ended that its customer did not end."""
        self._ends.append(End(user, life, words))

    def transcript(self, owned: list[Owned]) -> Transcript:
        """All of it, with the users' entitlements."""
        frame_audit = self.frame_audit
        letters = list(self._letters.values())
        return Transcript(
            self.asked, letters, owned, self._ends, self._shown, frame_audit.gaps, frame_audit.disorders, frame_audit.rewritten, self.skipped
        )

    def observe(self, event: Event, raw: msgspec.Raw) -> LatencyProbe | None:
        """Examine a new event of the room; gives its probe if the audit checks that every viewer got it."""
        if event.type in SHOWN:
            self._shown[event.seq] = orjson.loads(bytes(raw))
        else:
            self.stock_view.observe(event, raw)
        return None
