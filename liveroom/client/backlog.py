"""Items that the application has not taken yet, and the state after the items that it has taken. No I/O, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from liveroom.client.entitlements import fold_entitlements
from liveroom.client.items import Advanced, EntitlementsReplaced, Item, PersonalEvent, Repeated, RoomEvent, StateReplaced
from liveroom.client.state import fold, passed
from liveroom.protocol.frames import Entitlements, Joined, Keyframe, Skipped

__all__ = ["Backlog"]


class _Known(Struct, frozen=True):
    """The room's state, and what `user` owns in it."""

    user: str = ""
    state: Keyframe | None = None
    entitlements: Entitlements | None = None


class Backlog:
    """A queue that folds. At `items_max` it collapses into one `Skipped`, the state after it, and the user's entitlements."""

    def __init__(self, items_max: int) -> None:
        self._items_max = items_max
        self._items: deque[Item | Advanced | Repeated] = deque()
        self._known = _Known()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def state(self) -> Keyframe | None:
        """The room's state after the last item that was taken."""
        return self._known.state

    @property
    def entitlements(self) -> Entitlements | None:
        """The user's entitlements after the last item that was taken."""
        return self._known.entitlements

    def add(self, items: Iterable[Item | Advanced | Repeated]) -> None:
        """Append items, oldest first."""
        self._items.extend(items)
        if len(self._items) > self._items_max:
            self._collapse()

    def take(self) -> Item | None:
        """The next item, already folded into the state; `None` when there is none."""
        while self._items:
            item = self._items.popleft()
            self._known = _folded(self._known, item)
            # The end of a delta belongs to its last event, so that the state is whole when the application gets that event.
            while self._items and isinstance(end := self._items[0], Advanced):
                self._items.popleft()
                self._known = _folded(self._known, end)
            if not isinstance(item, Advanced | Repeated):
                return item
        return None

    def _collapse(self) -> None:
        known = self._known
        for item in self._items:
            known = _folded(known, item)
        if known.state is None:
            return  # nothing but connection items: there is no state to fall back to yet
        before = self._known.state
        self._known = replace(self._known, user=known.user)
        self._items.clear()
        if before is not None and known.state.seq > before.seq:
            self._items.append(Skipped(from_=before.seq, to=known.state.seq))
        self._items.append(StateReplaced(known.state))
        if known.entitlements is not None:
            self._items.append(EntitlementsReplaced(known.entitlements))


def _folded(known: _Known, item: Item | Advanced | Repeated) -> _Known:
    match item:
        case Joined():
            return replace(known, user=item.user)
        case StateReplaced():
            return replace(known, state=item.state)
        case EntitlementsReplaced():
            return replace(known, entitlements=item.entitlements)
        case RoomEvent() if known.state is not None:
            state = fold(known.state, item)
            return replace(known, state=state, entitlements=known.entitlements and fold_entitlements(known.entitlements, item, known.user))
        case Advanced() if known.state is not None:
            return replace(known, state=passed(known.state, item.seq, item.time_ms))
        case PersonalEvent() if known.entitlements is not None:
            return replace(known, entitlements=fold_entitlements(known.entitlements, item, known.user))
        case Repeated() if known.entitlements is not None:
            return replace(known, entitlements=fold_entitlements(known.entitlements, item.item, known.user))
    return known
