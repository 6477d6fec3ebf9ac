"""The archive of a partition: it decides which rooms are in memory.

A closed room that waits for no time rests; a room that has rested long enough is archived.
An archived room has only its index entry in memory, which says where the newest snapshot holds the room.
The room is loaded again before anything is decided or folded in it.
Which rooms are in memory changes no outcome and appears in no record.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Final

from liveroom.config.schema import EngineConfig, RoomsConfig
from liveroom.engine.partition import PartitionState
from liveroom.engine.snapshots import PartitionSnapshots
from liveroom.engine.timers import Timers
from liveroom.journal.base import Journal
from liveroom.journal.room_index import decode_entry, decode_room, load_whole
from liveroom.protocol.records import Record, Request
from liveroom.rooms.room import decode_state, rests

__all__ = ["Archive", "restore"]

log = logging.getLogger("liveroom.engine")

#: Limit of the rooms that one step loads. Commands for other archived rooms are refused as `overloaded`; those rooms are loaded next.
BROUGHT_BACK_PER_STEP_MAX: Final = 64
#: Limit of the archived rooms that wait to be loaded.
WANTED_ROOMS_MAX: Final = 1_000
#: Limit of the bytes, counted as their parts, of rooms that were loaded and have not changed since.
BROUGHT_BACK_BYTES_MAX: Final = 32 * 1024 * 1024
#: Limit of the due rooms that are archived in one turn of the engine; the others follow in the next turns.
ARCHIVED_PER_TURN_MAX: Final = 1_000


class Archive:
    """The archive of one partition, with its `state` and its `snapshots`."""

    def __init__(self, journal: Journal, partition: int, state: PartitionState, snapshots: PartitionSnapshots, config: EngineConfig) -> None:
        self.state = state
        self.snapshots = snapshots
        self._journal = journal
        self._partition = partition
        self._rooms_max = config.rooms_max
        self._after_ms = config.archive_after_ms
        self._ready = Timers()  # resting room in the newest snapshot -> when it is archived
        self._unsaved: dict[str, int] = {}  # resting room that waits for a snapshot -> when it may be archived after it
        self._brought_back: dict[str, int] = {}  # resting room without a change since it was loaded -> bytes of its part
        self._brought_back_bytes = 0
        self._wanted: dict[str, None] = {}
        #: Rooms with damaged parts -> the seqs up to which they are rebuilt.
        self.damaged: dict[str, int] = {}
        state.make_space = self._make_space

    @property
    def archived_count(self) -> int:
        """Archived rooms, which can be loaded."""
        index = self.state.index
        return len(index) - sum(room in index for rooms in (self.state.rooms, self.state.away) for room in rooms)

    @property
    def is_crowded(self) -> bool:
        """Whether memory is full and no room can leave it before the next snapshot. Looks at no room, because the engine asks in every turn."""
        return len(self.state.rooms) >= self._rooms_max and bool(self._unsaved) and self.next_ms() is None

    # Out of memory

    def note(self, room: str, time_ms: int, *, rests: bool) -> None:
        """Note that a room changed or was looked at. It `rests` when it is closed and waits for no time."""
        saved = self.snapshots.has(room)
        self._ready.set(room, time_ms + self._after_ms if rests and saved else None)
        self._unsaved.pop(room, None)
        if rests and not saved:
            self._unsaved[room] = time_ms + self._after_ms
        if not rests or not saved:
            self._brought_back_bytes -= self._brought_back.pop(room, 0)

    async def save(self) -> None:
        """Write the snapshot that was begun; then the resting rooms in it may be archived. Raises the errors of `PartitionSnapshots.save`."""
        await self.snapshots.save()
        for room in [room for room in self._unsaved if self.snapshots.has(room)]:
            self._ready.set(room, self._unsaved.pop(room))

    def next_ms(self) -> int | None:
        """When the next room is due to be archived; `None` when no resting room is in the newest snapshot."""
        return self._ready.next_ms()

    def tidy(self, now_ms: int) -> None:
        """Archive the rooms that are due, those above the limit of rooms, and the oldest ones above the limit of bytes."""
        for room in self._ready.take(now_ms, ARCHIVED_PER_TURN_MAX):
            self._archive(room)
        while len(self.state.rooms) > self._rooms_max and self._make_space(""):
            pass
        while self._brought_back_bytes > BROUGHT_BACK_BYTES_MAX and len(self._brought_back) > 1:  # a single room may exceed the limit
            self._archive(next(iter(self._brought_back)))

    def _make_space(self, spared: str) -> bool:
        """Archive the room that was unused for longest, before its time, but not the room `spared`.

        A room that changes in the current step is skipped.
        It is noted again when that step ends.
        """
        kept_ms: int | None = None
        found = False
        while not found and (due_ms := self._ready.next_ms()) is not None:
            (room,) = self._ready.take(due_ms, 1)
            if room == spared:
                kept_ms = due_ms
            elif room in self.state.rooms and self.snapshots.has(room):
                self._archive(room)
                found = True
        if kept_ms is not None:
            self._ready.set(spared, kept_ms)
        return found

    def _archive(self, room: str) -> None:
        self.state.rooms.pop(room, None)
        self._ready.set(room, None)
        self._brought_back_bytes -= self._brought_back.pop(room, 0)

    # Back into memory

    def want(self, requests: Iterable[Request]) -> None:
        """Queue the archived rooms that these commands name, up to the limit of waiting rooms."""
        here = self.state.rooms
        for request in requests:
            if request.room not in here and self.state.is_archived(request.room) and len(self._wanted) < WANTED_ROOMS_MAX:
                self._wanted[request.room] = None

    @property
    def is_wanted(self) -> bool:
        """Whether rooms wait to be loaded."""
        return bool(self._wanted)

    async def bring_back(self, now_ms: int) -> None:
        """Load the next waiting rooms, as far as memory has space. Raises `JournalError`."""
        some = list(self._wanted)[:BROUGHT_BACK_PER_STEP_MAX]
        for room in some:
            del self._wanted[room]
        while len(self.state.rooms) > self._rooms_max and self._make_space(""):
            pass
        if len(self.state.rooms) <= self._rooms_max:
            await self.load([room for room in some if self.state.is_archived(room)], now_ms)

    async def load(self, rooms: Sequence[str], now_ms: int) -> None:
        """Load archived rooms; a room with a damaged part is put away. Raises `JournalError`."""
        for start in range(0, len(rooms), BROUGHT_BACK_PER_STEP_MAX):
            some = rooms[start : start + BROUGHT_BACK_PER_STEP_MAX]
            entries = [decode_entry(self.state.index[room]) for room in some]
            bodies = await self._journal.get_parts(self._partition, [entry.part for entry in entries])
            for room, entry, body in zip(some, entries, bodies, strict=True):
                if body is None:
                    log.error("a room's part of the snapshot is damaged; the room is rebuilt", extra={"partition": self._partition, "room": room})
                    self.state.put_away(room)
                    self.damaged[room] = entry.summary.seq
                else:
                    self.state.rooms[room] = decode_state(decode_room(body).state)
                    self._brought_back[room] = len(body)
                    self._brought_back_bytes += len(body)
                    self._note_folded(room, now_ms)

    async def fold(self, record: Record) -> None:
        """Apply an accepted record to the state, and load the archived rooms that it changes first. Raises `JournalError`."""
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
    """Load the newest whole snapshot, with the rooms that do not rest. Raises `JournalError`."""
    state = PartitionState(config)
    snapshots = PartitionSnapshots(journal, partition, state, rules)
    archive = Archive(journal, partition, state, snapshots, config)
    whole = await load_whole(journal, partition)
    if whole is not None:
        snapshots.load(whole)
        state.acceptance = whole.snapshot.acceptance.copy()
        state.time_ms = whole.snapshot.time_ms
        state.outcomes.end_record(state.time_ms)  # the configured window may be shorter now
        await archive.load([room for room, entry in whole.entries().items() if not entry.resting], state.time_ms)
    return archive
