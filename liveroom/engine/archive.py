"""Which rooms of a partition are in memory. A room that is closed and waits for no time rests; one that rested for long is archived.

Of an archived room the index alone is in memory: it says where the newest snapshot has the room. The room is brought back
before anything is decided or folded in it. Which rooms are in memory changes no outcome and stands in no record.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Final

from liveroom.config import EngineConfig, RoomsConfig
from liveroom.engine.partition import PartitionState
from liveroom.engine.snapshots import Snapshots
from liveroom.journal.base import Journal
from liveroom.journal.room_index import decode_entry, decode_room, load_whole
from liveroom.messages.records import Record, Request
from liveroom.rooms.room import decode_state, rests

__all__ = ["Archive", "restore"]

log = logging.getLogger("liveroom.engine")

#: Rooms that a step waits for. Commands for other archived rooms are refused as `overloaded`; those rooms come next.
BROUGHT_BACK_PER_STEP_MAX: Final = 64
#: Archived rooms that may wait to be brought back.
WANTED_ROOMS_MAX: Final = 1_000
#: Rooms that were brought back and have not changed since may take this many bytes, counted as their parts.
BROUGHT_BACK_BYTES_MAX: Final = 32 * 1024 * 1024


class Archive:
    """Of one partition, with its `state` and its `snapshots`."""

    def __init__(self, journal: Journal, partition: int, state: PartitionState, snapshots: Snapshots, config: EngineConfig) -> None:
        self.state = state
        self.snapshots = snapshots
        self._journal = journal
        self._partition = partition
        self._rooms_max = config.rooms_max
        self._after_ms = config.archive_after_ms
        self._resting: dict[str, int] = {}  # room -> partition time of its last use; the one that was not used for longest first
        self._brought_back: dict[str, int] = {}  # resting rooms in which nothing happened since -> bytes of their parts
        self._brought_back_bytes = 0
        self._wanted: dict[str, None] = {}
        #: Rooms whose parts are damaged, and the seqs up to which they are to be derived again.
        self.damaged: dict[str, int] = {}
        state.make_space = self._make_space

    @property
    def archived_count(self) -> int:
        """Rooms that are not in memory."""
        return len(self.state.index) - sum(room in self.state.index for room in self.state.rooms) - len(self.state.away)

    @property
    def is_crowded(self) -> bool:
        """Whether memory is full of rooms while some that rest wait for a snapshot to be archived."""
        return len(self.state.rooms) >= self._rooms_max and any(not self.snapshots.has(room) for room in self._resting)

    # Out of memory

    def note(self, room: str, time_ms: int, *, rests: bool) -> None:
        """Something happened in a room, or it was looked at; it `rests` when it is closed and waits for no time."""
        self._resting.pop(room, None)
        if rests:
            self._resting[room] = time_ms
        if not rests or not self.snapshots.has(room):
            self._brought_back_bytes -= self._brought_back.pop(room, 0)

    def next_ms(self) -> int | None:
        """When the next room is to be archived; `None` when none rests or the next one waits for a snapshot."""
        room = next(iter(self._resting), None)
        return self._resting[room] + self._after_ms if room is not None and self.snapshots.has(room) else None

    def tidy(self, now_ms: int) -> None:
        """Archive the rooms whose time has come, and those of which there are too many."""
        while (due := self.next_ms()) is not None and (due <= now_ms or len(self.state.rooms) > self._rooms_max):
            self._archive(next(iter(self._resting)))
        while self._brought_back_bytes > BROUGHT_BACK_BYTES_MAX:
            self._archive(next(iter(self._brought_back)))

    def _make_space(self, but: str) -> bool:
        """Archive the room that was not used for longest, before its time; not `but`."""
        room = next((room for room in self._resting if room != but), None)
        if room is None or not self.snapshots.has(room):
            return False
        self._archive(room)
        return True

    def _archive(self, room: str) -> None:
        self.state.rooms.pop(room, None)
        self._resting.pop(room, None)
        self._brought_back_bytes -= self._brought_back.pop(room, 0)

    # Back into memory

    def want(self, requests: Iterable[Request]) -> None:
        """Commands have come; rooms that they name are brought back before they are decided, as many as may wait."""
        for request in requests:
            if self.state.is_archived(request.room) and len(self._wanted) < WANTED_ROOMS_MAX:
                self._wanted[request.room] = None

    @property
    def is_wanted(self) -> bool:
        """Whether rooms wait to be brought back."""
        return bool(self._wanted)

    async def bring_back(self, now_ms: int) -> None:
        """Bring back what waits next, as far as memory holds it. Raises `JournalError`."""
        some = list(self._wanted)[:BROUGHT_BACK_PER_STEP_MAX]
        for room in some:
            del self._wanted[room]
        while len(self.state.rooms) > self._rooms_max and self._make_space(""):
            pass
        if len(self.state.rooms) <= self._rooms_max:
            await self.load([room for room in some if self.state.is_archived(room)], now_ms)

    async def load(self, rooms: Sequence[str], now_ms: int) -> None:
        """Take archived rooms into memory; those whose parts are damaged are put away. Raises `JournalError`."""
        for start in range(0, len(rooms), BROUGHT_BACK_PER_STEP_MAX):
            some = rooms[start : start + BROUGHT_BACK_PER_STEP_MAX]
            entries = [decode_entry(self.state.index[room]) for room in some]
            bodies = await self._journal.get_parts(self._partition, [entry.part for entry in entries])
            for room, entry, body in zip(some, entries, bodies, strict=True):
                if body is None:
                    log.error(
                        "a room's part of the snapshot is damaged; the room is derived again", extra={"partition": self._partition, "room": room}
                    )
                    self.state.put_away(room)
                    self.damaged[room] = entry.summary.seq
                else:
                    self.state.rooms[room] = decode_state(decode_room(body).state)
                    self._brought_back[room] = len(body)
                    self._brought_back_bytes += len(body)
                    self._note_folded(room, now_ms)

    async def fold(self, record: Record) -> None:
        """Apply an accepted record to the state; archived rooms in which something happened are brought back first. Raises `JournalError`."""
        await self.load([room for room in record.rooms if self.state.is_archived(room)], record.time_ms)
        for room, span in record.rooms.items():
            if room in self.damaged:
                self.damaged[room] = span.from_ + len(span.events)
        self.state.fold(record)
        for room in record.rooms:
            self._note_folded(room, record.time_ms)

    def _note_folded(self, room: str, time_ms: int) -> None:
        state = self.state.rooms.get(room)
        self.note(room, time_ms, rests=state is not None and rests(state))


async def restore(journal: Journal, partition: int, config: EngineConfig, rules: RoomsConfig) -> Archive:
    """The newest snapshot that is whole, with the rooms in memory that do not rest. Raises `JournalError`."""
    state = PartitionState(config)
    snapshots = Snapshots(journal, partition, state, rules)
    archive = Archive(journal, partition, state, snapshots, config)
    whole = await load_whole(journal, partition)
    if whole is not None:
        snapshots.load(whole)
        state.acceptance = whole.snapshot.acceptance.copy()
        state.time_ms = whole.snapshot.time_ms
        state.outcomes.end_record(state.time_ms)  # what was forgotten by then may still stand in a part
        await archive.load([room for room, entry in whole.entries().items() if not entry.resting], state.time_ms)
    return archive
