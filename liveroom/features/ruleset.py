"""The rules of a feature, as the room dispatches to them: `RULES` at the end of each `rules.py` is one `Rules`.

Only the engine's side imports rules. A feature names its module of rules as text, so the list of features can be read without them.
Features depend on each other in one direction only: one imports the other's accessor, calls its functions, or reacts to its events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from liveroom.features.decision import Decision, Turn
from liveroom.features.state import RoomState
from liveroom.messages.base import CommandBase, EventBase
from liveroom.messages.settings import RoomSettings

__all__ = ["Fill", "Rules"]


class Fill(Struct, frozen=True, kw_only=True):
    """Items of one kind that fill a keyframe up to its limit in bytes.

    `items(state, rules)` gives them in order of importance. The first ones that fit are shown, in the order of `key`.
    Fills of a lower `rank` take their bytes first, and each takes at most one in `share` bytes of those that are left.
    `must`: the items may take all bytes that a keyframe can have. Others fill it only up to `KEYFRAME_FILLED_BYTES`.
    """

    field: str
    items: Callable[[RoomState, RoomSettings], Iterable[Any]]
    key: Callable[[Any], int]
    rank: int
    share: int = 1
    must: bool = False


class Rules(Struct, frozen=True, kw_only=True):
    """One feature's rules, all of them pure.

    `state` is the class of the feature's part of the room's state.
    `decide(turn, command)` gives events or a refusal and changes nothing. `evolve(state, event, seq, time_ms)` folds an event.
    `react` folds events of other features, right after their own features have.
    `due_ms(state)` is the time at which `due(state, now_ms)` has events if nothing else happens; `None` = never.
    `entitlements(state)` gives the rows of all users' entitlements, each with its field of a chunk, in the order in which the fold loads them.
    `close(turn)` gives the events that end the feature's items when the room closes.
    `keyframe(state)` gives the feature's fields that every keyframe holds, and `fills` those that hold as many items as fit.
    `detail(state, time_ms)` gives the feature's fields of the room's detail.
    A feature that ignores time and closing leaves these out.
    """

    state: type[Struct] | None = None
    decide: Mapping[type[CommandBase], Callable[[Turn, Any], Decision]] = {}
    evolve: Mapping[type[EventBase], Callable[[RoomState, Any, int, int], object]] = {}
    react: Mapping[type[EventBase], Callable[[RoomState, Any, int, int], object]] = {}
    due_ms: Callable[[RoomState], int | None] | None = None
    due: Callable[[RoomState, int], tuple[EventBase, ...]] | None = None
    entitlements: Callable[[RoomState], Iterator[tuple[str, Any]]] | None = None
    close: Callable[[Turn], tuple[EventBase, ...]] | None = None
    keyframe: Callable[[RoomState], Mapping[str, Any]] | None = None
    fills: tuple[Fill, ...] = ()
    detail: Callable[[RoomState, int], Mapping[str, Any]] | None = None
