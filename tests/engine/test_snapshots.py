"""PartitionSnapshots: their writes, and that a slow journal blocks no caller."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from liveroom.config.schema import Config, EngineConfig, JournalConfig
from liveroom.engine import snapshots as snapshots_module
from liveroom.engine.archive import Archive, restore
from liveroom.engine.engine import Engine
from liveroom.engine.partition import PartitionState
from liveroom.engine.snapshots import OUTCOMES_PER_PART, Moment, PartitionSnapshots
from liveroom.features.flash_sale.messages import CancelHold
from liveroom.features.lifecycle.messages import AnnouncementSet, CloseRoom, OpenRoom, RequestKeyframe, RoomClosed, RoomOpened, SetAnnouncement
from liveroom.features.red_envelope.messages import DropRedEnvelope
from liveroom.features.showcase.messages import AddProduct, Product
from liveroom.journal.base import Journal, Snapshot, SnapshotPart, StoredEntry, entry_id
from liveroom.journal.idempotency import CommandKey, IdempotencyStore, Outcome
from liveroom.journal.memory import MemoryJournal
from liveroom.journal.room_index import load_whole
from liveroom.journal.sqlite.file import FILE_NAME
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.journal.sqlite.reader import open_reader
from liveroom.messages.errors import JournalDamaged, JournalUnavailable
from liveroom.messages.fields import Role
from liveroom.messages.room_rules import RoomRules
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Accepted, Refused
from liveroom.protocol.records import CommandReply, Record, RoomSpan
from liveroom.rooms.room import encode_state
from liveroom.telemetry.metrics import Metrics
from tests.engine.conftest import GATEWAY, VIEWER, WAIT_S, Client, Clock, open_demo, outcomes_of, running_engine
from tests.journal.entries import stored

CONFIG = Config(
    journal=JournalConfig(kind="memory", partitions=1),
    engine=EngineConfig(takeover_retry_ms=10, snapshot_records_max=10, snapshot_interval_ms=3_600_000),
)


class SlowJournal(MemoryJournal):
    """Saves a snapshot only when it may, or fails with it."""

    def __init__(self, config: JournalConfig) -> None:
        super().__init__(config)
        self.may_save = asyncio.Event()
        self.saving = 0
        self.saved: list[Snapshot] = []
        self.fails = False

    async def save_snapshot(self, partition: int, snapshot: Snapshot) -> None:
        self.saving += 1
        await self.may_save.wait()
        if self.fails:
            self.fails = False
            raise JournalUnavailable("no snapshot can be saved")
        self.saved.append(snapshot)
        await super().save_snapshot(partition, snapshot)


async def test_commands_are_answered_while_a_snapshot_is_saved() -> None:
    """One is on its way at a time, it is of the moment when it was taken, and the next one follows."""
    journal = SlowJournal(CONFIG.journal)
    client = Client(journal)
    async with running_engine(journal, CONFIG, Clock()):
        await open_demo(client)
        for n in range(30):
            await client.accepted("demo", SetAnnouncement(f"line {n}"))
        assert journal.saving == 1
        end = await journal.events_end(0)
        journal.may_save.set()
        async with asyncio.timeout(WAIT_S):
            while len(journal.saved) < 2:
                await asyncio.sleep(0.005)
        assert journal.saved[0].offset < 10
        assert journal.saved[1].offset >= end
        entries = await stored(journal)
        for taken in journal.saved[:2]:
            assert taken.last_entry_id == entry_id(entries[taken.offset - 1].entry)
    await client.close()
    await journal.close()


async def test_an_engine_whose_snapshot_fails_takes_over_again() -> None:
    """The engine takes over again as after any other failed write; no command is lost or answered twice."""
    journal = SlowJournal(CONFIG.journal)
    journal.fails = True
    client = Client(journal)
    async with running_engine(journal, CONFIG, Clock()) as engine:
        await open_demo(client)
        fencing_epoch = engine._owners[0]._fencing_epoch
        journal.may_save.set()
        async with asyncio.timeout(WAIT_S):
            while not engine._owners[0]._fencing_epoch > fencing_epoch:
                await asyncio.sleep(0.005)
        for n in range(5):
            await client.accepted("demo", SetAnnouncement(f"line {n}"))
        assert [seq for seq, _ in client.events("demo")] == list(range(6))
    await client.close()
    await journal.close()


CLOSED = 300
QUIET = Config(
    journal=JournalConfig(kind="memory", partitions=1, snapshots_kept=2),
    engine=EngineConfig(takeover_retry_ms=10, snapshot_records_max=1_000_000, snapshot_interval_ms=30_000),
)


class CountedJournal(MemoryJournal):
    """Counts what snapshots write."""

    written = 0
    saved = 0

    async def put_parts(self, partition: int, bodies: Sequence[bytes]) -> list[SnapshotPart]:
        self.written += sum(map(len, bodies))
        return await super().put_parts(partition, bodies)

    async def save_snapshot(self, partition: int, snapshot: Snapshot) -> None:
        self.written += len(encode(snapshot))
        await super().save_snapshot(partition, snapshot)
        self.saved += 1

    async def until_saved(self, count: int) -> None:
        """Wait until so many snapshots are saved."""
        async with asyncio.timeout(WAIT_S):
            while self.saved < count:
                await asyncio.sleep(0.005)


async def use_and_close(client: Client, rooms: Iterable[int]) -> None:
    """Rooms in which something happened and that are closed."""
    for number in rooms:
        room = f"used-{number}"
        await open_demo(client, room)
        await asyncio.gather(*(client.accepted(room, AddProduct(Product(f"p{n}", "Lamp", 9_900, PICTURE))) for n in range(10)))
        await client.accepted(room, CloseRoom())


PICTURE = "https://shop.example/" + "p" * 400


async def test_a_snapshot_writes_what_changed_and_nothing_else() -> None:
    """Beside hundreds of closed rooms one open one that goes on costs about as much as alone: bytes a minute do not grow with rooms."""
    journal, clock = CountedJournal(QUIET.journal), Clock()
    client = Client(journal)
    async with running_engine(journal, QUIET, clock):
        await open_demo(client)
        await use_and_close(client, range(CLOSED))
        await next_snapshot(journal, client, clock)
        state_bytes = sum(map(len, journal._partitions[0].parts.values()))
        assert state_bytes > 2_000_000, "there is something to write"
        before = journal.written
        minutes = 10
        for _ in range(2 * minutes):
            await next_snapshot(journal, client, clock)
        assert (journal.written - before) / minutes < 30_000
        assert sum(map(len, journal._partitions[0].parts.values())) < 1.1 * state_bytes, "what no snapshot names is dropped"
    await client.close()
    await journal.close()


async def next_snapshot(journal: CountedJournal, client: Client, clock: Clock) -> None:
    """Something happens, and time passes until it is in a snapshot."""
    clock.now_ms += QUIET.engine.snapshot_interval_ms
    saved = journal.saved
    await client.accepted("demo", SetAnnouncement(f"at {clock.now_ms}"))
    await journal.until_saved(saved + 1)


async def test_outcomes_are_written_once() -> None:
    """A snapshot writes the new replies of the last minutes, and repeats at most the replies of one part."""
    journal, clock = CountedJournal(QUIET.journal), Clock()
    client = Client(journal)
    async with running_engine(journal, QUIET, clock) as engine:
        await open_demo(client)
        for _ in range(3):
            await asyncio.gather(*(client.refused("demo", CancelHold(9), VIEWER) for _ in range(2 * OUTCOMES_PER_PART)))
            await next_snapshot(journal, client, clock)
        before = journal.written
        await next_snapshot(journal, client, clock)
        each = len(encode(outcomes_of(engine._owners[0]._state.outcomes))) / (6 * OUTCOMES_PER_PART)
        assert journal.written - before < each * OUTCOMES_PER_PART + 10_000
    await client.close()
    await journal.close()


class StuckJournal(CountedJournal):
    """Takes so many puts and then no more; `fails` says how."""

    puts_left = 1_000_000
    fails = True

    async def put_parts(self, partition: int, bodies: Sequence[bytes]) -> list[SnapshotPart]:
        if self.puts_left <= 0 and self.fails:
            raise JournalUnavailable("it takes no more")
        self.puts_left -= 1
        while self.puts_left < 0:
            await asyncio.sleep(0)
        return await super().put_parts(partition, bodies)


class Plain:
    """A partition of three rooms that is folded record by record."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._seqs: dict[str, int] = {}

    def happens(self, number: int, time_ms: int, command_id: str) -> Record:
        """Something in a room, and a reply. The memory keeps the first outcome of an id for as long as it knows the id."""
        room, step = f"room-{number}", len(self.records)
        seq = self._seqs.get(room, 0)
        opened = RoomOpened("Lamps", "anna", room, RoomRules(1_000, 5, 20, 30_000))
        event = opened if seq == 0 else RoomClosed() if step % 5 == 4 else AnnouncementSet(f"at {step}") if step % 5 else opened
        self._seqs[room] = seq + 1
        command_reply = CommandReply(room, "vera", 7, Accepted(command_id, seq + 1), money_role=Role.viewer if step % 4 == 0 else None)
        record = Record(1, 0, step, step, step + 1, time_ms, {room: RoomSpan(seq, (event,))}, (command_reply,))
        self.records.append(record)
        return record

    def folded(self, count: int, config: EngineConfig) -> PartitionState:
        """The state after so many records."""
        state = PartitionState(config)
        for record in self.records[:count]:
            state.fold(record)
        return state


