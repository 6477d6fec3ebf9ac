"""The state of one partition: its rooms and outcomes, folded from accepted records and from nothing else."""

from __future__ import annotations

from liveroom.config import EngineConfig
from liveroom.engine.outcomes import Outcomes, key_of
from liveroom.journal.acceptance import Acceptance
from liveroom.messages.records import Record
from liveroom.rooms.room import RoomState, evolve_all

__all__ = ["PartitionState"]


class PartitionState:
    """What an engine knows of a partition that it owns."""

    def __init__(self, config: EngineConfig) -> None:
        self.rooms: dict[str, RoomState] = {}
        self.outcomes = Outcomes(config)
        self.acceptance = Acceptance()
        self.time_ms = 0

    def fold(self, record: Record) -> None:
        """Apply an accepted record; whatever raises here must stop the partition."""
        rooms = self.rooms
        for room, span in record.rooms.items():
            rooms[room] = evolve_all(rooms.get(room), span.events, span.from_, record.time_ms)
        for answer in record.answers:
            if answer.digest and not answer.repeated and self.outcomes.find(key := key_of(answer)) is None:
                self.outcomes.remember(key, answer)
        self.outcomes.end_record(record.time_ms)
        self.time_ms = record.time_ms
