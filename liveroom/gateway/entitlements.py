"""The entitlements of a room's users, folded from the room's events, and the frame that tells one user about them.

Each feature folds its own items; see `liveroom.features.entitlements`.
A join costs one lookup among the owners and, for an owner, one lookup per live item.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from liveroom.features.tables import ENTITLEMENT_ADDITIONS, ENTITLEMENT_CHANGES, ENTITLEMENTS
from liveroom.gateway.wire import text_frame
from liveroom.protocol.codec import encode
from liveroom.protocol.entitlements import EntitlementsChunk, keep_newest
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Entitlements

__all__ = ["RoomEntitlements"]

#: Ended entitlements after which the set of owners is rebuilt. With more than twice as many owners, half their number counts instead.
ENDS_MAX: Final = 1_000

#: An alias, because CPython calls a method of an imported name on a slower path.
_CHANGES: Final = ENTITLEMENT_CHANGES


class RoomEntitlements:
    """The entitlements of one room after all applied events. They start from the chunks of an engine."""

    __slots__ = ("_ends", "_folds", "_owners")

    def __init__(self, chunks: Sequence[EntitlementsChunk] = ()) -> None:
        self._owners: set[str] = set()  # all owners, and some users who own nothing any more
        self._folds = tuple(fold(self._owners) for fold in ENTITLEMENTS)
        self._ends = 0  # ended entitlements since `_owners` was rebuilt
        for chunk in chunks:
            for fold in self._folds:
                fold.load(chunk)

    def frame(self, user: str, seq: int) -> bytes:
        """The frame with the entitlements of `user` after all events below `seq`. Users who own nothing also get it."""
        if user not in self._owners:
            return text_frame(b'{"type":"entitlements","seq":%d}' % seq)
        owned: dict[str, Any] = {}
        for fold in self._folds:
            owned |= fold.owned_by(user)
        omitted = keep_newest(owned)
        return text_frame(encode(Entitlements(seq, omitted=omitted, **owned)))

    def addition(self, event: Event) -> dict[str, Any]:
        """The fields that the frame of a personal event has beside the event, such as the worth of a claimed code."""
        found = ENTITLEMENT_ADDITIONS.get(type(event))
        return {} if found is None else found[1](self._folds[found[0]], event)

    def apply(self, seq: int, event: Event) -> None:
        """Apply the next event of the room's stream."""
        found = _CHANGES.get(type(event))
        if found is not None:
            place, change = found
            ended = change(self._folds[place], seq, event)
            if ended:
                self._end(ended)

    def _end(self, count: int) -> None:
        """Count ended entitlements, and rebuild the set of owners once they are many."""
        self._ends += count
        if self._ends > max(ENDS_MAX, len(self._owners) // 2):
            self._owners.clear()
            self._owners.update(*(users for fold in self._folds for users in fold.users()))
            self._ends = 0
