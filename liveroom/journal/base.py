"""The journal's interface: commands in, one ordered log of entries out, snapshots beside it.

Every partition has two logs, `commands[p]` and `events[p]`, and a few snapshots. Offsets count entries
from 0. What is read comes in order, events without gaps, and never before it is durable. All implementations
pass one contract suite (`tests/journal/test_contract.py`).
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
from liveroom.protocol.records import Claim, Entry, Request

__all__ = [
    "PAYLOAD_CHARS_MAX",
    "STOPPED_RUNBOOK",
    "CommandBatch",
    "DeadLetter",
    "Journal",
    "Part",
    "PastEntry",
    "Snapshot",
    "StoredEntry",
    "decode_gone",
    "hash_of",
    "mark_of",
    "write_future",
]

#: What a person does about a partition of a journal in Kafka that has stopped: errors and log lines about one name it.
STOPPED_RUNBOOK: Final = "docs/kafka.md#when-a-partition-has-stopped"


class CommandBatch(Struct, frozen=True, gc=False):
    """Commands that were sent together and stand at one offset of `commands[p]`.

    When they could not be decoded `poison` says why, and `payload` is the beginning of what was there.
    """

    offset: int
    requests: tuple[Request, ...]
    poison: str = ""
    payload: str = ""


class StoredEntry(Struct, frozen=True, gc=False):
    """A claim or a record at its offset of `events[p]`."""

    offset: int
    entry: Entry


class PastEntry(Struct, frozen=True, gc=False):
    """An entry as it is stored: `body` is its bytes, `None` where nothing stands; `verdict` is what stands beside it, empty where nothing does."""

    offset: int
    entry: Entry
    body: bytes | None
    verdict: str = ""


class Part(Struct, frozen=True, array_like=True, gc=False):
    """A piece of a partition's state that is stored once and named by any number of snapshots: where it is, and the hash of its bytes."""

    place: int
    hash: str


#: What the parts hold that list what is gone.
decode_gone: Callable[[bytes], list[Part]] = msgspec.json.Decoder(list[Part]).decode


def hash_of(body: bytes) -> str:
    """The hash by which a part is known."""
    return blake2b(body, digest_size=16).hexdigest()


class Snapshot(Struct, frozen=True):
    """A fold of all accepted entries of a partition below `offset`. It names its parts; most of them are those of the snapshot before.

    `rooms` is the index of all rooms, which names a part for each room, in segments of some parts each; a later segment overrides an
    earlier one. `outcomes` are the parts that hold what became of commands: those of commands that moved no money, then those of the others.
    `forgotten` says how many of the first outcomes of each kind no longer count; a part is written once and may hold some.
    `gone` are the parts that list what the snapshot before names and this one does not.
    `before` is the offset of the snapshot before, on which this one builds, -1 for none; `first` is where the first part was put that was made
    for this one, -1 for none. Parts between these two places belong to unfinished snapshots.
    `mark` is that of the last entry that was folded: where a log's end may be lost, another one may stand there by now.
    """

    offset: int
    time_ms: int
    acceptance: Acceptance
    rooms: tuple[tuple[Part, ...], ...] = ()
    outcomes: tuple[Part, ...] = ()
    forgotten: tuple[int, int] = (0, 0)
    gone: tuple[Part, ...] = ()
    before: int = -1
    first: int = -1
    mark: str = ""


def mark_of(entry: Entry) -> str:
    """What tells an entry from any other that might come to stand in its place."""
    return entry.nonce if isinstance(entry, Claim) else f"{entry.epoch}-{entry.step}-{entry.from_}-{entry.to}-{entry.time_ms}"


def write_future() -> Future[int]:
    """A future for the offset of a write. Its error is not logged when nobody looks at it: who gave up on one write looks at none behind it."""
    future: Future[int] = asyncio.get_running_loop().create_future()
    future.add_done_callback(_look_at)
    return future


def _look_at(future: Future[int]) -> None:
    if not future.cancelled():
        future.exception()


#: Characters of what is set aside that go into its dead letter; all of it stands at its offset of the commands, where those are kept.
PAYLOAD_CHARS_MAX = 10_000


class DeadLetter(Struct, frozen=True):
    """A command that could not be decoded or decided, set aside with the reason; `payload` is its beginning."""

    partition: int
    offset: int
    time_ms: int
    reason: str
    payload: str


