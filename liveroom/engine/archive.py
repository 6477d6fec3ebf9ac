"""Which rooms of a partition are in memory. A room that is closed and waits for no time rests; one that rested for long is archived.

Of an archived room the index alone is in memory: it says where the newest snapshot has the room. The room is brought back
before anything is decided or folded in it. Which rooms are in memory changes no outcome and stands in no record.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Final

from liveroom.config.schema import EngineConfig, RoomsConfig
from liveroom.engine.partition import PartitionState
from liveroom.engine.snapshots import Snapshots
from liveroom.engine.timers import Timers
from liveroom.journal.base import Journal
from liveroom.journal.room_index import decode_entry, decode_room, load_whole
from liveroom.protocol.records import Record, Request
from liveroom.rooms.room import decode_state, rests

__all__ = ["Archive", "restore"]

log = logging.getLogger("liveroom.engine")

#: Rooms that a step waits for. Commands for other archived rooms are refused as `overloaded`; those rooms come next.
BROUGHT_BACK_PER_STEP_MAX: Final = 64
#: Archived rooms that may wait to be brought back.
WANTED_ROOMS_MAX: Final = 1_000
#: Rooms that were brought back and have not changed since may take this many bytes, counted as their parts.
BROUGHT_BACK_BYTES_MAX: Final = 32 * 1024 * 1024
#: Rooms that leave memory in one turn of the engine because their time has come; the others follow in the next turns.
ARCHIVED_PER_TURN_MAX: Final = 1_000


class Archive:
    """Of one partition, with its `state` and its `snapshots`."""

    def __init__(self, journal: Journal, partition: int, state: PartitionState, snapshots: Snapshots, config: EngineConfig) -> None:
        self.state = state
        self.snapshots = snapshots
        self._journal = journal
        self._partition = partition
        self._rooms_max = config.rooms_max
        self._after_ms = config.archive_after_ms
        self._ready = Timers()  # resting rooms that the newest snapshot has, and when they are to be archived
        self._unsaved: dict[str, int] = {}  # resting rooms that wait for a snapshot, and when they are to be archived after it
        self._brought_back: dict[str, int] = {}  # resting rooms in which nothing happened since -> bytes of their parts
        self._brought_back_bytes = 0
        self._wanted: dict[str, None] = {}
        #: Rooms whose parts are damaged, and the seqs up to which they are to be derived again.
        self.damaged: dict[str, int] = {}
        state.make_space = self._make_space

    @property
    def archived_count(self) -> int:
        """Rooms that are not in memory and can be brought back."""
        index = self.state.index
        return len(index) - sum(room in index for rooms in (self.state.rooms, self.state.away) for room in rooms)

    @property
    def is_crowded(self) -> bool:
        """Whether memory is full and no room can leave it before the next snapshot. The engine asks in every turn, so this looks at no room."""
        return len(self.state.rooms) >= self._rooms_max and bool(self._unsaved) and self.next_ms() is None

    # Out of memory

    def note(self, room: str, time_ms: int, *, rests: bool) -> None:
        """Something happened in a room, or it was looked at; it `rests` when it is closed and waits for no time."""
        saved = self.snapshots.has(room)
        self._ready.set(room, time_ms + self._after_ms if rests and saved else None)
        self._unsaved.pop(room, None)
        if rests and not saved:
            self._unsaved[room] = time_ms + self._after_ms
        if not rests or not saved:
            self._brought_back_bytes -= self._brought_back.pop(room, 0)

    async def save(self) -> None:
        """Write the snapshot that was begun; resting rooms that waited for it may be archived now. Raises what `Snapshots.save` raises."""
        await self.snapshots.save()
        for room in [room for room in self._unsaved if self.snapshots.has(room)]:
            self._ready.set(room, self._unsaved.pop(room))

    def next_ms(self) -> int | None:
        """When the next room is to be archived; `None` when no room rests that the newest snapshot has."""
        return self._ready.next_ms()

    def tidy(self, now_ms: int) -> None:
        """Archive the rooms whose time has come, those of which there are too many, and the first of those that take too much."""
        for room in self._ready.take(now_ms, ARCHIVED_PER_TURN_MAX):
            self._archive(room)
        while len(self.state.rooms) > self._rooms_max and self._make_space(""):
            pass
        while self._brought_back_bytes > BROUGHT_BACK_BYTES_MAX and len(self._brought_back) > 1:  # one room alone may be as large as it is
            self._archive(next(iter(self._brought_back)))

    def _make_space(self, but: str) -> bool:
        """Archive the room that was not used for longest, before its time; not `but`.

        A room in which the step that is under way made something happen is passed over. It is noted again when that step ends.
        """
        kept_ms: int | None = None
        found = False
        while not found and (due_ms := self._ready.next_ms()) is not None:
            (room,) = self._ready.take(due_ms, 1)
            if room == but:
                kept_ms = due_ms
            elif room in self.state.rooms and self.snapshots.has(room):
                self._archive(room)
                found = True
        if kept_ms is not None:
            self._ready.set(but, kept_ms)
        return found

    def _archive(self, room: str) -> None:
        self.state.rooms.pop(room, None)
        self._ready.set(room, None)
        self._brought_back_bytes -= self._brought_back.pop(room, 0)

    # Back into memory

    def want(self, requests: Iterable[Request]) -> None:
        """Commands have come; rooms that they name are brought back before they are decided, as many as may wait."""
        here = self.state.rooms
        for request in requests:
            if request.room not in here and self.state.is_archived(request.room) and len(self._wanted) < WANTED_ROOMS_MAX:
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
        state.outcomes.end_record(state.time_ms)  # a shorter memory may be set now
        await archive.load([room for room, entry in whole.entries().items() if not entry.resting], state.time_ms)
    return archive
