"""Warnings that an attacker can cause thousands of times a second: logged now and then, with their number."""

from __future__ import annotations

import logging
from typing import Any, Final

__all__ = ["EVERY_S", "Seldom"]

#: Shortest time in seconds between two lines of the same warning.
EVERY_S: Final = 10.0


class Seldom:
    """One warning.

    The first is logged at once, later ones at most every `EVERY_S`.
    `times` is their number since the last line.
    """

    def __init__(self, log: logging.Logger, words: str) -> None:
        self._log = log
        self._words = words
        self._next_s = float("-inf")
        self._times = 0

    def warn(self, now_s: float, **fields: Any) -> None:
        """Count the warning, and log it when it is due. `now_s` is a clock that never runs backwards."""
        self._times += 1
        if now_s >= self._next_s:
            self._log.warning(self._words, extra={**fields, "times": self._times})
            self._next_s = now_s + EVERY_S
            self._times = 0
