"""Limits of one client: the rate of its commands, its refusals, and the connections of its address."""

from __future__ import annotations

from collections import Counter

from liveroom.process.token_bucket import TokenBucket

__all__ = ["FLOOD_WINDOW_S", "ODD_FRAMES_MAX", "ODD_FRAME_S", "CommandLimits", "KeyedCounter"]

#: Window in which refusals are counted to detect flooding.
FLOOD_WINDOW_S = 10.0
#: Pings, pongs and fragments of one connection within the window. Each costs about as much as a command.
ODD_FRAMES_MAX = 1_000
ODD_FRAME_S = FLOOD_WINDOW_S / ODD_FRAMES_MAX


class CommandLimits(TokenBucket):
    """The limits of one connection that has sent commands: its token bucket, its unanswered commands and its recent refusals."""

    __slots__ = ("_refusals", "_window_at", "waiting")

    def __init__(self, burst: int, now: float) -> None:
        super().__init__(burst, now)
        self._refusals = 0
        self._window_at = now
        self.waiting = 0

    def refuse(self, now: float) -> int:
        """Count a refusal, and return the number within the window."""
        if now - self._window_at > FLOOD_WINDOW_S:
            self._window_at = now
            self._refusals = 0
        self._refusals += 1
        return self._refusals


class KeyedCounter:
    """Counts by name. A count of zero takes no memory."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, name: str) -> None:
        """Add one to a count."""
        self._counts[name] += 1

    def remove(self, name: str) -> None:
        """Subtract one from a count."""
        assert self._counts[name] > 0, name
        self._counts[name] -= 1
        if not self._counts[name]:
            del self._counts[name]
