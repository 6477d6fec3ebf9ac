"""The commands of a storm's customers and their answers, as their connections saw them."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from liveroom.protocol.frames import Accepted, Entitlements, Refused

__all__ = ["FOR_A_WHILE", "PASSING", "Asked", "End", "Letter", "Owned", "Reply", "TimedReply", "Transcript"]

Reply = Accepted | Refused

#: Refusals that say nothing about the command: it is asked again with the same id.
PASSING: Final = frozenset({"unavailable", "overloaded", "rate_limited"})

#: Refusals that hold for a while only: an answer that is given later, under the same id, may be another one.
FOR_A_WHILE: Final = frozenset({"sold_out", "envelope_not_open", "sale_not_open"})


class TimedReply(Struct, array_like=True):
    """A reply; `life` counts the server's lives: 0 until it is killed for the first time."""

    life: int
    reply: Reply


class Asked(Struct, omit_defaults=True):
    """One command id of one user: `sent` so many times, `cut` times of these the connection ended before a reply came.

    `about` is the thing that it is about (an envelope, coupon, sale or hold), by its seq; `quantity` the units that it asks for.
    """

    user: str
    id: str
    command: str
    about: int
    quantity: int = 0
    sent: int = 0
    cut: int = 0
    told: list[TimedReply] = []

    @property
    def answer(self) -> Reply | None:
        """Its answer: the first reply that is one; what comes after a refusal for a while counts more."""
        found: Reply | None = None
        for told in self.told:
            if not _passes(told.reply) and (found is None or _changes(found)):
                found = told.reply
        return found

    @property
    def granted(self) -> Accepted | None:
        """Its answer when that is yes."""
        answer = self.answer
        return answer if isinstance(answer, Accepted) else None

    def answers(self) -> list[TimedReply]:
        """Its replies without those that say nothing about the command."""
        return [told for told in self.told if not _passes(told.reply)]


class Letter(Struct):
    """A personal event that a user got."""

    user: str
    seq: int
    event: dict[str, Any]


class Owned(Struct):
    """A user's entitlements when one of its connections joined last."""

    user: str
    entitlements: Entitlements


class End(Struct):
    """A connection that the server ended, or lost, in one of its lives."""

    user: str
    life: int
    words: str


class Transcript(Struct):
    """The transcript of all customers. `shown` has the public events about money by seq, as any customer saw them."""

    asked: list[Asked] = []
    letters: list[Letter] = []
    owned: list[Owned] = []
    ends: list[End] = []
    shown: dict[int, dict[str, Any]] = {}
    gaps: int = 0
    disorders: int = 0
    rewritten: int = 0
    skipped: int = 0

    def add(self, other: Transcript) -> None:
        """Add what the customers of another process tell; a seq at which they were shown something else counts as rewritten."""
        for name in ("asked", "letters", "owned", "ends"):
            getattr(self, name).extend(getattr(other, name))
        for name in ("gaps", "disorders", "rewritten", "skipped"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for seq, event in other.shown.items():
            self.rewritten += self.shown.setdefault(seq, event) != event


def _passes(reply: Reply) -> bool:
    return isinstance(reply, Refused) and reply.code in PASSING


def _changes(reply: Reply) -> bool:
    return isinstance(reply, Refused) and reply.code in FOR_A_WHILE
