"""Promises of every journal; the `journal` fixture runs each test on each kind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from liveroom.journal.base import DeadLetter, Journal, Snapshot, SnapshotPart
from liveroom.messages.errors import JournalFull, JournalUnavailable
from liveroom.messages.fields import Role
from liveroom.protocol.codec import encode
from liveroom.protocol.records import Entry, Sender
from tests.journal.conftest import CONFIG
from tests.journal.entries import append_all, record, request, saved, snapshot, stored, take, takeover

#: Time for a record to be seen by the journal that wrote it.
SEEN_S = 20
#: A room of partition 1 of 2; the other tests' room is of partition 0.
ELSEWHERE = "toy-sale"


async def test_offsets_count_from_zero_in_order_of_the_calls(journal: Journal) -> None:
    """Entries get the offsets 0, 1, 2, ... in the order in which `append` was called, without waiting between the calls."""
    entries: list[Entry] = [takeover(), *(record(0, n, n, n + 1, text=f"line {n}") for n in range(500))]
    assert await append_all(journal, entries) == list(range(501))
    assert [s.entry for s in await stored(journal)] == entries
    assert await journal.events_end(0) == 501


async def test_partitions_are_apart(journal: Journal) -> None:
    """Each partition counts its own offsets and gives its own entries and commands."""
    assert await append_all(journal, [takeover("a")], 0) == [0]
    await journal.send_commands(1, [request("c0", ELSEWHERE)])
    assert await append_all(journal, [takeover("b"), record(0, 0, 0, 1)], 1) == [0, 1]
    await journal.send_commands(1, [request(room=ELSEWHERE)])
    assert [s.entry for s in await stored(journal, 0)] == [takeover("a")]
    assert len(await stored(journal, 1)) == 2
    batch = (await take(journal.read_commands(1, 1), 1))[0]
    assert (batch.offset, batch.requests) == (1, (request(room=ELSEWHERE),))


async def test_a_reader_starts_where_it_is_told(journal: Journal) -> None:
    """Reading from an offset gives that entry first."""
    await append_all(journal, [takeover(), record(0, 0, 0, 1), record(0, 1, 1, 2)])
    assert [s.offset for s in await take(journal.read_events(0, 1), 2)] == [1, 2]


async def test_a_reader_ahead_of_the_end_waits_for_its_offset(journal: Journal) -> None:
    """Reading from an offset that does not exist yet waits until it does."""
    reader = journal.read_events(0, 2)
    waiting = asyncio.ensure_future(anext(reader))
    await append_all(journal, [takeover(), record(0, 0, 0, 1)])
    assert not waiting.done()
    await append_all(journal, [record(0, 1, 1, 2)])
    assert (await waiting).offset == 2
    await reader.aclose()


async def test_readers_see_entries_as_they_come(journal: Journal) -> None:
    """Several readers follow at once, and each gets every entry once and in order."""

    async def read() -> list[int]:
        return [s.offset for s in await take(journal.read_events(0, 0), 300)]

    readers = [asyncio.create_task(read()) for _ in range(3)]
    await append_all(journal, [takeover()])
    for n in range(299):
        await journal.append(0, record(0, n, n, n + 1))
    assert await asyncio.gather(*readers) == [list(range(300))] * 3


async def test_an_entry_is_seen_by_readers_when_its_future_is_done(journal: Journal) -> None:
    """An entry whose future is done is visible to readers at once."""
    offset = await journal.append(0, takeover())
    assert await journal.events_end(0) == offset + 1
    assert (await take(journal.read_events(0, offset), 1))[0].entry == takeover()


async def test_entries_that_do_not_count_are_kept_too(journal: Journal) -> None:
    """The journal stores whatever is appended; which of it counts is for the acceptance rule to say."""
    zombie = record(7, 3, 9, 9, text="too late")
    await append_all(journal, [takeover(), zombie])
    assert [s.entry for s in await stored(journal)] == [takeover(), zombie]


async def test_a_caller_that_goes_away_does_not_undo_its_append(journal: Journal) -> None:
    """Cancelling the future of an append leaves the entry where it is."""
    journal.append(0, takeover()).cancel()
    assert await journal.append(0, record(0, 0, 0, 1)) == 1


async def test_commands_come_as_they_were_sent(journal: Journal) -> None:
    """Requests sent together stand at one offset, in order."""
    first, second = [request("c1"), request("c2")], [request("c3")]
    await journal.send_commands(0, first)
    await journal.send_commands(0, second)
    batches = await take(journal.read_commands(0, 0), 2)
    assert [(b.offset, list(b.requests), b.poison) for b in batches] == [(0, first, ""), (1, second, "")]


async def test_a_reader_of_commands_waits_for_more(journal: Journal) -> None:
    """At the end of the commands a reader waits."""
    reader = journal.read_commands(0, 0)
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    await journal.send_commands(0, [request()])
    assert (await waiting).offset == 0
    await reader.aclose()


async def test_commands_stay_until_a_record_that_counts_answers_them(journal: Journal) -> None:
    """An engine that takes over again reads from the last accepted `to`; records that do not count free nothing."""
    for n in range(3):
        await journal.send_commands(0, [request(f"c{n}")])
    await append_all(journal, [takeover(), record(0, 0, 0, 1), record(9, 1, 1, 3)])
    assert [b.offset for b in await take(journal.read_commands(0, 1), 2)] == [1, 2]


async def test_too_many_waiting_commands_are_refused(journal: Journal) -> None:
    """When as many of viewers' commands wait as may, more raise `JournalFull`, until a record is seen to answer some."""
    for n in range(9):
        await journal.send_commands(0, [request(f"c{n}-{i}") for i in range(10)])
    with pytest.raises(JournalFull, match="commands_waiting_max"):
        await journal.send_commands(0, [request("one-more")])
    await journal.send_commands(1, [request("elsewhere", ELSEWHERE)])
    await append_all(journal, [takeover(), record(0, 0, 0, 1)])
    async with asyncio.timeout(SEEN_S):
        while True:
            try:
                await journal.send_commands(0, [request("one-more")])
                break
            except JournalFull:
                await asyncio.sleep(0.01)


