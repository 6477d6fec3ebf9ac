"""The time of this process. Tests pass a clock that they can set."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

__all__ = ["SYSTEM_CLOCK", "Clock"]


class Clock:
    """The system's clocks, in seconds: `monotonic_s` never goes back and has no fixed origin, and `unix_s` is Unix time."""

    monotonic_s: Callable[[], float] = staticmethod(time.monotonic)
    unix_s: Callable[[], float] = staticmethod(time.time)

    async def sleep(self, s: float) -> None:
        """Sleep for `s` seconds of this clock."""
        await asyncio.sleep(s)


SYSTEM_CLOCK: Final = Clock()
