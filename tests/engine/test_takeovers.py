"""Takeovers: an engine knows its own for certain, whatever the journal's client reports and other engines write."""

from __future__ import annotations

import asyncio
from asyncio import Future, get_running_loop
from collections.abc import AsyncGenerator

from msgspec.structs import replace

from liveroom.config.schema import Config, EngineConfig, JournalConfig
from liveroom.features.lifecycle.messages import SetAnnouncement
from liveroom.journal.acceptance import Acceptance
from liveroom.journal.base import Snapshot, StoredEntry
from liveroom.journal.memory import MemoryJournal
from liveroom.protocol.records import RECORD_VERSION, Entry, Record, Request, Takeover
from tests.engine.conftest import ANCHOR, WAIT_S, Client, Clock, open_demo, running_engine
from tests.journal.entries import newest

CONFIG = Config(
    journal=JournalConfig(kind="memory", partitions=1),
    engine=EngineConfig(takeover_retry_ms=10, snapshot_records_max=1_000_000, snapshot_interval_ms=3_600_000),
)
NAME = "engine-1"


class ForgetfulJournal(MemoryJournal):
    """A broker that forgot the offset of a write which was sent twice; an earlier takeover of a process with the same name lands late."""

    def append(self, partition: int, entry: Entry) -> Future[int]:
        if not isinstance(entry, Takeover):
            return super().append(partition, entry)
        super().append(partition, Takeover(RECORD_VERSION, NAME, entry.time_ms))
        nowhere: Future[int] = get_running_loop().create_future()
        super().append(partition, entry).add_done_callback(lambda _: nowhere.set_result(-1))
        return nowhere


async def test_an_engine_finds_its_own_takeover_in_the_log() -> None:
    """Neither the offset that was told nor the engine's name decides: a takeover that only looks like it is another's."""
    journal = ForgetfulJournal(CONFIG.journal)
    client = Client(journal)
    async with running_engine(journal, CONFIG, Clock(), name=NAME) as engine:
        await open_demo(client)
        assert engine._owners[0]._fencing_epoch == 1
        assert client.skipped == 0
    await client.close()
    await journal.close()


class OvertakenJournal(MemoryJournal):
    """Between the first takeover and the look for a snapshot somebody else owned the partition, took one, and is gone."""

    overtaken = False

    async def load_snapshots(self, partition: int) -> list[Snapshot]:
        if not self.overtaken and await self.events_end(partition):
            self.overtaken = True
            fencing_epoch = await self.append(partition, Takeover(RECORD_VERSION, "somebody-else", 1))
            await self.save_snapshot(partition, Snapshot(fencing_epoch + 1, 1, Acceptance(fencing_epoch, 0, 0)))
        return await super().load_snapshots(partition)


async def test_an_engine_whose_takeover_is_older_than_the_snapshot_takes_over_again() -> None:
    """It was overtaken before it began: it does not wait for its own takeover forever."""
    journal = OvertakenJournal(CONFIG.journal)
    client = Client(journal)
    async with running_engine(journal, CONFIG, Clock(), name=NAME) as engine:
        await open_demo(client)
        assert engine._owners[0]._fencing_epoch == 2
    await client.close()
    await journal.close()


async def test_a_record_of_somebody_else_under_its_fencing_epoch_ends_an_ownership() -> None:
    """After a disaster that lost the log's end two engines may hold one fencing epoch: the record in the log counts, and the engine folds it."""
    journal = MemoryJournal(CONFIG.journal)
    client = Client(journal)
    async with running_engine(journal, CONFIG, Clock(), name=NAME) as engine:
        await open_demo(client)
        owner = engine._owners[0]
        await journal.append(0, Record(RECORD_VERSION, owner._fencing_epoch, owner._step, 1, 1, owner._state.time_ms))
        for n in range(5):
            await client.accepted("demo", SetAnnouncement(f"line {n}"))
        assert engine._owners[0]._fencing_epoch > owner._fencing_epoch
        assert [seq for seq, _ in client.events("demo")] == list(range(6))
    await client.close()
    await journal.close()


class UnwatchedJournal(MemoryJournal):
    """Reads back nothing, as a broker that is slow with it."""

    async def read_events_in_background(self, partition: int, offset: int) -> AsyncGenerator[StoredEntry]:
        await get_running_loop().create_future()
        yield StoredEntry(offset, Takeover(RECORD_VERSION, "nobody", 1))


async def test_what_is_acknowledged_in_a_row_is_confirmed_by_that() -> None:
    """A snapshot of all that was decided does not wait for it to be read back, since nothing can stand in between."""
    config = replace(CONFIG, engine=replace(CONFIG.engine, snapshot_records_max=10))
    journal = UnwatchedJournal(config.journal)
    client = Client(journal)
    async with running_engine(journal, config, Clock(), name=NAME):
        await open_demo(client)
        for n in range(25):
            await client.accepted("demo", SetAnnouncement(f"line {n}"))
        snapshot = await newest(journal)
        assert snapshot is not None
        assert snapshot.offset >= 20
    await client.close()
    await journal.close()


async def test_what_was_not_read_back_behind_a_foreign_entry_is_not_confirmed() -> None:
    """An unread entry in between might be a takeover. Until it was read back, no snapshot says that everything was decided."""
    config = replace(CONFIG, engine=replace(CONFIG.engine, snapshot_records_max=10))
    journal = UnwatchedJournal(config.journal)
    client = Client(journal)
    async with running_engine(journal, config, Clock(), name=NAME) as engine:
        await open_demo(client)
        snapshot = await newest(journal)
        await journal.append(0, Takeover(RECORD_VERSION, "somebody-else", 1))
        owner = engine._owners[0]
        before = owner._confirmed_offset
        request = Request("late", "demo", ANCHOR, SetAnnouncement("late"))
        await journal.send_commands(0, [request])
        async with asyncio.timeout(WAIT_S):
            while await journal.events_end(0) < before + 2:
                await asyncio.sleep(0.005)
        assert owner._confirmed_offset == before
        assert await newest(journal) == snapshot
    await client.close()
    await journal.close()
