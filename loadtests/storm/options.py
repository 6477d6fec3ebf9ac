"""Options of a storm, and the message that begins one."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["BACK_S_MAX", "StormOptions", "StormStart"]

#: Bound of the pause before an attempt to come back, as the protocol asks clients to have one.
BACK_S_MAX = 20.0


class StormOptions(Struct, frozen=True):
    """The request. `run` tells the users of this storm from those of others in the same room.

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


class StormStart(Struct, frozen=True, tag="start"):
    """Something scarce is there: `thing` is its seq, `opens_ms` when it can be claimed (Unix ms); `sale` is there beside it in a market."""

    thing: int
    opens_ms: int
    sale: int = -1
