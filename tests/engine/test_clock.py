"""A partition's time when its owners' clocks differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from liveroom.config import Config, JournalConfig
from liveroom.engine.clock import PartitionClock
from liveroom.journal.memory import MemoryJournal
from liveroom.messages.commands import SendChat
from tests.engine.conftest import VIEWER, Clock, Voice, open_demo, running_engine

CONFIG = Config(journal=JournalConfig(kind="memory", partitions=1))
AHEAD_MS = 600_000


@given(st.integers(0, 10_000), st.lists(st.integers(0, 10_000), min_size=1))
def test_time_never_goes_back(time_ms: int, readings: list[int]) -> None:
    """However the clock is set, and never behind it."""
    left = list(readings)
    clock = PartitionClock(lambda: left.pop(0) if len(left) > 1 else left[0], time_ms)
    last_ms = time_ms
    for reading in readings[1:]:
        now_ms = clock()
        assert now_ms >= max(last_ms, reading)
        last_ms = now_ms


@given(st.integers(0, 10_000), st.lists(st.integers(0, 1_000)))
def test_time_that_is_ahead_goes_on_until_the_clock_has_caught_up(ahead_ms: int, steps: list[int]) -> None:
    """At half the clock's pace, and not beyond it."""
    reading = Clock()
    start_ms = reading.now_ms
    clock = PartitionClock(reading, start_ms + ahead_ms)
    for step_ms in steps:
        reading.now_ms += step_ms
        passed_ms = reading.now_ms - start_ms
        assert clock() - start_ms == max(passed_ms, ahead_ms + passed_ms // 2)


async def test_an_engine_whose_clock_is_behind_lets_time_go_on() -> None:
    """It takes over from one whose clock is minutes ahead: who has to wait a second waits two, not minutes."""
    journal, ahead, clock = MemoryJournal(CONFIG.journal), Clock(), Clock()
    voice = Voice(journal)
    ahead.now_ms += AHEAD_MS
    async with running_engine(journal, CONFIG, ahead):
        await open_demo(voice)
    async with running_engine(journal, CONFIG, clock, name="engine-2"):
        for n in range(CONFIG.rooms.chat_burst):
            await voice.accepted("demo", SendChat(f"line {n}"), VIEWER)
        assert (await voice.refused("demo", SendChat("too soon"), VIEWER)).code == "rate_limited"
        clock.now_ms += 2 * CONFIG.rooms.chat_interval_ms
        await voice.accepted("demo", SendChat("after a while"), VIEWER)
    times = [record.time_ms for record in voice.records[0]]
    assert times == sorted(times)
    await voice.close()
    await journal.close()
