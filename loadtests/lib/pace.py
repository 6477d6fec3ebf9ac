"""Sends at a steady rate, by the times at which things are due."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

__all__ = ["GRAIN_S", "paced"]

#: Time between two checks for due things.
GRAIN_S: Final = 0.005
#: Things that are sent before the event loop gets its turn, when the sender is late.
TURN: Final = 64


async def paced(rate: float, count: int | None = None) -> AsyncIterator[tuple[int, int]]:
    """Numbers from 0 with their due times in ns of the monotonic clock, each when it is due: `rate` a second, `count` of them or endless."""
    start_ns = time.monotonic_ns()
    number = 0
    while count is None or number < count:
        due_ns = start_ns + int(number * 1e9 / rate)
        wait_s = (due_ns - time.monotonic_ns()) / 1e9
        if wait_s > 0:
            await asyncio.sleep(max(wait_s, GRAIN_S))
            continue
        yield number, due_ns
        number += 1
        if number % TURN == 0:
            await asyncio.sleep(0)
