"""The journal's interface: commands go in, one ordered log of entries comes out, and snapshots lie beside it.

Every partition has two logs, `commands[p]` and `events[p]`, and a few snapshots.
Offsets count entries from 0.
Readers get entries in order, events without gaps, and never before they are durable.
All implementations pass one contract suite (`tests/journal/test_contract.py`).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from asyncio import Future
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct

from liveroom.journal.acceptance import Acceptance
from liveroom.messages.errors import JournalDamaged
from liveroom.protocol.records import Entry, Request, Takeover

__all__ = [
    "PAYLOAD_CHARS_MAX",
    "STOPPED_RUNBOOK",
    "CommandBatch",
    "DeadLetter",
    "Journal",
    "PastEntry",
    "Snapshot",
    "SnapshotPart",
    "StoredEntry",
    "decode_gone",
    "entry_id",
    "hash_of",
    "write_future",
]

#: The runbook for a stopped partition of a journal in Kafka. Errors and log lines about such a partition name it.
STOPPED_RUNBOOK: Final = "docs/kafka.md#when-a-partition-has-stopped"


class CommandBatch(Struct, frozen=True, gc=False):
    """Commands that were sent together and share one offset of `commands[p]`.

    When they cannot be decoded, `poison` says why, and `payload` is the beginning of the data.
    """

    offset: int
    requests: tuple[Request, ...]
    poison: str = ""
    payload: str = ""


class StoredEntry(Struct, frozen=True, gc=False):
    """A takeover or a record, with its offset of `events[p]`."""

    offset: int
    entry: Entry


class PastEntry(Struct, frozen=True, gc=False):
    """A stored entry.

    `body` is its bytes, or `None` where `kafka.skip_offsets` skips an entry; `verdict` is the stored verdict, if the journal stores one.
    """

    offset: int
    entry: Entry
    body: bytes | None
    verdict: str = ""


class SnapshotPart(Struct, frozen=True, array_like=True, gc=False):
    """A piece of a partition's state, stored once and named by any number of snapshots: its place, and the hash of its bytes."""

    place: int
    hash: str


#: Decodes a part that lists dropped parts.
decode_gone: Callable[[bytes], list[SnapshotPart]] = msgspec.json.Decoder(list[SnapshotPart]).decode


def hash_of(body: bytes) -> str:
    """The hash that identifies a part."""
    return blake2b(body, digest_size=16).hexdigest()


class Snapshot(Struct, frozen=True):
    """A fold of all accepted entries of a partition below `offset`.
    It names its parts, most of which it shares with the snapshot before.

    - `rooms`: the index of all rooms, in segments of some parts each. It names a part for each room; a later segment overrides an earlier
      one.
    - `outcomes`: the parts with the outcomes of commands: first of those that moved no money, then of the others.
    - `forgotten`: how many of the oldest outcomes of each kind to ignore; parts are never rewritten.
    - `gone`: parts holding the list of parts that the snapshot before names and this one does not.
    - `before`: the offset of the snapshot before, on which this one builds; -1 for none.
    - `first`: the place of the first part that was written for this snapshot; -1 for none. Parts between these two places belong to
      unfinished snapshots.
    - `last_entry_id`: `entry_id` of the last folded entry. It shows whether the log lost its end and another entry has taken that place.
    """

    offset: int
    time_ms: int
    acceptance: Acceptance
    rooms: tuple[tuple[SnapshotPart, ...], ...] = ()
    outcomes: tuple[SnapshotPart, ...] = ()
    forgotten: tuple[int, int] = (0, 0)
    gone: tuple[SnapshotPart, ...] = ()
    before: int = -1
    first: int = -1
    last_entry_id: str = ""


def entry_id(entry: Entry) -> str:
    """A text that distinguishes an entry from any other that might take its place."""
    return entry.nonce if isinstance(entry, Takeover) else f"{entry.fencing_epoch}-{entry.step}-{entry.from_}-{entry.to}-{entry.time_ms}"


def write_future() -> Future[int]:
    """A future for the offset of a write. Its error is not logged if nobody awaits it: after one failed write, a caller drops the later ones."""
    future: Future[int] = asyncio.get_running_loop().create_future()
    future.add_done_callback(_look_at)
    return future


def _look_at(future: Future[int]) -> None:
    if not future.cancelled():
        future.exception()


#: Characters of a command that go into its dead letter.
#: The whole command stays at its offset of the commands, where the journal keeps those.
PAYLOAD_CHARS_MAX = 10_000