class Journal(ABC):
    """Raises: `JournalUnavailable` when nothing was written, `WriteUnknown` when nobody can know."""

    #: Number of partitions; fixed when the journal is made.
    partitions: int
    #: Whether other processes may have it too.
    shared: bool = False

    def incarnation(self, partition: int) -> str:
        """What names the partition's history; empty for the first one.

        It changes when a person takes a log for the present that lacks entries which were confirmed. Cursors into its rooms' streams are of
        another history then.
        """
        return ""

    @property
    def unreachable(self) -> frozenset[int]:
        """Partitions that this process reads and whose log has not answered for a while; an embedded journal is always there."""
        return frozenset()

    @property
    def damaged(self) -> Mapping[int, str]:
        """Partitions in which this process found damage, and what: it neither reads nor writes them until it is started again."""
        return {}

    async def until_damaged(self) -> JournalDamaged:
        """Wait until this process' journal is found damaged, so that no part can go on; gives what was found.

        A journal of many processes stops single partitions instead, and waits here without end.
        """
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    @abstractmethod
    async def send_commands(self, partition: int, requests: Sequence[Request]) -> None:
        """Append requests to `commands[p]` as one batch; returns when they were taken. Raises `JournalFull`."""

    @abstractmethod
    def read_commands(self, partition: int, offset: int) -> AsyncGenerator[CommandBatch]:
        """Follow `commands[p]` from `offset` on, without end; close the iterator to stop. Some offsets may hold nothing."""

    @abstractmethod
    def append(self, partition: int, entry: Entry) -> Future[int]:
        """Append to `events[p]`, ordered by call; the future gives the offset once the entry is durable."""

    @abstractmethod
    def read_events(self, partition: int, offset: int) -> AsyncGenerator[StoredEntry]:
        """Follow `events[p]` from `offset` on, without end; close the iterator to stop."""

    def read_events_in_background(self, partition: int, offset: int) -> AsyncGenerator[StoredEntry]:
        """As `read_events` for those whom nobody waits for: where each look costs something, what came within some ms is had at once."""
        return self.read_events(partition, offset)

    @abstractmethod
    async def events_end(self, partition: int) -> int:
        """The offset that the next entry of `events[p]` will get, as far as is durable."""

    async def put_parts(self, partition: int, bodies: Sequence[bytes]) -> list[Part]:
        """Store parts of a snapshot that is being made, each no larger than a record may be, all of one call in one go."""
        places = await self._put_parts(partition, [(hash_of(body), body) for body in bodies])
        return [Part(place, hash_of(body)) for place, body in zip(places, bodies, strict=True)]

    async def get_parts(self, partition: int, parts: Sequence[Part]) -> list[bytes | None]:
        """The bytes of parts; `None` for one that is not there or does not have its hash."""
        bodies = await self._get_parts(partition, [part.place for part in parts])
        return [body if body is not None and hash_of(body) == part.hash else None for part, body in zip(parts, bodies, strict=True)]

    @abstractmethod
    async def _put_parts(self, partition: int, parts: Sequence[tuple[str, bytes]]) -> list[int]:
        """Store parts with their hashes; the places where they are, ascending from call to call."""

    @abstractmethod
    async def _get_parts(self, partition: int, places: Sequence[int]) -> list[bytes | None]:
        """What is at these places."""

    @abstractmethod
    async def save_snapshot(self, partition: int, snapshot: Snapshot) -> None:
        """Keep a snapshot whose parts are stored. Older ones may be dropped, all but the newest few, and the parts that none of those names."""

    @abstractmethod
    async def load_snapshots(self, partition: int) -> list[Snapshot]:
        """The snapshots that are kept, newest first; whether their parts are there is seen when those are read."""

    @abstractmethod
    async def write_dead_letter(self, letter: DeadLetter) -> None:
        """Write a line to the dead-letter log."""

    async def assignments(self) -> AsyncGenerator[frozenset[int]]:
        """The partitions that this process' engine should own, and again each time that they change; close the iterator to own none.

        Who does own a partition is decided by claims alone. A journal of one process gives all of them, once.
        """
        yield frozenset(range(self.partitions))
        await asyncio.get_running_loop().create_future()

    @abstractmethod
    async def close(self) -> None:
        """Write what was accepted, then release everything; later calls raise `JournalUnavailable`."""
