"""Snapshots of a partition.

Each one writes the rooms that changed since the last one, and refers to the stored parts of all others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from liveroom.config.schema import RoomsConfig
from liveroom.engine.partition import PartitionState
from liveroom.journal.acceptance import Acceptance
from liveroom.journal.base import Journal, Snapshot, SnapshotPart
from liveroom.journal.idempotency import IdempotencyStore, Outcome
from liveroom.journal.room_index import IndexEntry, RoomPart, Whole, decode_entry, summary_of
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Keyframe
from liveroom.protocol.records import CommandReply
from liveroom.rooms.room import detail, encode_state, rests

__all__ = ["Moment", "PartitionSnapshots"]

#: Bytes of parts that are written to the journal in one call. Records wait while they are written.
SLICE_BYTES: Final = 512 * 1024
#: A part of the index, or of a list of dropped parts, is closed at this size. It has to fit into a record of the journal.
PART_BYTES: Final = 256 * 1024
#: Outcomes in a full part, which is never written again.
OUTCOMES_PER_PART: Final = 1_000
#: Longest time in seconds that a snapshot works before it yields to the event loop.
BREATH_S: Final = 0.002

_outcomes = msgspec.json.Decoder(list[Outcome])


class Moment(Struct, frozen=True):
    """The moment of a snapshot: it folds all accepted entries below `offset`, the last of which has the id `last_entry_id`."""

    offset: int
    last_entry_id: str
    acceptance: Acceptance
    time_ms: int


class _Segment(Struct, frozen=True):
    """A segment of the index: its parts and the rooms in it."""

    parts: tuple[SnapshotPart, ...]
    rooms: tuple[str, ...]


class _Stretch(Struct, frozen=True):
    """One part with the outcomes of the positions from `start` to `end`."""

    start: int
    end: int
    part: SnapshotPart

    @property
    def size(self) -> int:
        return self.end - self.start


class _Fresh(Struct, frozen=True):
    """Outcomes from position `start` on that no full part holds, grouped by time.

    The first `forgotten` outcomes of the oldest part no longer count.
    """

    forgotten: int
    start: int
    groups: list[tuple[int, tuple[CommandReply, ...]]]


class _Encoded(Struct, frozen=True):
    """A room's part and the content of its entry, at the moment of a snapshot."""

    body: bytes
    resting: bool
    summary: Keyframe