class DeadLetter(Struct, frozen=True):
    """A command that could not be decoded or decided, with the reason. `payload` is the beginning of the command."""

    partition: int
    offset: int
    time_ms: int
    reason: str
    payload: str


class Journal(ABC):
    """The interface of all journals. Raises: `JournalUnavailable` when nothing was written, `WriteUnknown` when the outcome cannot be known."""

    #: The number of partitions, fixed when the journal is made.
    partitions: int
    #: Whether other processes may use the journal too.
    shared: bool = False

    @property
    def identity(self) -> str:
        """A text that names this journal; another journal in the same place has another one."""
        return ""

    def incarnation(self, partition: int) -> str:
        """The name of the partition's history; empty for the first one.

        It changes when an operator accepts a log that lacks confirmed entries.
        Cursors into the streams of its rooms then belong to another history.
        """
        return ""

    @property
    def unreachable(self) -> frozenset[int]:
        """Partitions that this process reads and whose log has not answered for a while. An embedded journal always answers."""
        return frozenset()

    @property
    def damaged(self) -> Mapping[int, str]:
        """Damaged partitions, with the damage. This process neither reads nor writes them until it restarts."""
        return {}

    async def until_damaged(self) -> JournalDamaged:
        """Wait until the whole journal of this process is found damaged; gives the damage.

        A journal of many processes stops single partitions instead, and never returns from here.
        """
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    @abstractmethod
    async def send_commands(self, partition: int, requests: Sequence[Request]) -> None:
        """Append requests to `commands[p]` as one batch; returns when the journal has taken them. Raises `JournalFull`."""

    @abstractmethod
    def read_commands(self, partition: int, offset: int) -> AsyncGenerator[CommandBatch]:
        """Follow `commands[p]` from `offset` on, without end.

        Close the iterator to stop.
        Some offsets may hold nothing.
        """

    @abstractmethod
    def append(self, partition: int, entry: Entry) -> Future[int]:
        """Append to `events[p]`, ordered by call; the future gives the offset once the entry is durable."""

    @abstractmethod
    def read_events(self, partition: int, offset: int) -> AsyncGenerator[StoredEntry]:
        """Follow `events[p]` from `offset` on, without end. Close the iterator to stop."""

    def read_events_in_background(self, partition: int, offset: int) -> AsyncGenerator[StoredEntry]:
        """Like `read_events`, for readers that are not urgent. Where each poll has a cost, it collects entries for some ms."""
        return self.read_events(partition, offset)

    @abstractmethod
    async def events_end(self, partition: int) -> int:
        """The offset of the next durable entry of `events[p]`."""

    async def put_parts(self, partition: int, bodies: Sequence[bytes]) -> list[SnapshotPart]:
        """Store parts of a new snapshot, all of one call together. Each part must fit into a record."""
        places = await self._put_parts(partition, [(hash_of(body), body) for body in bodies])
        return [SnapshotPart(place, hash_of(body)) for place, body in zip(places, bodies, strict=True)]

    async def get_parts(self, partition: int, parts: Sequence[SnapshotPart]) -> list[bytes | None]:
        """The bytes of parts; `None` for a part that is missing or has another hash."""
        bodies = await self._get_parts(partition, [part.place for part in parts])
        return [body if body is not None and hash_of(body) == part.hash else None for part, body in zip(parts, bodies, strict=True)]

    @abstractmethod
    async def _put_parts(self, partition: int, parts: Sequence[tuple[str, bytes]]) -> list[int]:
        """Store parts with their hashes. Gives their places, which ascend from call to call."""

    @abstractmethod
    async def _get_parts(self, partition: int, places: Sequence[int]) -> list[bytes | None]:
        """The bytes at these places."""

    @abstractmethod
    async def save_snapshot(self, partition: int, snapshot: Snapshot) -> None:
        """Store a snapshot whose parts are stored. May drop all but the newest few snapshots, and parts that none of them names."""

    @abstractmethod
    async def load_snapshots(self, partition: int) -> list[Snapshot]:
        """The stored snapshots, newest first. Missing parts only show when they are read."""

    @abstractmethod
    async def write_dead_letter(self, letter: DeadLetter) -> None:
        """Write a dead letter."""

    async def assignments(self) -> AsyncGenerator[frozenset[int]]:
        """The partitions that this process's engine should own, and again after each change.
        Close the iterator to own none.

        Only takeovers decide who owns a partition.
        A journal of one process gives all partitions, once.
        """
        yield frozenset(range(self.partitions))
        await asyncio.get_running_loop().create_future()

    @abstractmethod
    async def close(self) -> None:
        """Write all accepted entries, then release everything. Later calls raise `JournalUnavailable`."""
