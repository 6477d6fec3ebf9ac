"""What a storm is about: how it begins, what each customer does, and how its story is audited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from liveroom.accounting.statement import Statement
from loadtests.findings import Findings
from loadtests.story import Story
from loadtests.target import Target

if TYPE_CHECKING:
    from loadtests.customer import Customer

__all__ = ["BACK_S_MAX", "Case", "Scenario", "Start", "StormOptions"]

#: Bound of the pause before an attempt to come back, as the protocol asks clients to have one.
BACK_S_MAX = 20.0


class StormOptions(Struct, frozen=True):
    """What is asked for. `run` tells the users of this storm from those of others in the same room.

    `back_s_max` is the longest pause before an attempt to come back.
    """

    scenario: str
    viewers: int
    units: int
    per_user: int
    within_s: float
    unruly: float
    unpaid: float
    hold_ms: int
    kills: int
    processes: int
    timeout_s: float
    room: str
    run: str
    back_s_max: float = BACK_S_MAX


class Start(Struct, frozen=True, tag="start"):
    """Something scarce is there: `thing` is its seq, `opens_ms` when it can be claimed (Unix ms); `sale` is there beside it in a market."""

    thing: int
    opens_ms: int
    sale: int = -1


class Case(NamedTuple):
    """What is held against each other: the story, the server's ledger unless it is broken and, of a server of our own, the journal's events."""

    options: StormOptions
    start: Start
    story: Story
    ledger: Statement | None
    journal: list[dict[str, Any]] | None


class Scenario(NamedTuple):
    """`begin` drops the thing, over HTTP; `play` is one customer's part; `audit` gives figures for the report.

    `refusals` are the codes that may come. `stages`: how often each unit is granted until all is over, for kills to fall in between.
    """

    begin: Callable[[Target, StormOptions], Awaitable[Start]]
    play: Callable[[Customer, Start], Awaitable[None]]
    audit: Callable[[Case, Findings], dict[str, Any]]
    refusals: frozenset[str]
    stages: int
