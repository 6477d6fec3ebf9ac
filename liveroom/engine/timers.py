"""Due times of rooms, in a heap. Rooms without a due time cost nothing."""

from __future__ import annotations

import heapq

__all__ = ["Timers"]


class Timers:
    """At most one due time per room; a new one replaces it."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._due: dict[str, int] = {}

    def set(self, room: str, due_ms: int | None) -> None:
        """Set, move or (with None) clear the due time of a room."""
        if due_ms is None:
            self._due.pop(room, None)
        elif self._due.get(room) != due_ms:
            self._due[room] = due_ms
            heapq.heappush(self._heap, (due_ms, room))
            if len(self._heap) > 2 * len(self._due) + 64:
                self._heap = [(due, name) for name, due in self._due.items()]
                heapq.heapify(self._heap)

    def next_ms(self) -> int | None:
        """The earliest due time."""
        while self._heap:
            due, room = self._heap[0]
            if self._due.get(room) == due:
                return due
            heapq.heappop(self._heap)
        return None

    def take(self, now_ms: int, rooms_max: int) -> list[str]:
        """Remove up to `rooms_max` rooms that are due at `now_ms`, and return them, earliest first."""
        taken: list[str] = []
        while len(taken) < rooms_max and (due := self.next_ms()) is not None and due <= now_ms:
            _, room = heapq.heappop(self._heap)
            del self._due[room]
            taken.append(room)
        return taken
