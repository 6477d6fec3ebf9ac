"""A reader of one partition.

It starts at a snapshot, applies the acceptance rule, and gives accepted records only.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from msgspec import Struct

from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.base import Journal
from liveroom.journal.room_index import IndexEntry, load_whole
from liveroom.protocol.records import Record, Takeover

__all__ = ["AcceptedRecord", "Beginning", "follow"]


class Beginning(Struct, frozen=True):
    """The first item: the index of the rooms in the newest snapshot. Empty without a snapshot, and when the follower starts at the oldest one."""

    rooms: dict[str, IndexEntry]


class AcceptedRecord(Struct, frozen=True):
    """An accepted record with its offset of `events[p]`."""

    offset: int
    record: Record


async def follow(
    journal: Journal,
    partition: int,
    on_skipped: Callable[[Verdict], None],
    on_read: Callable[[int], None] = lambda offset: None,
    *,
    from_oldest: bool = False,
) -> AsyncGenerator[Beginning | AcceptedRecord]:
    """Follow a partition without end: one `Beginning`, then every accepted record in order.

    It starts at the newest snapshot, or at the oldest stored one to include some history.
    After the consumer has taken all entries below an offset, it calls `on_read` with that offset; so a reader knows when it has caught up.
    """
    if from_oldest:
        snapshot, rooms = next(reversed(await journal.load_snapshots(partition)), None), {}
    else:
        whole = await load_whole(journal, partition)
        snapshot, rooms = (whole.snapshot, whole.entries()) if whole else (None, {})
    acceptance = snapshot.acceptance.copy() if snapshot else Acceptance()
    offset = snapshot.offset if snapshot else 0
    yield Beginning(rooms)
    on_read(offset)
    async with aclosing(journal.read_events(partition, offset)) as entries:
        async for stored in entries:
            verdict = acceptance.judge(stored.offset, stored.entry)
            if verdict is Verdict.accepted:
                assert not isinstance(stored.entry, Takeover)
                yield AcceptedRecord(stored.offset, stored.entry)
            elif verdict is not Verdict.takeover:
                on_skipped(verdict)
            on_read(stored.offset + 1)
