"""Likes: they add up to one total over the room's life."""

from __future__ import annotations

from typing import Final

from liveroom.features.decision import Decided, Decision, Refusal, Turn
from liveroom.features.likes.keyframe import likes_keyframe
from liveroom.features.likes.messages import LikesAdded, ReportLikes, SendLikes
from liveroom.features.likes.state import LikesState, change, of
from liveroom.features.ruleset import Rules
from liveroom.features.state import RoomState

__all__ = ["RULES", "likes_added", "report_likes", "send_likes"]

#: The largest integer that every JSON reader keeps exactly; the total stops there.
_TOTAL_MAX: Final = 2**53 - 1


def send_likes(turn: Turn, command: SendLikes) -> Decision:
    """Add one viewer's likes."""
    if not turn.state.open:
        return Refusal("room_closed", "the room is closed: likes are not counted")
    return _add(turn.state, command.count)


def report_likes(turn: Turn, command: ReportLikes) -> Decision:
    """Add a gateway's sum. The gateway's viewers get the same answer, so a room that was closed meanwhile refuses the sum."""
    if not turn.state.open:
        return Refusal("room_closed", "the room is closed: likes are not counted")
    return _add(turn.state, command.count)


def _add(state: RoomState, count: int) -> Decided:
    total = min(of(state).total + count, _TOTAL_MAX)
    return Decided((LikesAdded(count, total),), {"total": total})


def likes_added(state: RoomState, event: LikesAdded, seq: int, time_ms: int) -> None:
    """Fold likes."""
    change(state).total = event.total


RULES = Rules(
    state=LikesState,
    decide={
        SendLikes: send_likes,
        ReportLikes: report_likes,
    },
    evolve={
        LikesAdded: likes_added,
    },
    keyframe=likes_keyframe,
)
