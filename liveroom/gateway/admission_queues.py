"""A room's admission queues: one for each scarce item, kept current by the room's events.

A feature's `Admission` says which command claims which item, and what its events say about the units that are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from liveroom.features.feature import Admission, StockChange
from liveroom.features.tables import ADMISSIONS, admission_of
from liveroom.gateway.admission_queue import AdmissionQueue
from liveroom.gateway.replay_buffer import EventSpan
from liveroom.protocol.commands import Command
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Keyframe

__all__ = ["QUEUES_MAX", "AdmissionQueues"]

#: Items of one room whose queues are kept. The oldest without claims are forgotten first, items that are over before others.
QUEUES_MAX: Final = 200

_Key = tuple[type, int]

_BY_EVENT: Final = {event: (admission, change) for admission in ADMISSIONS for event, change in admission.changes.items()}


class AdmissionQueues:
    """The queues of one room, by item. Until the room is known every item may exist, so its claims go to the engine a few at a time."""

    def __init__(self, margin: int, wait_s: float) -> None:
        self._margin = margin
        self._wait_s = wait_s
        self._queues: dict[_Key, AdmissionQueue] = {}
        self._changed: dict[AdmissionQueue, None] = {}  # by events since `take_changed`

    def find(self, command: Command, *, live: bool) -> AdmissionQueue | None:
        """The queue for a claim; `None` for a command that claims nothing, or an item that does not exist. `live`: the room is known."""
        admission = admission_of(command)
        if admission is None:
            return None
        item, units = admission.claim(command)
        queue = self._queues.get((admission.command, item))
        if queue is None and not live:
            queue = self._add(admission, item)
        # The engine refuses a claim of more units than one user may have: for such a claim there are never units.
        return None if queue is None or units > queue.units_max else queue

    def take_changed(self) -> list[AdmissionQueue]:
        """The queues that events changed since the last call."""
        if not self._changed:
            return []
        changed, self._changed = list(self._changed), {}
        return changed

    def apply(self, seq: int, event: Event) -> None:
        """Take an event of the room's stream."""
        found = _BY_EVENT.get(type(event))
        if found is None:
            return
        admission, change_of = found
        change = change_of(seq, event)
        queue = self._queues.get((admission.command, change.item))
        if change.is_new:
            queue = queue or self._add(admission, change.item)
            queue.mark_complete()
        elif queue is None:
            return  # the item is older than what this gateway has followed
        self._change(queue, change, seq + 1)

    def begin(self, keyframe: Keyframe, past: Sequence[EventSpan]) -> None:
        """Start at `keyframe` after the events of `past`, or continue at it after a gap whose events are unknown."""
        before = list(self._queues.values())
        for queue in before:
            queue.mark_incomplete()
        for span in past:
            for i, event in enumerate(span.events):
                self.apply(span.from_ + i, event)
        for admission in ADMISSIONS:
            for view in getattr(keyframe, admission.views):
                self._view(keyframe.seq, admission, admission.view(view))
        self._changed.update(dict.fromkeys(before))

    def _view(self, seq: int, admission: Admission, change: StockChange) -> None:
        """Take an item of a keyframe. An item with its full stock has no winners, so its queue is complete."""
        queue = self._queues.get((admission.command, change.item))
        if queue is None:
            queue = self._add(admission, change.item)
            if change.stock is not None and change.stock[0] == change.total:
                queue.mark_complete()
        self._change(queue, change, seq)

    def _change(self, queue: AdmissionQueue, change: StockChange, seq: int) -> None:
        if change.units_max is not None:
            queue.units_max = change.units_max
        if change.counts_addresses is not None:
            queue.counts_addresses = change.counts_addresses
        if change.winner:
            queue.add_winner(change.winner)
        if change.stock is not None:
            queue.set_stock(*change.stock)
        if change.end_code:
            queue.end(change.end_code)
        queue.seq = seq
        self._changed[queue] = None

    def _add(self, admission: Admission, item: int) -> AdmissionQueue:
        if len(self._queues) >= QUEUES_MAX:
            idle = [k for k, g in self._queues.items() if g.idle]
            for over in [k for k in idle if self._queues[k].gone][:1] or idle[:1]:
                del self._queues[over]
        queue = self._queues[admission.command, item] = AdmissionQueue(
            admission.empty_code, self._margin, self._wait_s, once=admission.one_per_user, returns=admission.returns
        )
        return queue
