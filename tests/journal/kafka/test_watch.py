"""Blame for a missing answer: the brokers, or this process itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from liveroom.journal.kafka import watch as kafka_watch
from liveroom.journal.kafka.known import CUT_S, KnownEnds
from liveroom.journal.kafka.reader import KafkaReader
from liveroom.journal.kafka.topics import Topics
from liveroom.journal.kafka.watch import Watch
from liveroom.telemetry.metrics import Metrics

ASK_S, ANSWER_S, SILENCE_S = 0.02, 0.1, 0.2


class Brokers:
    """Brokers that answer at once, unless they are away; this process may be held up while it waits for them."""

    def __init__(self) -> None:
        self.away = False
        self.failing: frozenset[int] = frozenset()  # partitions whose records cannot be had
        self.hold_up_s = 0.0
        self.ends: KnownEnds | None = None
        self.asked = 0
        self.written = 0  # entries, of which each question finds one more under way

    async def end(self, topic: str, partition: int) -> int:
        self.asked += 1
        time.sleep(self.hold_up_s)  # noqa: ASYNC251
        self.hold_up_s = 0.0
        await asyncio.sleep(1_000 if self.away else 0)
        end = self.written
        if self.ends is not None:
            self.ends.note(partition, end, f"id-{end}")  # acknowledged while the answer is on its way
            self.written += 1
        await asyncio.sleep(0)  # an answer takes its way through the loop: a bound that has passed meanwhile comes first
        return end


@asynccontextmanager
async def watched(brokers: Brokers, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watch]:
    for name, value in (("ASK_S", ASK_S), ("ANSWER_S", ANSWER_S), ("SILENCE_S", SILENCE_S)):
        monkeypatch.setattr(kafka_watch, name, value)
    ends = brokers.ends or KnownEnds("t.events", (), lambda *_: None)
    watch = Watch(
        cast(KafkaReader, brokers),
        Topics.of("t"),
        Metrics(),
        answered=lambda partition: 0,
        waiting=lambda: 0,
        known_end=ends.end,
        reaches=lambda partition, end, known_end: ends.reaches(partition, end, known_end, CUT_S * brokers.asked),
        failing=lambda: brokers.failing,
    )
    watching = asyncio.create_task(watch.run())
    yield watch
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0)


async def test_brokers_that_are_away_are_unreachable_until_they_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence adds up over questions; one answer ends it."""
    brokers = Brokers()
    async with watched(brokers, monkeypatch) as watch:
        await until(lambda: brokers.asked > 1)
        assert not watch.unreachable
        brokers.away = True
        await until(lambda: watch.unreachable == {0})
        brokers.away = False
        await until(lambda: not watch.unreachable)


async def test_partitions_whose_reads_fail_are_unreachable_whatever_brokers_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where logs end may be known while nothing of them can be had."""
    brokers = Brokers()
    async with watched(brokers, monkeypatch) as watch:
        brokers.failing = frozenset({3})
        await until(lambda: watch.unreachable == {3})
        brokers.failing = frozenset()
        await until(lambda: not watch.unreachable)


async def test_a_process_that_is_held_up_does_not_blame_the_brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that stands still for longer than silence may last, in the middle of a question, makes nothing unreachable."""
    brokers = Brokers()
    async with watched(brokers, monkeypatch) as watch:
        await until(lambda: brokers.asked > 1)
        brokers.hold_up_s = SILENCE_S * 1.5
        asked = brokers.asked
        while brokers.asked < asked + 4:
            assert not watch.unreachable
            await asyncio.sleep(0)


async def test_a_busy_partition_has_lost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are confirmed while each answer is on its way, so each answer is older than they are; that is no loss, however long it goes on."""
    brokers, damage = Brokers(), list[str]()
    brokers.ends = KnownEnds("t.events", (), lambda partition, words: damage.append(words))
    async with watched(brokers, monkeypatch):
        await until(lambda: brokers.asked > 5)
    assert not damage
