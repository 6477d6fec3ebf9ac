"""Items that the application has not taken yet, and the state as of those it has. No I/O, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from liveroom.client.items import Advanced, Item, PersonalEvent, RoomEvent, StateReplaced
from liveroom.client.state import fold, passed
from liveroom.messages.frames import Keyframe, Skipped

__all__ = ["Backlog"]


class Backlog:
    """A queue that folds. At `items_max` it falls together into one `Skipped` and the state after it, and the last personal events."""

    def __init__(self, items_max: int) -> None:
        self._items_max = items_max
        self._items: deque[Item | Advanced] = deque()
        #: The room's state as after the last item that was taken.
        self.state: Keyframe | None = None

    def __len__(self) -> int:
        return len(self._items)

    def add(self, items: Iterable[Item | Advanced]) -> None:
        """Append items, oldest first."""
        self._items.extend(items)
        if len(self._items) > self._items_max:
            self._collapse()

    def take(self) -> Item | None:
        """The next item, already folded into `state`; `None` when there is none."""
        while self._items:
            item = self._items.popleft()
            self.state = _folded(self.state, item)
            # The end of a delta goes with its last event, so that the state is whole when that is seen.
            while self._items and isinstance(end := self._items[0], Advanced):
                self._items.popleft()
                self.state = _folded(self.state, end)
            if not isinstance(item, Advanced):
                return item
        return None

    def _collapse(self) -> None:
        state = self.state
        for item in self._items:
            state = _folded(state, item)
        if state is None:
            return  # nothing but connection items: there is no state to fall back to yet
        # They are in no state, so they stay; half the room for them leaves the other half for what comes.
        personal = [item for item in self._items if isinstance(item, PersonalEvent)][-(self._items_max // 2) :]
        self._items.clear()
        if self.state is not None and state.seq > self.state.seq:
            self._items.append(Skipped(from_=self.state.seq, to=state.seq))
        self._items.append(StateReplaced(state))
        self._items.extend(personal)


def _folded(state: Keyframe | None, item: Item | Advanced) -> Keyframe | None:
    if isinstance(item, StateReplaced):
        return item.state
    if state is None:
        return None
    if isinstance(item, RoomEvent):
        return fold(state, item)
    return passed(state, item.seq, item.time_ms) if isinstance(item, Advanced) else state