async def test_a_part_of_the_waiting_commands_is_kept_for_those_who_run_the_room(journal: Journal) -> None:
    """However many viewers' commands wait, a payment is taken, until all of `commands_waiting_max` wait."""
    platform = Sender("platform", "Platform", Role.platform)
    for n in range(9):
        await journal.send_commands(0, [request(f"c{n}-{i}") for i in range(10)])
    for n in range(CONFIG.commands_waiting_max - 90):
        await journal.send_commands(0, [replace(request(f"p{n}"), sender=platform)])
        with pytest.raises(JournalFull, match="commands_waiting_max"):
            await journal.send_commands(0, [request(f"one-more-{n}")])
    with pytest.raises(JournalFull, match="commands_waiting_max"):
        await journal.send_commands(0, [replace(request("one-too-many"), sender=platform)])


async def test_no_snapshot_at_first(journal: Journal) -> None:
    """A new journal has no snapshot."""
    assert await journal.load_snapshots(0) == []


async def test_the_newest_snapshots_are_kept(journal: Journal) -> None:
    """`snapshots_kept` of each partition come back equal, newest first."""
    await append_all(journal, [takeover(), *(record(0, n, n, n + 1) for n in range(5))])
    made = [await saved(journal, offset, before=before) for before, offset in pairwise((-1, 1, 3, 5))]
    elsewhere = await saved(journal, 0, (), partition=1)
    assert await journal.load_snapshots(0) == made[:0:-1]
    assert await journal.load_snapshots(1) == [elsewhere]


async def test_parts_come_back_with_their_bytes(journal: Journal) -> None:
    """In any order and any number of times; what was never put, is another partition's or has another hash is not there."""
    bodies = [b"\x00one", b"", b"x" * 300_000, *(b"%d" % number for number in range(200))]
    parts = [*await journal.put_parts(0, bodies[:2]), *await journal.put_parts(0, bodies[2:])]
    places = [part.place for part in parts]
    assert places == sorted(set(places))
    chosen = [2, 0, 199, 0, 1, 202, 50]
    assert await journal.get_parts(0, [parts[at] for at in chosen]) == [bodies[at] for at in chosen]
    strangers = [replace(parts[0], hash=parts[1].hash), SnapshotPart(parts[-1].place + 10_000, parts[0].hash)]
    assert await journal.get_parts(0, strangers) == [None, None]
    assert await journal.get_parts(0, []) == []


