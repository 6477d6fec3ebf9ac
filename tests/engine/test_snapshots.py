"""Snapshots are saved while the engine goes on: a journal that takes its time with one keeps nobody waiting."""

from __future__ import annotations

import asyncio

from liveroom.config import Config, EngineConfig, JournalConfig
from liveroom.errors import JournalUnavailable
from liveroom.journal.base import Snapshot, mark_of
from liveroom.journal.memory import MemoryJournal
from liveroom.messages.commands import SetAnnouncement
from tests.engine.conftest import WAIT_S, Clock, Voice, open_demo, running_engine
from tests.journal.entries import stored

CONFIG = Config(
    journal=JournalConfig(kind="memory", partitions=1),
    engine=EngineConfig(claim_retry_ms=10, snapshot_records_max=10, snapshot_interval_ms=3_600_000),
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
    voice = Voice(journal)
    async with running_engine(journal, CONFIG, Clock()):
        await open_demo(voice)
        for n in range(30):
            await voice.accepted("demo", SetAnnouncement(f"line {n}"))
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
            assert taken.mark == mark_of(entries[taken.offset - 1].entry)
    await voice.close()
    await journal.close()


async def test_an_engine_whose_snapshot_fails_claims_anew() -> None:
    """As after any other write that failed; no command is lost or answered twice."""
    journal = SlowJournal(CONFIG.journal)
    journal.fails = True
    voice = Voice(journal)
    async with running_engine(journal, CONFIG, Clock()) as engine:
        await open_demo(voice)
        epoch = engine._owners[0]._epoch
        journal.may_save.set()
        async with asyncio.timeout(WAIT_S):
            while not engine._owners[0]._epoch > epoch:
                await asyncio.sleep(0.005)
        for n in range(5):
            await voice.accepted("demo", SetAnnouncement(f"line {n}"))
        assert [seq for seq, _ in voice.events("demo")] == list(range(6))
    await voice.close()
    await journal.close()
