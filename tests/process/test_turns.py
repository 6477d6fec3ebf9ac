"""Work that is cut into batches gets its share of a busy event loop."""

from __future__ import annotations

import asyncio

import pytest

from liveroom.process.turns import TURN_S_MAX, Turns


@pytest.mark.parametrize(
    ("other_s", "batch_s", "turns"),
    [
        (0.0, 0.001, 100),  # an idle loop gets its turn after every batch
        (0.010, 0.001, 10),  # other work of 10 ms is worth ten batches of 1 ms
        (0.200, 0.001, 2),  # however long other work takes, 50 ms are the most
        (0.010, 0.020, 100),  # a batch that takes longer than other work is a turn of its own
    ],
)
async def test_work_gets_as_much_time_as_other_work(other_s: float, batch_s: float, turns: int) -> None:
    """A hundred batches take so many turns of the loop, one more or less."""
    now_s, others = 0.0, 0

    async def other_work() -> None:
        nonlocal now_s, others
        while True:
            now_s += other_s
            others += 1
            await asyncio.sleep(0)

    busy = asyncio.create_task(other_work())
    own = Turns(lambda: now_s)
    for _ in range(100):
        now_s += batch_s
        await own.pause()
    busy.cancel()
    assert turns - 1 <= others <= turns + 1


async def test_a_turn_is_bounded() -> None:
    """Work with batches that take no time at all still lets others run: its turn ends by the clock."""
    now_s, others = 0.0, 0

    async def other_work() -> None:
        nonlocal now_s, others
        while True:
            now_s += 10.0
            others += 1
            await asyncio.sleep(0)

    busy = asyncio.create_task(other_work())
    own = Turns(lambda: now_s)
    await own.pause()
    await own.pause()
    assert others == 1
    now_s += TURN_S_MAX
    await own.pause()
    assert others == 2
    busy.cancel()
