"""A partition's time when its owners' clocks differ."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from liveroom.config.schema import Config, JournalConfig
from liveroom.engine.clock import AHEAD_PACE, PartitionClock, SteadyClock, passed_ms, wall_clock_ms
from liveroom.features.chat.messages import SendChat
from liveroom.features.flash_sale.messages import AnnounceFlashSale, ReserveStock, StockReserved
from liveroom.features.showcase.messages import AddProduct, Product
from liveroom.journal.memory import MemoryJournal
from tests.engine.conftest import VIEWER, Client, Clock, open_demo, running_engine

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
    client = Client(journal)
    ahead.now_ms += AHEAD_MS
    async with running_engine(journal, CONFIG, ahead):
        await open_demo(client)
    async with running_engine(journal, CONFIG, clock, name="engine-2"):
        for n in range(CONFIG.rooms.chat_burst):
            await client.accepted("demo", SendChat(f"line {n}"), VIEWER)
        assert (await client.refused("demo", SendChat("too soon"), VIEWER)).code == "rate_limited"
        clock.now_ms += 2 * CONFIG.rooms.chat_interval_ms
        await client.accepted("demo", SendChat("after a while"), VIEWER)
    times = [record.time_ms for record in client.records[0]]
    assert times == sorted(times)
    await client.close()
    await journal.close()


class Passing:
    """A system's clock and the time that really passes."""

    def __init__(self) -> None:
        self.clock, self.passed = Clock(), Clock()

    def passes(self, duration_ms: int) -> None:
        self.clock.now_ms += duration_ms
        self.passed.now_ms += duration_ms


@given(st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from([0, 0, 0, 1, 700_000, -5_000]))))
def test_a_clock_that_is_stepped_forward_is_followed_at_twice_its_pace(steps: list[tuple[int, int]]) -> None:
    """Never ahead of the system's clock, never faster than twice what passes, and as the system's clock once it has caught up."""
    time = Passing()
    steady = SteadyClock(time.clock, time.passed)
    last_ms = steady()
    for duration_ms, step_ms in steps:
        time.passes(duration_ms)
        time.clock.now_ms += step_ms
        now_ms = steady()
        assert now_ms == min(time.clock.now_ms, last_ms + AHEAD_PACE * duration_ms)
        assert steady.held_back_ms == time.clock.now_ms - now_ms
        last_ms = now_ms
    time.passes(max(0, steady.held_back_ms))
    assert steady() == time.clock.now_ms


def test_the_systems_own_clocks_agree() -> None:
    """The production clocks advance in ms, and together."""
    steady = SteadyClock(wall_clock_ms, passed_ms)
    assert 0 <= wall_clock_ms() - steady() < 1_000


async def test_a_step_of_the_clock_forgets_no_id() -> None:
    """The clock leaps by 700 s, more than ids are remembered for: a retry right after it gets the outcome of the first time and no second hold.

    Neither does it when the partition is taken over again meanwhile. Once so much time has really passed the id is forgotten, as always.
    """
    journal, time = MemoryJournal(CONFIG.journal), Passing()
    client = Client(journal)
    async with running_engine(journal, CONFIG, time.clock, passed_ms=time.passed) as engine:
        await open_demo(client)
        await client.accepted("demo", AddProduct(Product("shirt", "Shirt", 100)))
        sale = int((await client.accepted("demo", AnnounceFlashSale("shirt", 100, 50, 10, opens_in_ms=0, hold_ms=3_600_000))).result["sale"])
        first = await client.accepted("demo", ReserveStock(sale), VIEWER, "tap")
        time.clock.now_ms += 700_000
        for _ in range(5):
            time.passes(1_000)
            again = await client.send("demo", ReserveStock(sale), VIEWER, "tap")
            assert (again.repeated, again.reply) == (True, first)
        await engine._give_up(0)
        engine._keepers[0] = asyncio.create_task(engine._keep(0))
        again = await client.send("demo", ReserveStock(sale), VIEWER, "tap")
        assert (again.repeated, again.reply) == (True, first)
        holds = [event for _, event in client.events("demo") if isinstance(event, StockReserved)]
        assert len(holds) == 1
        time.passes(700_000)
        await client.accepted("demo", SendChat("much later"), VIEWER)
        assert not (await client.send("demo", ReserveStock(sale), VIEWER, "tap")).repeated
    await client.close()
    await journal.close()