class _Breath:
    """Yields to the event loop whenever the work took `BREATH_S`."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    async def take(self) -> None:
        if time.monotonic() - self._began >= BREATH_S:
            await asyncio.sleep(0)
            self._began = time.monotonic()


class PartitionSnapshots:
    """The snapshots of one partition: the newest one and, while it is saved, the next one.

    The next one shows the state at `begin`.
    Its rooms are encoded bit by bit afterwards.
    A room that changes meanwhile is encoded before the change.
    """

    def __init__(self, journal: Journal, partition: int, state: PartitionState, rules: RoomsConfig) -> None:
        self._journal = journal
        self._partition = partition
        self._state = state
        self._rules = rules
        self._segments: list[_Segment] = []
        self._stretches: dict[bool, list[_Stretch]] = {False: [], True: []}
        self._before = -1
        self._moment: Moment
        self._pending: dict[str, _Encoded | None] = {}  # rooms that are not stored yet
        self._begun: dict[str, None] = {}  # all rooms of the snapshot that is being saved
        self._spoiled: Exception | None = None  # the error of a room that could not be encoded before it changed
        self._fresh: dict[bool, _Fresh] = {}
        self._gone: list[SnapshotPart] = []  # parts that the newest snapshot names and the next one will not
        self._first = -1
        state.before_change = self._keep

    def load(self, whole: Whole) -> None:
        """Continue from the snapshot that `state` was restored from."""
        snapshot = whole.snapshot
        self._state.index = {room: encode(entry) for room, entry in whole.entries().items()}
        segments = zip(snapshot.rooms, whole.segments, strict=True)
        self._segments = [_Segment(parts, tuple(entry.summary.room for entry in entries)) for parts, entries in segments]
        forgotten = dict(zip((False, True), snapshot.forgotten, strict=True))
        for part, body in zip(snapshot.outcomes, whole.outcomes, strict=True):
            outcomes = _outcomes.decode(body)
            money = outcomes[0].money_role is not None
            self._load_outcomes(part, outcomes, money, forgotten[money])
        self._gone, self._before = list(snapshot.gone), snapshot.offset

    def _load_outcomes(self, part: SnapshotPart, outcomes: list[Outcome], money: bool, forgotten: int) -> None:
        """Load the outcomes of a part, all of one kind. The first `forgotten` outcomes of the oldest part do not count."""
        stretches = self._stretches[money]
        _, end = self._state.outcomes.span(money=money)
        start = stretches[-1].end if stretches else end - forgotten
        self._state.outcomes.add(outcomes[end - start :])
        stretches.append(_Stretch(start, start + len(outcomes), part))

    @property
    def offset(self) -> int:
        """The offset of the newest snapshot, -1 when there is none."""
        return self._before

    def has(self, room: str) -> bool:
        """Whether the newest snapshot holds the current state of the room."""
        return room in self._state.index and room not in self._state.changed and room not in self._begun

    def begin(self, moment: Moment) -> None:
        """Begin the next snapshot; it shows the state of this moment."""
        state = self._state
        self._moment = moment
        self._pending = dict.fromkeys(room for room in state.changed if room in state.rooms)
        self._begun, self._spoiled = dict.fromkeys(self._pending), None
        state.changed.clear()
        self._first = -1
        self._fresh = {money: self._take_fresh(state.outcomes, money) for money in (False, True)}

    def _take_fresh(self, outcomes: IdempotencyStore, money: bool) -> _Fresh:
        """The outcomes that need a new part; drops the parts whose outcomes are all forgotten.

        Small parts at the end are merged into the new one, so that there are few.
        """
        first, end = outcomes.span(money=money)
        stretches = self._stretches[money]
        while stretches and stretches[0].end <= first:
            self._gone.append(stretches.pop(0).part)
        start = stretches[-1].end if stretches else first
        while stretches and start < end and stretches[-1].size <= min(2 * (end - start), OUTCOMES_PER_PART - 1):
            merged = stretches.pop()
            self._gone.append(merged.part)
            start = max(first, merged.start)
        forgotten = first - stretches[0].start if stretches else 0
        return _Fresh(forgotten, start, outcomes.since(start, money=money))

    async def save(self) -> None:
        """Write the snapshot that was begun. Raises `JournalError`, or the error of a room that cannot be encoded; then call `abandon`."""
        moment = self._moment
        entries = await self._put_rooms()
        await self._put_index(entries)
        for money, fresh in self._fresh.items():
            await self._put_outcomes(money, fresh)
        gone = await self._put_list(encode(part) for part in self._gone)
        snapshot = Snapshot(
            offset=moment.offset,
            time_ms=moment.time_ms,
            acceptance=moment.acceptance,
            rooms=tuple(segment.parts for segment in self._segments),
            outcomes=tuple(stretch.part for stretches in self._stretches.values() for stretch in stretches),
            forgotten=(self._fresh[False].forgotten, self._fresh[True].forgotten),
            gone=gone,
            before=self._before,
            first=self._first,
            last_entry_id=moment.last_entry_id,
        )
        await self._journal.save_snapshot(self._partition, snapshot)
        self._gone, self._before = list(gone), moment.offset
        self._fresh, self._begun = {}, {}

    def abandon(self) -> None:
        """Give up the snapshot that was begun. Its rooms belong to the next one."""
        self._pending.clear()
        self._state.changed |= self._begun
        self._fresh, self._begun = {}, {}

    def _keep(self, room: str) -> None:
        """Encode a room before it changes, since the snapshot shows its state before.

        A room that cannot be encoded fails the snapshot, but no command.
        """
        if room in self._pending and self._pending[room] is None:
            try:
                self._pending[room] = self._encode(room)
            except Exception as error:
                self._spoiled = error

    def _encode(self, room: str) -> _Encoded:
        state = self._state.rooms[room]
        whole = detail(room, state, self._moment.time_ms, self._rules)
        body = encode(RoomPart(room, msgspec.Raw(encode_state(state)), msgspec.Raw(encode(whole))))
        return _Encoded(body, rests(state), summary_of(whole.keyframe))

    async def _put_rooms(self) -> dict[str, bytes]:
        """Store the changed rooms; gives their index entries."""
        entries: dict[str, bytes] = {}
        breath = _Breath()
        some: list[tuple[str, _Encoded]] = []
        size = 0
        for room in self._begun:
            if self._spoiled is not None:
                raise self._spoiled
            encoded = self._pending.pop(room) or self._encode(room)
            some.append((room, encoded))
            size += len(encoded.body)
            if size >= SLICE_BYTES:
                await self._put_some(some, entries)
                some, size = [], 0
            await breath.take()
        await self._put_some(some, entries)
        return entries

    async def _put_some(self, some: list[tuple[str, _Encoded]], entries: dict[str, bytes]) -> None:
        parts = await self._put([encoded.body for _, encoded in some])
        for (room, encoded), part in zip(some, parts, strict=True):
            before = self._state.index.get(room)
            if before is not None and (old := decode_entry(before).part).hash != part.hash:
                self._gone.append(old)
            entries[room] = encode(IndexEntry(part, encoded.resting, encoded.summary))

    async def _put_index(self, entries: dict[str, bytes]) -> None:
        """Add an index segment with the changed entries. It absorbs older segments that are not much larger, so that there are few."""
        if not entries:
            return
        self._state.index |= entries
        rooms = dict.fromkeys(entries)
        while self._segments and len(self._segments[-1].rooms) <= 2 * len(rooms):
            merged = self._segments.pop()
            self._gone += merged.parts
            rooms.update(dict.fromkeys(merged.rooms))
        parts = await self._put_list(self._state.index[room] for room in rooms)
        self._segments.append(_Segment(parts, tuple(rooms)))

    async def _put_outcomes(self, money: bool, fresh: _Fresh) -> None:
        breath = _Breath()
        start, some = fresh.start, list[Outcome]()
        for time_ms, replies in fresh.groups:
            for command_reply in replies:
                some.append(
                    Outcome(command_reply.room, command_reply.user, time_ms, command_reply.digest, command_reply.reply, command_reply.money_role)
                )
                if len(some) == OUTCOMES_PER_PART:
                    start, some = await self._put_stretch(money, start, some), []
            await breath.take()
        await self._put_stretch(money, start, some)

    async def _put_stretch(self, money: bool, start: int, outcomes: list[Outcome]) -> int:
        """Store a part of outcomes; gives the position where it ends."""
        end = start + len(outcomes)
        for part in await self._put([encode(outcomes)] if outcomes else []):
            self._stretches[money].append(_Stretch(start, end, part))
        return end

    async def _put_list(self, items: Iterable[bytes]) -> tuple[SnapshotPart, ...]:
        """Store a list of encoded JSON values in parts, each of which is a list."""
        parts: list[SnapshotPart] = []
        some: list[bytes] = []
        size = 0
        for item in items:
            some.append(item)
            size += len(item)
            if size >= PART_BYTES:
                parts += await self._put([b"[" + b",".join(some) + b"]"])
                some, size = [], 0
        if some:
            parts += await self._put([b"[" + b",".join(some) + b"]"])
        return tuple(parts)

    async def _put(self, bodies: list[bytes]) -> list[SnapshotPart]:
        if not bodies:
            return []
        parts = await self._journal.put_parts(self._partition, bodies)
        if self._first < 0:
            self._first = parts[0].place
        return parts
