"""A reader of one partition: starts at a snapshot, applies the acceptance rule, gives accepted records only."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from msgspec import Struct

from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.base import Journal
from liveroom.messages.frames import RoomDetail
from liveroom.messages.records import Claim, Record

__all__ = ["AcceptedRecord", "Beginning", "follow"]


class Beginning(Struct, frozen=True):
    """First item: the rooms as of the snapshot that the follower starts from (none at a journal's beginning)."""

    details: tuple[RoomDetail, ...]


class AcceptedRecord(Struct, frozen=True):
    """A record that counts, at its offset of `events[p]`."""

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

    It starts at the newest snapshot, or at the oldest that is kept to see some of the past too.
    `on_read` is told the offset below which everything was given out and taken: so a reader knows when it has caught up.
    """
    snapshot = await journal.load_snapshot(partition, oldest=from_oldest)
    acceptance = snapshot.acceptance.copy() if snapshot else Acceptance()
    offset = snapshot.offset if snapshot else 0
    yield Beginning(snapshot.details if snapshot else ())
    on_read(offset)
    async with aclosing(journal.read_events(partition, offset)) as entries:
        async for stored in entries:
            verdict = acceptance.judge(stored.offset, stored.entry)
            if verdict is Verdict.accepted:
                assert not isinstance(stored.entry, Claim)
                yield AcceptedRecord(stored.offset, stored.entry)
            elif verdict is not Verdict.claimed:
                on_skipped(verdict)
            on_read(stored.offset + 1)
