"""A storm's scenario: its beginning, each customer's part, and the audit of its transcript."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from liveroom.accounting.statement import Statement
from loadtests.lib.findings import Findings
from loadtests.lib.target import Target
from loadtests.storm.customer import Customer
from loadtests.storm.options import StormOptions, StormStart
from loadtests.storm.transcript import Transcript

__all__ = ["Case", "Scenario"]


class Case(NamedTuple):
    """The sides of an audit: the transcript, the server's ledger unless it is broken and, of a server of our own, the journal's events."""

    options: StormOptions
    start: StormStart
    transcript: Transcript
    ledger: Statement | None
    journal: list[dict[str, Any]] | None


class Scenario(NamedTuple):
    """`begin` drops the thing, over HTTP; `play` is one customer's part; `audit` gives figures for the report.

    `refusals` are the codes that may come. `stages`: how often each unit is granted until all is over, for kills to fall in between.
    """

    begin: Callable[[Target, StormOptions], Awaitable[StormStart]]
    play: Callable[[Customer, StormStart], Awaitable[None]]
    audit: Callable[[Case, Findings], dict[str, Any]]
    refusals: frozenset[str]
    stages: int
