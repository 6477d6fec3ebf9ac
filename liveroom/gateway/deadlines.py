"""Items that are all due the same time after they were added: a queue instead of a timer each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["Deadlines"]

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Looked through now and then; whoever takes an item asks it whether it still matters."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._items: deque[tuple[float, T]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: T, now: float) -> None:
        """Due `after_s` from now; `now` never runs backwards."""
        self._items.append((now + self._after_s, item))

    def due(self, now: float) -> Iterator[T]:
        """Take out what is due."""
        while self._items and self._items[0][0] <= now:
            yield self._items.popleft()[1]
