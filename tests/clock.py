"""A clock that a test moves forward. In between it goes on at the pace of the real one, so sockets and ticks work as ever."""

from __future__ import annotations

import asyncio
import contextlib
import time

from liveroom.process.clock import Clock

__all__ = ["MovableClock"]

#: Turns of the event loop after which a woken task counts as one that waits for something else.
TURNS_MAX = 1_000


class MovableClock(Clock):
    """`advance` moves the time, wakes the sleepers that are due, and returns once each of them sleeps again, ended or waits for something else."""

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._sleepers: dict[asyncio.Task[object], float] = {}  # task -> the time at which it is due
        self._moved = asyncio.Event()

    def monotonic_s(self) -> float:
        return time.monotonic() + self._ahead_s

    def unix_s(self) -> float:
        return time.time() + self._ahead_s

    async def sleep(self, s: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        due_s = self._sleepers[task] = self.monotonic_s() + s
        try:
            while (left_s := due_s - self.monotonic_s()) > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._moved.wait(), left_s)
        finally:
            del self._sleepers[task]

    @property
    def sleepers(self) -> int:
        """The number of tasks that sleep."""
        return len(self._sleepers)

    def jump(self, s: float) -> None:
        """Let `s` seconds pass within this turn of the event loop, as work does that takes long. Wakes no sleeper."""
        self._ahead_s += s

    async def advance(self, s: float) -> None:
        """Let `s` seconds pass at once."""
        self._ahead_s += s
        now_s = self.monotonic_s()
        woken = {task for task, due_s in self._sleepers.items() if due_s <= now_s}
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        for _ in range(TURNS_MAX):
            if all(task.done() or self._sleepers.get(task, now_s) > now_s for task in woken):
                break
            await asyncio.sleep(0)
