"""Rebuilds rooms from the events alone, when their stored state is damaged."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing

from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.base import Journal
from liveroom.messages.errors import JournalDamaged
from liveroom.protocol.records import Record
from liveroom.rooms.room import RoomState, evolve_all

__all__ = ["rebuild"]


async def rebuild(journal: Journal, partition: int, rooms: Mapping[str, int]) -> dict[str, RoomState]:
    """Fold the states of rooms, each up to the given seq.
    Reads the log from its beginning.

    Raises: `JournalDamaged` when the log does not hold all of a room's events, `JournalError`.
    """
    states: dict[str, RoomState] = {}
    missing = dict(rooms)
    acceptance = Acceptance()
    end = await journal.events_end(partition)
    async with aclosing(journal.read_events_in_background(partition, 0)) as entries:
        async for stored in entries:
            if acceptance.judge(stored.offset, stored.entry) is Verdict.accepted:
                assert isinstance(stored.entry, Record)
                _fold(stored.entry, states, missing)
            if not missing:
                return states
            if stored.offset + 1 >= end:
                break
    room, seq = next(iter(missing.items()))
    raise JournalDamaged(f"partition {partition}: the log does not hold all events of the room {room} below {seq}, and its stored state is damaged")


def _fold(record: Record, states: dict[str, RoomState], missing: dict[str, int]) -> None:
    for room, span in record.rooms.items():
        if room in missing:
            state = states[room] = evolve_all(states.get(room), span.events, span.from_, record.time_ms)
            if state.seq >= missing[room]:
                del missing[room]
