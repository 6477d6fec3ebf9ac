"""Following partitions on and on: restarts, damage, lag, and partitions that are no longer wanted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from liveroom.config.schema import JournalConfig
from liveroom.journal.follower import AcceptedRecord, Start
from liveroom.journal.memory import MemoryJournal
from liveroom.journal.partition_follower import RECORDS_AT_ONCE, RETRY_S, PartitionFollower
from liveroom.messages.errors import JournalDamaged, JournalUnavailable
from liveroom.telemetry.metrics import Metrics
from tests.clock import MovableClock
from tests.journal.entries import append_all, record, takeover

WAIT_S = 10


class Readings:
    """A follower of a journal with two partitions, and what its consumers got: (number of the consumer, offset, live)."""

    def __init__(self) -> None:
        self.journal = MemoryJournal(JournalConfig(kind="memory", partitions=2))
        self.metrics = Metrics()
        self.clock = MovableClock()
        self.follower = PartitionFollower(self.journal, self.metrics, self.clock, self.consumer, reader="test")
        self.taken: dict[int, list[tuple[int, int, bool]]] = {0: [], 1: []}
        self.made = {0: 0, 1: 0}
        self.fail_at_start: dict[int, list[Exception]] = {0: [], 1: []}
        self.fail_at: dict[int, Exception] = {}  # offset of partition 0 -> error, raised once

    def consumer(self, partition: int) -> Consumer:
        self.made[partition] += 1
        return Consumer(self, partition, self.made[partition])

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not true():
                await asyncio.sleep(0.001)


class Consumer:
    """Notes each record."""

    def __init__(self, readings: Readings, partition: int, number: int) -> None:
        self.readings = readings
        self.partition = partition
        self.number = number

    async def start(self) -> Start:
        if errors := self.readings.fail_at_start[self.partition]:
            raise errors.pop(0)
        return Start()

    async def take(self, accepted: AcceptedRecord, *, live: bool) -> None:
        if self.partition == 0 and (error := self.readings.fail_at.pop(accepted.offset, None)):
            raise error
        self.readings.taken[self.partition].append((self.number, accepted.offset, live))


@pytest.fixture
async def readings() -> AsyncIterator[Readings]:
    made = Readings()
    yield made
    await made.follower.stop()
    await made.journal.close()


async def test_records_from_the_end_of_the_log_on_are_live(readings: Readings) -> None:
    """Older records are not live, and the partition is caught up once they are read."""
    await append_all(readings.journal, [takeover(), record(0, 0, 0, 1), record(0, 1, 1, 2)])
    assert not readings.follower.is_caught_up(0)
    assert not readings.follower.want(0)
    await readings.until(lambda: readings.follower.is_caught_up(0))
    assert readings.taken[0] == [(1, 1, False), (1, 2, False)]
    assert readings.follower.want(0)
    await append_all(readings.journal, [record(0, 2, 2, 3)])
    await readings.until(lambda: len(readings.taken[0]) == 3)
    assert readings.taken[0][-1] == (1, 3, True)
    assert not readings.follower.is_caught_up(1)


@pytest.mark.parametrize("error", [JournalUnavailable("the disk is away"), ValueError("a bug")])
async def test_a_failed_reading_starts_again_with_a_new_consumer(readings: Readings, error: Exception) -> None:
    """It starts again after a pause, whatever failed, and meanwhile the partition is not caught up. The other partition goes on."""
    await append_all(readings.journal, [takeover(), record(0, 0, 0, 1), record(0, 1, 1, 2)])
    readings.fail_at_start[0].append(error)
    readings.fail_at[2] = error
    for partition in (0, 1):
        readings.follower.want(partition)
    await readings.until(lambda: readings.clock.sleepers == 1 and readings.follower.is_caught_up(1))
    assert readings.made == {0: 1, 1: 1}
    await readings.clock.advance(RETRY_S)
    await readings.until(lambda: readings.clock.sleepers == 1)
    assert readings.taken[0] == [(2, 1, False)]
    assert not readings.follower.is_caught_up(0)
    await readings.clock.advance(RETRY_S)
    await readings.until(lambda: readings.follower.is_caught_up(0))
    assert readings.taken[0] == [(2, 1, False), (3, 1, False), (3, 2, False)]
    assert readings.made == {0: 3, 1: 1}


async def test_a_damaged_partition_is_not_read_again(readings: Readings, caplog: pytest.LogCaptureFixture) -> None:
    """It gets one critical line in the log. The other partition goes on."""
    await append_all(readings.journal, [takeover(), record(0, 0, 0, 1)])
    readings.fail_at[1] = JournalDamaged("the chain is broken")
    for partition in (0, 1):
        readings.follower.want(partition)
    await readings.until(lambda: any(line.levelno == logging.CRITICAL for line in caplog.records))
    await readings.clock.advance(60)
    await append_all(readings.journal, [takeover()], partition=1)
    await readings.until(lambda: readings.follower.is_caught_up(1))
    assert readings.made == {0: 1, 1: 1}
    assert [line.levelname for line in caplog.records] == ["CRITICAL"]
    assert not readings.follower.is_caught_up(0)
    assert not readings.follower.want(0)


async def test_a_released_partition_is_read_no_further(readings: Readings) -> None:
    """If it is wanted again, it is read from the start again."""
    await append_all(readings.journal, [takeover(), record(0, 0, 0, 1)])
    readings.follower.want(0)
    await readings.until(lambda: readings.follower.is_caught_up(0))
    readings.follower.release(0)
    assert readings.follower.wanted == []
    assert not readings.follower.is_caught_up(0)
    await append_all(readings.journal, [record(0, 1, 1, 2)])
    readings.follower.want(0)
    await readings.until(lambda: readings.follower.is_caught_up(0))
    assert readings.taken[0] == [(1, 1, False), (2, 1, False), (2, 2, False)]


async def test_skipped_entries_are_counted(readings: Readings) -> None:
    """`journal_skipped` counts them by verdict."""
    await append_all(readings.journal, [takeover(), record(7, 0, 0, 1), record(0, 0, 0, 1)])
    readings.follower.want(0)
    await readings.until(lambda: readings.follower.is_caught_up(0))
    assert [offset for _, offset, _ in readings.taken[0]] == [2]
    assert readings.metrics.registry.get_sample_value("liveroom_journal_skipped_total", {"verdict": "foreign_fencing_epoch"}) == 1


async def test_a_long_log_gives_others_their_turn(readings: Readings) -> None:
    """Reading yields to the event loop after a bounded number of records, also where the journal has them all at hand."""
    count = RECORDS_AT_ONCE * 10
    await append_all(readings.journal, [takeover(), *(record(0, n, n, n + 1) for n in range(count))])
    readings.follower.want(0)
    most = before = 0
    async with asyncio.timeout(WAIT_S):
        while not readings.follower.is_caught_up(0):
            await asyncio.sleep(0)
            most = max(most, len(readings.taken[0]) - before)
            before = len(readings.taken[0])
    assert 0 < most <= RECORDS_AT_ONCE
