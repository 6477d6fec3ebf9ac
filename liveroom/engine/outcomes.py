"""Idempotency: the outcome of every command id, so that a retry gets the original answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from liveroom.messages.frames import Accepted, Refused

__all__ = ["Outcome", "Outcomes"]

Key = tuple[str, str, str]  # room, user, command id


class Outcome(Struct, frozen=True, array_like=True, gc=False):
    """What one command came to, and when."""

    room: str
    user: str
    time_ms: int
    digest: str
    reply: Accepted | Refused


class Outcomes:
    """The outcomes of one partition, oldest first; forgotten after `window_ms` of partition time or beyond `count_max`."""

    def __init__(self, window_ms: int, count_max: int, outcomes: Iterable[Outcome] = ()) -> None:
        self._window_ms = window_ms
        self._count_max = count_max
        self._by_key: dict[Key, Outcome] = {(o.room, o.user, o.reply.id): o for o in outcomes}

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self._by_key.values())

    def find(self, room: str, user: str, command_id: str) -> Outcome | None:
        """The outcome that is remembered for this id."""
        return self._by_key.get((room, user, command_id))

    def remember(self, outcome: Outcome) -> None:
        """Keep an outcome; the first one of an id stays."""
        by_key = self._by_key
        by_key.setdefault((outcome.room, outcome.user, outcome.reply.id), outcome)
        horizon = outcome.time_ms - self._window_ms
        while by_key:
            oldest = next(iter(by_key))
            if by_key[oldest].time_ms > horizon and len(by_key) <= self._count_max:
                break
            del by_key[oldest]
