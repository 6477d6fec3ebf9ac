"""The orders that a crowd's process gets, and its reports."""

from __future__ import annotations

from msgspec import Struct

from liveroom.config.schema import AuthConfig
from loadtests.crowd.frame_audit import AuditResult

__all__ = ["CrowdFinish", "CrowdOrder", "CrowdProgress", "Cut", "ReadAgain", "Stall", "Talk", "ViewerRange", "ViewersReport"]


class ViewerRange(Struct):
    """The part of one process: viewers of ordinals [first, first + viewers), who share the `rooms` evenly.

    - `stalled`: so many of them, the last ones, read nothing once they have joined.
    - `slow`: so many of them, the last ones, stop and go on reading by order.
    - `talkers`: viewers of ordinals below it send chat by order.
    - `audits_chat`: the audited events are lines of chat, otherwise announcements.
    """

    gateway_url: str
    rooms: list[str]
    auth: AuthConfig
    first: int
    viewers: int
    sources: list[str]
    stalled: int = 0
    slow: int = 0
    talkers: int = 0
    deflate: bool = False
    audits_chat: bool = False


class Stall(Struct, tag="stall"):
    """The slow viewers stop reading."""


class ReadAgain(Struct, tag="read_again"):
    """The slow viewers read again."""


class Cut(Struct, tag="cut"):
    """All connections break at once, and their viewers come back."""


class Talk(Struct, tag="talk"):
    """From now on all talkers together send `rate` lines of chat a second, in turns, `lines` each or without an end; a rate of 0 ends it."""

    rate: float
    lines: int = 0


class CrowdFinish(Struct, tag="finish"):
    """Wait until all readers have all `accepted` events, or are at `seq`, for `settle_s` at most; then audit."""

    seq: int
    accepted: list[int]
    undecided: list[int]
    settle_s: float


CrowdOrder = Stall | ReadAgain | Cut | Talk | CrowdFinish


class CrowdProgress(Struct, tag="progress"):
    """How far it is. `talked` lines were sent; `answered` of them have a reply, and `decided` of them were accepted."""

    joined: int = 0
    delivered: int = 0
    deltas: int = 0
    back: int = 0
    talked: int = 0
    answered: int = 0
    decided: int = 0
    failed: str = ""


class ViewersReport(Struct, tag="report"):
    """The audit and the measurements of the readers; `slow_...` are those of the slow viewers."""

    audit: AuditResult
    latency: dict[str, dict[str, object]]
    frames: int
    gaps: int
    disorders: int
    rewritten: int
    skipped: int
    disconnected: int
    cpu_s: float
    #: When the first viewer set out to join, and when the last one was in (ns of the monotonic clock).
    opening_ns: int
    opened_ns: int
    #: Times from the cut to the room's state, and how viewers came back.
    back: dict[str, dict[str, object]]
    back_kinds: dict[str, int]
    slow_audit: AuditResult
    slow_skipped: int
    slow_behind: int
    slow_disconnected: int
    #: Chat: answers by outcome, and the times until they came.
    answers: dict[str, int]
    answer_latency: dict[str, dict[str, object]]
