"""The state of one partition: its rooms and outcomes, folded from accepted records and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from liveroom.config.schema import EngineConfig
from liveroom.journal.acceptance import Acceptance
from liveroom.journal.idempotency import IdempotencyStore, key_of
from liveroom.protocol.records import Record
from liveroom.rooms.room import Refusal, RoomState, evolve_all

__all__ = ["ARCHIVED", "DERIVED_AGAIN", "PartitionState"]

log = logging.getLogger("liveroom.engine")

DERIVED_AGAIN: Final = Refusal("overloaded", "the room is being rebuilt after an error; try again", retry_after_ms=1_000)
ARCHIVED: Final = Refusal("overloaded", "the room was closed long ago and is being brought back; try again", retry_after_ms=1_000)
SET_ASIDE: Final = Refusal("internal_error", "the server cannot apply an event of this room; an operator has to look at it")


class PartitionState:
    """An engine's state of one partition."""

    def __init__(self, config: EngineConfig) -> None:
        self.rooms: dict[str, RoomState] = {}
        self.outcomes = IdempotencyStore(config)
        self.acceptance = Acceptance()
        self.time_ms = 0
        #: Rooms that exist but whose state is unknown, with the refusal of their commands. They are not in `rooms`.
        self.away: dict[str, Refusal] = {}
        #: Rooms that changed since the last snapshot began.
        self.changed: dict[str, None] = {}
        #: Called with a room before it changes.
        self.before_change: Callable[[str], None] = _nothing
        #: Room -> its entry in the index of rooms, as JSON. It lists each room of a snapshot, in memory or not.
        self.index: dict[str, bytes] = {}
        #: Archives some room that may leave memory, but not the given one. Gives whether there was one.
        self.make_space: Callable[[str], bool] = _never

    def put_away(self, room: str) -> None:
        """Drop a room's state, which is unknown until it is rebuilt."""
        self.rooms.pop(room, None)
        self.away[room] = DERIVED_AGAIN

    def was_not_opened(self, room: str) -> None:
        """Drop a room whose opening cannot be applied or written: the room does not exist."""
        self.rooms.pop(room, None)
        self.away.pop(room, None)
        self.changed.pop(room, None)

    def set_aside(self, room: str) -> None:
        """Mark a room whose events in the log cannot be applied. Its state stays unknown until an operator has looked."""
        self.rooms.pop(room, None)
        self.away[room] = SET_ASIDE

    def bring_back(self, room: str, state: RoomState) -> None:
        """Set the rebuilt state of a room."""
        del self.away[room]
        self.rooms[room] = state
        self.changed[room] = None  # the newest snapshot may hold a damaged state of it

    @property
    def set_aside_count(self) -> int:
        """Rooms that wait for an operator."""
        return sum(refusal is SET_ASIDE for refusal in self.away.values())

    def is_archived(self, room: str) -> bool:
        """Whether a room exists, is not in memory and can be loaded."""
        return room not in self.rooms and room in self.index and room not in self.away

    def changes(self, room: str) -> None:
        """Note that a room is about to change."""
        self.before_change(room)
        self.changed[room] = None

    def fold(self, record: Record) -> None:
        """Apply an accepted record. A room whose events cannot be applied is set aside; other rooms are not affected."""
        rooms = self.rooms
        for room, span in record.rooms.items():
            if room in self.away:
                continue
            self.changes(room)
            try:
                rooms[room] = evolve_all(rooms.get(room), span.events, span.from_, record.time_ms)
            except Exception:
                log.critical("a room's events cannot be applied; it is set aside", exc_info=True, extra={"room": room, "seq": span.from_})
                self.set_aside(room)
        for command_reply in record.replies:
            if command_reply.digest and not command_reply.repeated and self.outcomes.find(key := key_of(command_reply)) is None:
                self.outcomes.remember(key, command_reply)
        self.outcomes.end_record(record.time_ms)
        self.time_ms = record.time_ms


def _nothing(room: str) -> None:
    pass


def _never(room: str) -> bool:
    return False
