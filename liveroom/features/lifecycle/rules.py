"""Opening and closing a room, and its announcement."""

from __future__ import annotations

from liveroom.features.decision import Decided, Decision, Refusal, Rng, Turn
from liveroom.features.lifecycle.messages import (
    AnnouncementSet,
    CloseRoom,
    OpenRoom,
    RequestKeyframe,
    RoomClosed,
    RoomOpened,
    SetAnnouncement,
)
from liveroom.features.ruleset import Rules
from liveroom.features.state import RoomState
from liveroom.features.texts import check_line, check_optional, check_paragraphs
from liveroom.messages.fields import Role
from liveroom.messages.room_rules import RoomRules
from liveroom.messages.sender import Sender
from liveroom.messages.settings import RoomSettings

__all__ = ["RULES", "announcement_set", "close_room", "open_room", "room_closed", "room_opened", "set_announcement"]


def open_room(state: RoomState | None, command: OpenRoom, sender: Sender, rng: Rng, rules: RoomSettings) -> Decision:
    """Open or reopen the room. Reopening keeps stream id, counts, showcase and lists, and reads the rules again."""
    if state is not None and state.open:
        return Refusal("room_already_open", "the room is already open")
    refusal = check_line(command.title, "title")
    if refusal is not None:
        return refusal
    stream_id = f"{rng.getrandbits(64):016x}" if state is None else state.stream_id
    if state is None or sender.role is Role.anchor:
        anchor, anchor_name = sender.user, sender.name
    else:
        anchor, anchor_name = state.anchor, state.anchor_name
    budget, budget_set = rules.chat_budget_lines_per_s, False
    if state is not None and state.rules.chat_budget_set:
        budget, budget_set = state.rules.chat_budget, True
    numbers = RoomRules(rules.chat_interval_ms, rules.chat_burst, budget, rules.audience_expiry_ms, budget_set)
    return Decided((RoomOpened(command.title, anchor, stream_id, numbers, anchor_name),), {"stream_id": stream_id})


def room_opened(state: RoomState, event: RoomOpened, seq: int, time_ms: int) -> None:
    """Fold an opening."""
    state.title, state.anchor, state.anchor_name = event.title, event.anchor, event.anchor_name
    state.open, state.opened_ms, state.rules = True, time_ms, event.rules
    state.close_reason = ""


def close_room(turn: Turn, command: CloseRoom) -> Decision:
    """Close the room. `rooms.room` lets the items of all features end before it."""
    if not turn.state.open:
        return Refusal("room_closed", "the room is already closed")
    return check_optional(command.reason, "reason") or Decided((RoomClosed(command.reason),))


def room_closed(state: RoomState, event: RoomClosed, seq: int, time_ms: int) -> None:
    """Fold a closing."""
    state.open, state.close_reason = False, event.reason


def set_announcement(turn: Turn, command: SetAnnouncement) -> Decision:
    """Replace or remove the announcement."""
    if command.text == turn.state.announcement:
        return Decided(())
    return check_paragraphs(command.text) or Decided((AnnouncementSet(command.text),))


def announcement_set(state: RoomState, event: AnnouncementSet, seq: int, time_ms: int) -> None:
    """Fold an announcement."""
    state.announcement = event.text


def _request_keyframe(turn: Turn, command: RequestKeyframe) -> Decision:
    """Decide nothing: the engine adds the room's detail to the answer's record."""
    return Decided(())


def _open_again(turn: Turn, command: OpenRoom) -> Decision:
    """Reopen a room."""
    return open_room(turn.state, command, turn.sender, turn.rng, turn.rules)


RULES = Rules(
    decide={
        OpenRoom: _open_again,
        CloseRoom: close_room,
        SetAnnouncement: set_announcement,
        RequestKeyframe: _request_keyframe,
    },
    evolve={
        RoomOpened: room_opened,
        RoomClosed: room_closed,
        AnnouncementSet: announcement_set,
    },
)
