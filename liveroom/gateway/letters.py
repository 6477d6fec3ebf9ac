"""Personal events of a room that are kept for a while, so that whoever comes back gets those that it missed."""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["LETTERS_MAX", "Letters"]

#: Personal events of all users that a room keeps; the oldest go first.
LETTERS_MAX: Final = 2_000


class Letters:
    """Frames by user, each with the seq of its event."""

    def __init__(self) -> None:
        self._of: dict[str, deque[tuple[int, bytes]]] = {}
        self._order: deque[str] = deque()  # the user of every frame that is kept, oldest first

    def add(self, user: str, seq: int, frame: bytes) -> None:
        """Keep a frame; seqs only grow, what is known already is ignored."""
        of = self._of.setdefault(user, deque())
        if of and of[-1][0] >= seq:
            return
        of.append((seq, frame))
        self._order.append(user)
        if len(self._order) > LETTERS_MAX:
            oldest = self._order.popleft()
            self._of[oldest].popleft()
            if not self._of[oldest]:
                del self._of[oldest]

    def since(self, user: str, seq: int) -> bytes:
        """A user's frames from `seq` on."""
        return b"".join(frame for at, frame in self._of.get(user, ()) if at >= seq)

    def clear(self) -> None:
        """Forget all: the seqs of another stream begin."""
        self._of.clear()
        self._order.clear()
