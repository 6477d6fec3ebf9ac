"""Idempotency: the outcome of every command id, so that a retry gets the original answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from msgspec import Struct

from liveroom.messages.frames import Accepted, Refused
from liveroom.messages.records import Answer

__all__ = ["CommandKey", "Outcome", "Outcomes", "key_of"]

CommandKey = tuple[str, str, str]
"""Room, user, command id."""


class Outcome(Struct, frozen=True, array_like=True, gc=False):
    """What one command came to, and when."""

    room: str
    user: str
    time_ms: int
    digest: int
    reply: Accepted | Refused


class _Group(Struct):
    """What was remembered with one record, in order."""

    time_ms: int
    keys: list[CommandKey]


def key_of(answered: Answer | Outcome) -> CommandKey:
    """Whose command it was."""
    return (answered.room, answered.user, answered.reply.id)


class Outcomes:
    """The outcomes of one partition, oldest first; forgotten after `window_ms` of partition time or beyond `count_max`.

    Nothing is forgotten but in `end_record`: what is remembered depends on the records alone, not on how they came to be.
    """

    def __init__(self, window_ms: int, count_max: int, outcomes: Iterable[Outcome] = ()) -> None:
        self._window_ms = window_ms
        self._count_max = count_max
        self._answers: dict[CommandKey, Answer] = {}
        #: The answer that is remembered for an id, or `None`.
        self.find: Callable[[CommandKey], Answer | None] = self._answers.get
        self._groups: deque[_Group] = deque()
        self._new: list[CommandKey] = []
        for time_ms, of_one_time in groupby(outcomes, lambda outcome: outcome.time_ms):
            for outcome in of_one_time:
                self.remember(key_of(outcome), Answer(outcome.room, outcome.user, outcome.digest, outcome.reply))
            self._close_group(time_ms)

    def __len__(self) -> int:
        return len(self._answers)

    def __iter__(self) -> Iterator[Outcome]:
        for group in self._groups:
            for key in group.keys:
                answer = self._answers[key]
                yield Outcome(answer.room, answer.user, group.time_ms, answer.digest, answer.reply)

    def remember(self, key: CommandKey, answer: Answer) -> None:
        """Keep the answer to a command that is not known."""
        self._answers[key] = answer
        self._new.append(key)

    def end_record(self, time_ms: int) -> None:
        """What was remembered since the last call belongs to a record of `time_ms`; what is too old or too much by then is forgotten."""
        self._close_group(time_ms)
        groups = self._groups
        while groups and (groups[0].time_ms <= time_ms - self._window_ms or len(self._answers) > self._count_max):
            self._forget_some(groups[0], time_ms - self._window_ms)

    def _close_group(self, time_ms: int) -> None:
        if self._new:
            self._groups.append(_Group(time_ms, self._new))
            self._new = []

    def _forget_some(self, group: _Group, horizon_ms: int) -> None:
        """All of a group that is too old, otherwise as much of it as is too much."""
        count = len(group.keys) if group.time_ms <= horizon_ms else len(self._answers) - self._count_max
        for key in group.keys[:count]:
            del self._answers[key]
        del group.keys[:count]
        if not group.keys:
            self._groups.popleft()
