"""Deadlines of equal length, kept in one queue instead of one timer per item."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["Deadlines"]

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Items that are due `after_s` seconds after they were added. The caller polls `due` and checks whether an item still matters."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._items: deque[tuple[float, T]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: T, now: float) -> None:
        """Add an item that is due `after_s` from `now`. `now` must never go backwards."""
        self._items.append((now + self._after_s, item))

    def due(self, now: float) -> Iterator[T]:
        """Remove and yield the items that are due."""
        while self._items and self._items[0][0] <= now:
            yield self._items.popleft()[1]
