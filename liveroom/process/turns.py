"""Turns of work that is cut into batches, beside the other work of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["TURN_S_MAX", "Turns"]

#: Longest time of one work before other work gets its turn, in seconds.
TURN_S_MAX: Final = 0.05


class Turns:
    """Cuts one work into turns: call `pause` after each batch.

    While the event loop has little to do, other work gets its turn after every batch.
    Under load one turn of the loop takes long, and one batch a turn would end the work seconds late.
    So the work then gets as much time as the other work took, `TURN_S_MAX` at most.
    """

    __slots__ = ("_now_s", "_until_s")

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._until_s = float("-inf")

    async def pause(self) -> None:
        """Let other work run, unless this work has not yet had as much time as the other work took."""
        if (left_s := self._now_s()) < self._until_s:
            return
        await asyncio.sleep(0)
        back_s = self._now_s()
        self._until_s = back_s + min(back_s - left_s, TURN_S_MAX)
