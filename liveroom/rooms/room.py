"""A room: `decide` says what a command makes happen, `evolve` folds what happened. Both are pure.

Each feature has one function per command, which decides it, and one per event, which folds it (`RULES` of its `rules.py`). This module looks up
the function for a message's class, checks the sender's role, and lets other features react to the event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

from liveroom.config.schema import RoomsConfig
from liveroom.features.decision import Decided, Decision, Refusal, Rng, Turn
from liveroom.features.lifecycle import rules as lifecycle
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom, RoomOpened
from liveroom.features.moderation import rules as moderation
from liveroom.features.moderation.state import has_ban
from liveroom.features.state import RoomState
from liveroom.messages.errors import InvariantBroken
from liveroom.protocol.commands import Command
from liveroom.protocol.events import Event
from liveroom.protocol.records import Request, Sender
from liveroom.protocol.refusals import REFUSALS
from liveroom.rooms.entitlements import entitlements
from liveroom.rooms.keyframe import KEYFRAME_BYTES_MAX, detail, keyframe
from liveroom.rooms.state import RULES, decode_state, encode_state, new_room

__all__ = [
    "KEYFRAME_BYTES_MAX",
    "Decided",
    "Refusal",
    "Rng",
    "RoomState",
    "decide",
    "decide_due",
    "decode_state",
    "detail",
    "due_ms",
    "encode_state",
    "entitlements",
    "evolve",
    "evolve_all",
    "keyframe",
    "rests",
]


Folder = Callable[[RoomState, Any, int, int], object]


def _close_room(turn: Turn, command: CloseRoom) -> Decision:
    """Close the room; the items of all features end before it."""
    decision = lifecycle.close_room(turn, command)
    if isinstance(decision, Refusal):
        return decision
    return Decided((*(event for close in _CLOSE for event in close(turn)), *decision.events), decision.result)


def _is_used(name: str) -> Callable[[RoomState], object]:
    """A room needs no look at the time for a feature before an event has touched the state of that feature."""
    return attrgetter(name) if RULES[name].state is not None else lambda state: True


def _folders() -> dict[type[Event], Folder]:
    folders: dict[type[Event], Folder] = {event: folder for rules in RULES.values() for event, folder in rules.evolve.items()}
    for rules in RULES.values():
        for event, react in rules.react.items():
            folders[event] = _both(folders[event], react)
    return folders


def _both(first: Folder, second: Folder) -> Folder:
    def fold(state: RoomState, event: Any, seq: int, time_ms: int) -> None:
        first(state, event, seq, time_ms)
        second(state, event, seq, time_ms)

    return fold


_DECIDERS: Final = {command: decider for rules in RULES.values() for command, decider in rules.decide.items()} | {CloseRoom: _close_room}
_FOLDERS: Final = _folders()
_DUE_MS: Final = tuple((_is_used(name), rules.due_ms) for name, rules in RULES.items() if rules.due_ms is not None)
_DUE: Final = tuple((_is_used(name), rules.due) for name, rules in RULES.items() if rules.due is not None)
_CLOSE: Final = tuple(rules.close for rules in RULES.values() if rules.close is not None)


def decide(state: RoomState | None, request: Request, now_ms: int, rng: Rng, rules: RoomsConfig) -> Decision:
    """The decision on `request` in a room (`None`: never opened). It does not change the state; event i gets seq `state.seq` + i."""
    command, sender = request.command, request.sender
    if sender.role not in command.roles or (state is not None and has_ban(state, sender.user)):
        refusal = _check_sender(state, command, sender, now_ms)
        if refusal is not None:
            return refusal
    if state is not None:
        decision = _DECIDERS[type(command)](Turn(state, sender, now_ms, rules, rng), command)
        assert isinstance(decision, Decided) or decision.code in REFUSALS, decision.code
        return decision
    if isinstance(command, OpenRoom):
        return lifecycle.open_room(None, command, sender, rng, rules)
    return Refusal("room_not_found", f"room {request.room!r} was never opened")


def _check_sender(state: RoomState | None, command: Command, sender: Sender, now_ms: int) -> Refusal | None:
    if not command.roles:
        return None if sender.backend else Refusal("forbidden", "only the backend's own gateways may send this")
    if sender.role not in command.roles:
        return Refusal("forbidden", f"the role {sender.role.value} may not send this")
    return None if state is None else moderation.check_banned(state, sender, now_ms)


def evolve(state: RoomState | None, event: Event, seq: int, time_ms: int) -> RoomState:
    """Fold the event at `seq` into the state, which may be changed in place and returned."""
    return evolve_all(state, (event,), seq, time_ms)


def evolve_all(state: RoomState | None, events: Sequence[Event], seq: int, time_ms: int) -> RoomState:
    """Fold events from `seq` on into the state, which may be changed in place and returned; a room's first event opens it."""
    if state is None:
        opened = events[0]
        if not isinstance(opened, RoomOpened):
            raise InvariantBroken("a room begins by being opened")
        if seq != 0:
            raise InvariantBroken("a room's events are counted from 0")
        state = new_room(opened, time_ms)
    if seq != state.seq:
        raise InvariantBroken(f"event {seq} is not the next one, {state.seq}")
    for event in events:
        _FOLDERS[type(event)](state, event, seq, time_ms)
        seq += 1
    state.seq = seq
    return state


def due_ms(state: RoomState) -> int | None:
    """When `decide_due` has something to say, if nothing else happens; `None` = never."""
    first_ms = None
    for is_used, due_ms_of in _DUE_MS:
        if is_used(state) and (one_ms := due_ms_of(state)) is not None and (first_ms is None or one_ms < first_ms):
            first_ms = one_ms
    return first_ms


def rests(state: RoomState) -> bool:
    """Whether a room is closed and waits for no time: nothing happens in it unless a command comes."""
    return not state.open and due_ms(state) is None


def decide_due(state: RoomState, now_ms: int) -> tuple[Event, ...]:
    """Events that the passing of time brings about: counts and items expire, and items open and close."""
    return tuple(event for is_used, due in _DUE if is_used(state) for event in due(state, now_ms))