async def test_parts_stay_as_long_as_a_kept_snapshot_names_them(journal: Journal) -> None:
    """A part that the next snapshot names, too, outlives the snapshot that it was put for."""
    await append_all(journal, [takeover(), *(record(0, n, n, n + 1) for n in range(9))])
    shared = tuple(await journal.put_parts(0, [b"shared"]))
    before = -1
    mades: list[Snapshot] = []
    for offset in range(1, 8):
        own = tuple(await journal.put_parts(0, [b"of %d" % offset]))
        gone = tuple(await journal.put_parts(0, [encode((*mades[-1].outcomes, *mades[-1].gone))])) if mades else ()
        mades.append(replace(snapshot(offset, before=before), rooms=(shared,), outcomes=own, gone=gone, first=(own if mades else shared)[0].place))
        await journal.save_snapshot(0, mades[-1])
        before = offset
        for kept in await journal.load_snapshots(0):
            assert await journal.get_parts(0, (*shared, *kept.outcomes)) == [b"shared", b"of %d" % kept.offset]


async def test_a_snapshot_that_does_not_build_on_the_newest_takes_its_place(journal: Journal) -> None:
    """An engine that found the newest one damaged went on from an older one: what came after that does not count any more."""
    await append_all(journal, [takeover(), *(record(0, n, n, n + 1) for n in range(9))])
    first = await saved(journal, 1)
    await saved(journal, 2, (b"damaged",), before=1)
    third = await saved(journal, 3, (b"whole",), before=1)
    assert await journal.load_snapshots(0) == [third, first]
    assert await journal.get_parts(0, (*third.outcomes, *first.outcomes)) == [b"whole", b"\x00one", b"two"]
    alone = await saved(journal, 4, (b"alone",))
    assert await journal.load_snapshots(0) == [alone]
    assert await journal.get_parts(0, alone.outcomes) == [b"alone"]


async def test_dead_letters_are_taken(journal: Journal) -> None:
    """A command can be set aside with any text in it."""
    await journal.write_dead_letter(DeadLetter(0, 4, 1_000, "decide raised ValueError: \x00 坏", '{"id": "c1"}'))


async def test_close_writes_what_was_appended(journal: Journal) -> None:
    """An append that was called before `close` is durable after it."""
    futures = [journal.append(0, takeover()), *(journal.append(0, record(0, n, n, n + 1)) for n in range(100))]
    await journal.close()
    assert [future.result() for future in futures] == list(range(101))


async def test_close_ends_readers(journal: Journal) -> None:
    """Waiting readers get an error when the journal closes."""
    readers: list[AsyncGenerator[Any]] = [journal.read_events(0, 0), journal.read_commands(0, 0)]
    waiting = [asyncio.ensure_future(anext(reader)) for reader in readers]
    await asyncio.sleep(0)
    await journal.close()
    for future in waiting:
        with pytest.raises(JournalUnavailable, match="closed"):
            await future


async def test_a_failed_write_that_nobody_looks_at_logs_nothing(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    """An engine that gave up after its first failure has others on their way."""
    await journal.close()
    for _ in range(3):
        journal.append(0, takeover())
    await asyncio.sleep(0)
    gc.collect()
    assert not [record for record in caplog.records if "never retrieved" in record.getMessage()]


async def test_a_closed_journal_refuses_everything(journal: Journal) -> None:
    """After `close` every call raises `JournalUnavailable`; closing again does nothing."""
    await journal.close()
    await journal.close()
    for call in (
        journal.send_commands(0, [request()]),
        anext(journal.read_commands(0, 0)),
        journal.append(0, takeover()),
        anext(journal.read_events(0, 0)),
        journal.events_end(0),
        journal.save_snapshot(0, snapshot(0)),
        journal.load_snapshots(0),
        journal.put_parts(0, [b""]),
        journal.get_parts(0, [SnapshotPart(0, "")]),
        journal.write_dead_letter(DeadLetter(0, 0, 0, "", "")),
    ):
        with pytest.raises(JournalUnavailable, match="closed"):
            await call
