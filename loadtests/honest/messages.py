"""Messages between honest users' worker process and the process that runs the test."""

from __future__ import annotations

from msgspec import Struct

from loadtests.crowd.frame_audit import AuditResult
from loadtests.lib.phases import Phases
from loadtests.storm.storm_context import CustomerRange
from loadtests.storm.transcript import Transcript

__all__ = ["HonestProgress", "HonestReport", "HonestTask", "Pace", "Pause", "Repeat", "Resume", "SaleBegun", "SetBack"]


class Pace(Struct, frozen=True):
    """Average seconds from one act to the next: of a user's lines, of a buyer's purchases, of envelopes in the room. Every `buyers`-th user buys."""

    chat_s: float = 2.5
    buy_s: float = 5.0
    envelope_s: float = 10.0
    buyers: int = 3


class HonestTask(Struct):
    """The worker's part. `log`: a file for every reply, as it comes. `watch`: look whether newcomers get in and health is answered."""

    part: CustomerRange
    pace: Pace
    log: str = ""
    watch: bool = False


class SaleBegun(Struct, tag="begin"):
    """The sale is there: act."""

    sale: int
    phases: Phases


class Pause(Struct, tag="pause"):
    """Start no new action, and report `paused` when every answer is there."""


class SetBack(Struct, tag="set_back"):
    """The server was ended, and its life `number` begins with an older copy of the journal: what was shown after it never happened."""

    number: int


class Resume(Struct, tag="resume"):
    """Go on."""


class Repeat(Struct, tag="repeat"):
    """Repeat every command of the run, and report `repeated` when every reply is there."""


class HonestProgress(Struct, tag="progress"):
    """How far it is."""

    joined: int = 0
    answered: int = 0
    bought: int = 0
    grabbed: int = 0
    delivered: int = 0
    problems: int = 0
    first_problem: str = ""
    life: int = 0
    paused: bool = False
    repeated: bool = False
    failed: str = ""


class HonestReport(Struct, tag="report"):
    """The transcript, the audit of lines, times by phase, problems (code, words), and counts of acts."""

    transcript: Transcript
    audit: AuditResult
    latencies: list[tuple[int, str, dict[str, object]]]
    problems: list[tuple[str, str]]
    envelopes: list[tuple[int, int]]  # each, and when it opens (Unix ms)
    done: dict[str, int]
    back: dict[str, int]
    cpu_s: float
