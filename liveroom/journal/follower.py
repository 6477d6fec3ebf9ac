"""Reads the accepted records of one partition.

A reader starts at a snapshot or at a position of its own, applies the acceptance rule, and gets accepted records only.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from msgspec import Struct, field

from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.base import Journal
from liveroom.journal.room_index import IndexEntry, load_whole
from liveroom.protocol.records import Record, Takeover

__all__ = ["AcceptedRecord", "Start", "follow", "newest_start", "oldest_start"]


class Start(Struct):
    """The position at which reading starts. `follow` keeps `acceptance` current: it includes every entry that it has read.

    `rooms` is the index of the rooms in the snapshot at this position.
    """

    offset: int = 0
    acceptance: Acceptance = field(default_factory=Acceptance)
    rooms: dict[str, IndexEntry] = field(default_factory=dict)


class AcceptedRecord(Struct, frozen=True):
    """An accepted record with its offset of `events[p]`."""

    offset: int
    record: Record


async def newest_start(journal: Journal, partition: int) -> Start:
    """The newest whole snapshot with its rooms, or the beginning of the log."""
    whole = await load_whole(journal, partition)
    return Start(whole.snapshot.offset, whole.snapshot.acceptance.copy(), whole.entries()) if whole else Start()


async def oldest_start(journal: Journal, partition: int) -> Start:
    """The oldest stored snapshot without its rooms, or the beginning of the log: for readers who want some history."""
    snapshot = next(reversed(await journal.load_snapshots(partition)), None)
    return Start(snapshot.offset, snapshot.acceptance.copy()) if snapshot else Start()


async def follow(
    journal: Journal,
    partition: int,
    start: Start,
    on_skipped: Callable[[Verdict], None],
    on_read: Callable[[int], None] = lambda offset: None,
    *,
    background: bool = False,
) -> AsyncGenerator[AcceptedRecord]:
    """Follow a partition from `start` on without end: every accepted record in order.

    After the consumer has taken all entries below an offset, it calls `on_read` with that offset; so a reader knows when it has caught up.
    `background` is for readers that are not urgent.
    """
    acceptance = start.acceptance
    on_read(start.offset)
    read = journal.read_events_in_background if background else journal.read_events
    async with aclosing(read(partition, start.offset)) as entries:
        async for stored in entries:
            verdict = acceptance.judge(stored.offset, stored.entry)
            if verdict is Verdict.accepted:
                assert not isinstance(stored.entry, Takeover)
                yield AcceptedRecord(stored.offset, stored.entry)
            elif verdict is not Verdict.takeover:
                on_skipped(verdict)
            on_read(stored.offset + 1)
