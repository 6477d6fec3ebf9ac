"""One viewer's position in a room's stream: it turns frames into items. No I/O, no clock."""

from __future__ import annotations

from collections import Counter

from liveroom.client.items import Advanced, EntitlementsReplaced, Item, Repeated, RoomEvent, StateReplaced, events_of, personal_event
from liveroom.features.moderation.messages import UserMuted, UserUnmuted
from liveroom.protocol.frames import Delta, Entitlements, Frame, Interruption, Joined, Keyframe, Personal, Queued, Skipped

__all__ = ["Gap", "Stream"]


class Gap(Exception):
    """Events are missing between the cursor and a delta: connect again and resume."""


class Stream:
    """Follows a room over one connection after another. It drops repeated events; missing events raise `Gap`."""

    def __init__(self) -> None:
        self.joined: Joined | None = None
        self.stream_id = ""
        #: Seq of the next event expected; `None` before the first keyframe.
        self.cursor: int | None = None
        self.muted_until_ms = 0
        #: The present interruption, or `None` while the room's events arrive.
        self.interruption: Interruption | None = None
        #: Number of events that the server left out on purpose, by delivery class.
        self.omitted: Counter[str] = Counter()
        self._keyframe_due = True
        self._personal_seq = -1  # the last personal event's
        self._entitlements_seq = 0  # the last `entitlements` frame's; it may be behind the cursor

    def receive(self, frame: Frame) -> list[Item | Advanced | Repeated]:
        """The items that a frame means for the application. Raises `Gap`. Replies and `going_away` are handled elsewhere."""
        if isinstance(frame, Delta):
            return self._on_delta(frame)
        if isinstance(frame, Keyframe):
            if frame.stream_id != self.stream_id:
                self._personal_seq = -1
            self.stream_id, self.cursor = frame.stream_id, frame.seq
            self._keyframe_due = False
            return [StateReplaced(frame)]
        if isinstance(frame, Joined):
            self.joined = frame
            self.muted_until_ms = frame.muted_until_ms
            self.interruption = None
            self._keyframe_due = not (frame.resumed and self.cursor is not None)
            return [frame]
        if isinstance(frame, Personal):
            return self._on_personal(frame)
        if isinstance(frame, Entitlements):
            self._entitlements_seq = frame.seq
            return [EntitlementsReplaced(frame)]
        if isinstance(frame, Interruption):
            self.interruption = None if frame.over else frame
            return [frame]
        if isinstance(frame, Skipped) and frame.to < frame.from_:
            self._personal_seq = -1  # the stream started over, so seqs repeat
        return [frame] if isinstance(frame, Skipped | Queued) else []

    def _on_delta(self, delta: Delta) -> list[Item | Advanced | Repeated]:
        cursor = self.cursor
        if cursor is None or self._keyframe_due:
            return []
        if delta.from_ > cursor:
            raise Gap(f"missed {cursor} to {delta.from_}")
        told = events_of(delta, min(cursor, self._entitlements_seq))
        repeated = [Repeated(item) for item in told if item.seq < cursor]
        if delta.to <= cursor:
            return [*repeated]
        events = [item for item in told if item.seq >= cursor]
        self.cursor = delta.to
        self.omitted.update(delta.omitted)
        for item in events:
            self._note_own(item)
        return [*repeated, *events, Advanced(delta.to, delta.time_ms)]

    def _on_personal(self, frame: Personal) -> list[Item | Advanced | Repeated]:
        """Handle an event that a gateway behind the previous one repeats."""
        item = personal_event(frame)
        if frame.seq <= self._personal_seq:
            return [Repeated(item)]
        self._personal_seq = frame.seq
        return [item]

    def _note_own(self, item: RoomEvent) -> None:
        event = item.event
        if isinstance(event, UserMuted | UserUnmuted) and self.joined is not None and event.user == self.joined.user:
            self.muted_until_ms = event.until_ms if isinstance(event, UserMuted) else 0
