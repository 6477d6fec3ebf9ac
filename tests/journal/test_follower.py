"""A follower begins with a snapshot's rooms and gives the records that count, nothing else."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.base import Journal, Snapshot, SnapshotPart
from liveroom.journal.follower import AcceptedRecord, Start, follow, newest_start, oldest_start
from liveroom.journal.room_index import IndexEntry
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Keyframe
from tests.journal.entries import append_all, record, take, takeover


async def test_a_new_journal_begins_with_no_rooms(journal: Journal) -> None:
    """Without a snapshot the follower starts at offset 0 with no rooms."""
    await append_all(journal, [takeover(), record(0, 0, 0, 1)])
    start = await newest_start(journal, 0)
    assert start == await oldest_start(journal, 0) == Start()
    assert await take(follow(journal, 0, start, _unexpected), 1) == [AcceptedRecord(1, record(0, 0, 0, 1))]


async def test_only_records_that_count_are_given(journal: Journal) -> None:
    """Takeovers are passed over silently, skipped records are reported with the verdict."""
    skipped: list[Verdict] = []
    await append_all(journal, [takeover("a"), record(0, 0, 0, 1), takeover("b"), record(0, 1, 1, 2), record(2, 0, 1, 3, after="a-0")])
    start = Start()
    assert await take(follow(journal, 0, start, skipped.append), 2) == [
        AcceptedRecord(1, record(0, 0, 0, 1)),
        AcceptedRecord(4, record(2, 0, 1, 3, after="a-0")),
    ]
    assert skipped == [Verdict.foreign_fencing_epoch]
    assert (start.acceptance.fencing_epoch, start.acceptance.step) == (2, 1)


async def test_a_follower_starts_at_the_newest_snapshot(journal: Journal) -> None:
    """It gives the snapshot's rooms, then judges what follows with the snapshot's state of the rule."""
    await append_all(journal, [takeover(), record(0, 0, 0, 1), record(0, 1, 1, 2), record(0, 2, 2, 3)])
    old, new = (
        IndexEntry(SnapshotPart(0, ""), resting=True, summary=Keyframe(room, "e", seq, 5, "Lamps", "anna", True, 1))
        for room, seq in (("one", 1), ("one", 2))
    )
    other = replace(old, summary=replace(old.summary, room="two"))
    segments = tuple([tuple(await journal.put_parts(0, [encode(entries)])) for entries in ([old, other], [new])])
    await journal.save_snapshot(0, Snapshot(3, 0, Acceptance(0, 2, 2), segments, first=segments[0][0].place))
    start = await newest_start(journal, 0)
    assert (start.offset, start.rooms) == (3, {"one": new, "two": other})
    assert await take(follow(journal, 0, start, _unexpected), 1) == [AcceptedRecord(3, record(0, 2, 2, 3))]


async def test_a_follower_goes_on_without_end(journal: Journal) -> None:
    """At the end it waits, and gives what comes."""
    follower = follow(journal, 0, Start(), _unexpected)
    waiting = asyncio.ensure_future(anext(follower))
    await append_all(journal, [takeover(), record(0, 0, 0, 1)])
    assert await waiting == AcceptedRecord(1, record(0, 0, 0, 1))
    await follower.aclose()


def _unexpected(verdict: Verdict) -> None:
    raise AssertionError(f"skipped as {verdict}")