def told(state: PartitionState) -> tuple[int, dict[str, bytes], list[Outcome]]:
    """All that has to be the same."""
    return state.time_ms, {room: encode_state(state.rooms[room]) for room in sorted(state.rooms)}, outcomes_of(state.outcomes)


def known(outcomes: IdempotencyStore) -> tuple[dict[CommandKey, tuple[Accepted | Refused, Role | None]], int, int, dict[str, int]]:
    """The reply that each id gets, and how many outcomes count in each share of the memory."""
    replies = {key: (command_reply.reply, command_reply.money_role) for key, command_reply in outcomes._replies.items()}
    return replies, outcomes._money_count, outcomes._viewers_count, outcomes._by_user


async def all_back(archive: Archive) -> PartitionState:
    """The state with all rooms in memory."""
    await archive.load([room for room in archive.state.index if archive.state.is_archived(room)], archive.state.time_ms)
    return archive.state


def happens(rooms: int, *passed_ms: int) -> st.SearchStrategy[tuple[str, int, int, str]]:
    return st.tuples(st.just("happens"), st.integers(0, rooms - 1), st.sampled_from(passed_ms), st.sampled_from("abcd"))


#: Ids are few, so that one is used again when its first outcome is forgotten and still stands in a part.
ACTIONS = st.lists(
    st.one_of(
        happens(3, 0, 100, 5_000, 70_000),
        happens(1, 10_000, 20_000),
        happens(1, 0, 10_000, 20_000),
        st.tuples(st.just("saves"), st.just(0), st.just(0), st.just("")),
        st.tuples(st.just("begins"), st.just(0), st.just(0), st.just("")),
        st.tuples(st.just("goes on"), st.integers(1, 4), st.just(0), st.just("")),
        st.tuples(st.just("dies"), st.just(0), st.just(0), st.just("")),
    ),
    min_size=20,
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(ACTIONS, st.integers(1, 4), st.sampled_from([3, 100]))
async def test_a_snapshot_is_of_its_moment_whatever_comes_meanwhile(
    actions: list[tuple[str, int, int, str]], outcomes_per_part: int, count_max: int
) -> None:
    """Rooms change while it is saved, ids are used again once they are forgotten, and its engine may die in the middle.

    The newest snapshot that was finished gives the fold of what it is of, with the same memory of outcomes.
    """
    config = EngineConfig(dedupe_window_ms=60_000, dedupe_count_max=count_max)
    patch = pytest.MonkeyPatch()
    patch.setattr(snapshots_module, "OUTCOMES_PER_PART", outcomes_per_part)
    patch.setattr(snapshots_module, "SLICE_BYTES", 1)
    journal, plain = StuckJournal(QUIET.journal), Plain()
    journal.fails = False
    state = PartitionState(config)
    snapshots = PartitionSnapshots(journal, 0, state, QUIET.rooms)
    saving: asyncio.Task[None] | None = None
    time_ms = 0
    for what, number, passed_ms, command_id in [*actions, ("dies", 0, 0, "")]:
        time_ms += passed_ms
        if what == "happens":
            state.fold(plain.happens(number, time_ms, command_id))
        elif what == "begins" and (saving is None or saving.done()):
            journal.puts_left = 0
            snapshots.begin(Moment(len(plain.records), "", state.acceptance, state.time_ms))
            saving = asyncio.create_task(snapshots.save())
        elif what == "saves":
            journal.puts_left = 1_000_000
            if saving is not None:
                await saving
            snapshots.begin(Moment(len(plain.records), "", state.acceptance, state.time_ms))
            saving = asyncio.create_task(snapshots.save())
            await saving
        elif what == "goes on":
            journal.puts_left = number
            for _ in range(20 * number):
                await asyncio.sleep(0)
        elif what == "dies":
            if saving is not None:
                saving.cancel()
                await asyncio.gather(saving, return_exceptions=True)
                saving = None
            journal.puts_left = 1_000_000
            archive = await restore(journal, 0, config, QUIET.rooms)
            state, snapshots = archive.state, archive.snapshots
            start = max(0, snapshots.offset)
            await all_back(archive)
            folded = plain.folded(start, config)
            assert (told(state), known(state.outcomes)) == (told(folded), known(folded.outcomes))
            for record in plain.records[start:]:
                await archive.fold(record)
            folded = plain.folded(len(plain.records), config)
            assert (told(state), known(state.outcomes)) == (told(folded), known(folded.outcomes))
    patch.undo()
    for kept in await journal.load_snapshots(0):
        assert None not in await journal.get_parts(0, [*(part for segment in kept.rooms for part in segment), *kept.outcomes])


async def test_a_retry_after_a_restart_gets_the_newest_answer_of_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that is written once also holds outcomes that are forgotten by now: an id among them that was used again moves money once."""
    monkeypatch.setattr(snapshots_module, "OUTCOMES_PER_PART", 2)
    journal, clock = CountedJournal(QUIET.journal), Clock()
    client = Client(journal)
    drop, minute_ms = DropRedEnvelope(100, 1, opens_in_ms=0, open_for_ms=10_000), 60_000
    async with running_engine(journal, QUIET, clock):
        await open_demo(client)
        first = await client.accepted("demo", drop, command_id="buy")
        clock.now_ms += 9 * minute_ms
        await client.accepted("demo", drop)
        await next_snapshot(journal, client, clock)
        clock.now_ms += minute_ms
        await client.accepted("demo", SetAnnouncement("the first one is forgotten now"))
        second = await client.accepted("demo", drop, command_id="buy")
        assert second.result["envelope"] != first.result["envelope"]
        await next_snapshot(journal, client, clock)
    async with running_engine(journal, QUIET, clock) as engine:
        again = await client.send("demo", drop, command_id="buy")
        assert (again.repeated, again.reply) == (True, second)
        for _ in range(3):
            clock.now_ms += 9 * minute_ms
            await client.accepted("demo", SetAnnouncement("the partition goes on"))
        assert not engine.stopped_partitions
    await client.close()
    await journal.close()


async def test_an_engine_that_cannot_finish_a_snapshot_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stops, the next engine has all rooms and outcomes, and saves."""
    monkeypatch.setattr(snapshots_module, "SLICE_BYTES", 1)
    journal, clock = StuckJournal(QUIET.journal), Clock()
    client = Client(journal)
    async with running_engine(journal, QUIET, clock) as engine:
        await open_demo(client)
        await use_and_close(client, range(5))
        for puts in range(20):
            before = told(await all_back(engine._owners[0]._archive))
            fencing_epoch, saved = engine._owners[0]._fencing_epoch, journal.saved
            journal.puts_left = puts
            clock.now_ms += QUIET.engine.snapshot_interval_ms
            await use_and_close(client, range(10 + puts, 11 + puts))
            async with asyncio.timeout(WAIT_S):
                while engine._owners[0]._fencing_epoch == fencing_epoch and journal.saved == saved:
                    await asyncio.sleep(0.005)
            journal.puts_left = 1_000_000
            if journal.saved > saved:
                break
            await next_snapshot(journal, client, clock)
            after = told(await all_back(engine._owners[0]._archive))
            assert before[1].items() <= {**after[1], "demo": before[1]["demo"]}.items()
            assert before[2] == [outcome for outcome in after[2] if outcome in before[2]]
        assert puts > 3, "it stopped at each of some places, until there were no more"
    await client.close()
    await journal.close()


@pytest.mark.parametrize(
    "damage", ["UPDATE parts SET body = replace(body, 'Lamp', 'Sofa')", "DELETE FROM parts WHERE CAST(body AS TEXT) LIKE '[\"used-%'"]
)
async def test_a_damaged_room_is_derived_again_from_the_log(tmp_path: Path, damage: str) -> None:
    """A changed part costs time and nothing else: the others go on, and the next snapshot has the room whole."""
    config = Config(journal=JournalConfig(partitions=1, snapshots_kept=2), engine=QUIET.engine)
    clock, rooms = Clock(), [f"used-{number}" for number in range(3)]
    async with sqlite_engine(tmp_path, config, clock) as (journal, client, engine):
        await open_demo(client)
        await use_and_close(client, range(3))
        await saved_again(journal, client, clock)
        before = told(engine._owners[0]._state)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert connection.execute(damage).rowcount >= 3
    connection.close()
    with pytest.raises(JournalDamaged, match="the snapshot of partition 0 at"), open_reader(tmp_path) as past:
        past.verify()
    async with sqlite_engine(tmp_path, config, clock) as (journal, client, engine):
        for room in rooms:
            await until_back(client, room)
        after = told(engine._owners[0]._state)
        assert [after[1][room] for room in rooms] == [before[1][room] for room in rooms]
        await saved_again(journal, client, clock)
        whole = await load_whole(journal, 0)
        assert whole is not None
        assert None not in await journal.get_parts(0, [entry.part for entry in whole.entries().values()])


@asynccontextmanager
async def sqlite_engine(data_dir: Path, config: Config, clock: Clock) -> AsyncIterator[tuple[SqliteJournal, Client, Engine]]:
    """An engine on a journal in a file."""
    journal = await SqliteJournal.open(data_dir, config.journal, Metrics())
    client = Client(journal)
    async with running_engine(journal, config, clock) as engine:
        yield journal, client, engine
    await client.close()
    await journal.close()


async def saved_again(journal: Journal, client: Client, clock: Clock) -> None:
    """Wait for a snapshot of all that is in the journal."""
    end = await journal.events_end(0)
    async with asyncio.timeout(WAIT_S):
        while not any(snapshot.offset > end for snapshot in await journal.load_snapshots(0)):
            clock.now_ms += QUIET.engine.snapshot_interval_ms
            await client.accepted("demo", SetAnnouncement(f"at {clock.now_ms}"))


async def until_back(client: Client, room: str) -> None:
    """Ask for a room's keyframe until it is accepted."""
    async with asyncio.timeout(WAIT_S):
        while isinstance(reply := (await client.send(room, RequestKeyframe(), GATEWAY)).reply, Refused):
            assert reply.code == "overloaded"
            await asyncio.sleep(0.005)


async def test_a_room_that_the_log_does_not_hold_either_is_set_aside() -> None:
    """Nothing is guessed: its commands are refused until a person has looked, and the other rooms go on."""
    journal, clock = CountedJournal(QUIET.journal), Clock()
    client = Client(journal)
    async with running_engine(journal, QUIET, clock):
        await open_demo(client)
        await use_and_close(client, range(2))
        await next_snapshot(journal, client, clock)
    parts = journal._partitions[0].parts
    journal._partitions[0].parts = {place: body.replace(b"Lamp", b"Sofa") if b"used-1" in body[:10] else body for place, body in parts.items()}
    for at, one in enumerate(journal._partitions[0].entries):
        if isinstance(one.entry, Record) and "used-1" in one.entry.rooms:
            journal._partitions[0].entries[at] = StoredEntry(one.offset, replace(one.entry, rooms={}))
    async with running_engine(journal, QUIET, clock) as engine:
        async with asyncio.timeout(WAIT_S):
            while (await client.refused("used-1", OpenRoom("Again"))).code == "overloaded":
                await asyncio.sleep(0.005)
        assert (await client.refused("used-1", OpenRoom("Again"))).code == "internal_error"
        assert engine._owners[0].rooms_set_aside_count == 1
        await client.accepted("used-0", OpenRoom("Again"))
    await client.close()
    await journal.close()
