"""Idempotency: the outcome of every command id, so that a retry gets the original answer."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from msgspec import Struct

from liveroom.config import EngineConfig
from liveroom.messages.frames import Accepted, Refused
from liveroom.messages.records import Answer

__all__ = ["CommandKey", "Outcome", "Outcomes", "key_of"]

CommandKey = tuple[str, str, str]
"""Room, user, command id."""

#: Outcomes that moved money are bounded before they are made, never by forgetting.
UNBOUNDED = sys.maxsize


class Outcome(Struct, frozen=True, array_like=True, gc=False):
    """What one command came to, and when; `kept` when it moved money."""

    room: str
    user: str
    time_ms: int
    digest: int
    reply: Accepted | Refused
    kept: bool = False


class _Group(Struct):
    """What was remembered with one record, in order."""

    time_ms: int
    keys: list[CommandKey]


def key_of(answered: Answer | Outcome) -> CommandKey:
    """Whose command it was."""
    return (answered.room, answered.user, answered.reply.id)


class _Line:
    """Keys in the order in which they were remembered, to be forgotten in the same order."""

    def __init__(self) -> None:
        self.groups: deque[_Group] = deque()
        self.new: list[CommandKey] = []
        self.count = 0

    def close_group(self, time_ms: int) -> None:
        """What was added since the last call is of `time_ms`."""
        if self.new:
            self.groups.append(_Group(time_ms, self.new))
            self.count += len(self.new)
            self.new = []

    def forget(self, horizon_ms: int, count_max: int) -> Iterator[list[CommandKey]]:
        """Take out what is not younger than `horizon_ms`, and the oldest of what is more than `count_max`."""
        groups = self.groups
        while groups and (groups[0].time_ms <= horizon_ms or self.count > count_max):
            oldest = groups[0]
            count = len(oldest.keys) if oldest.time_ms <= horizon_ms else min(len(oldest.keys), self.count - count_max)
            yield oldest.keys[:count]
            del oldest.keys[:count]
            self.count -= count
            if not oldest.keys:
                groups.popleft()


class Outcomes:
    """The outcomes of one partition, oldest first; forgotten after `window_ms` of partition time.

    Outcomes that moved money are forgotten for no other reason: when there are `dedupe_money_max` of them, no more may be made.
    Of the others the newest `dedupe_count_max` are kept. Nothing is forgotten but in `end_record`: what is remembered depends on the records
    alone, not on how they came to be.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._window_ms = config.dedupe_window_ms
        self._count_max = config.dedupe_count_max
        #: How many more outcomes that moved money can be remembered; none when below 1.
        self.money_left = config.dedupe_money_max
        self._answers: dict[CommandKey, Answer] = {}
        #: The answer that is remembered for an id, or `None`.
        self.find: Callable[[CommandKey], Answer | None] = self._answers.get
        self._money = _Line()
        self._others = _Line()

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Remember what a snapshot holds, in its order."""
        for time_ms, of_one_time in groupby(outcomes, lambda outcome: outcome.time_ms):
            for outcome in of_one_time:
                answer = Answer(outcome.room, outcome.user, outcome.digest, outcome.reply, kept=outcome.kept)
                self.remember(key_of(outcome), answer)
            self._close_groups(time_ms)

    def __len__(self) -> int:
        return len(self._answers)

    def __iter__(self) -> Iterator[Outcome]:
        for line in (self._others, self._money):
            for group in line.groups:
                for key in group.keys:
                    answer = self._answers[key]
                    yield Outcome(answer.room, answer.user, group.time_ms, answer.digest, answer.reply, answer.kept)

    def remember(self, key: CommandKey, answer: Answer) -> None:
        """Keep the answer to a command that is not known."""
        self._answers[key] = answer
        if answer.kept:
            self._money.new.append(key)
            self.money_left -= 1
        else:
            self._others.new.append(key)

    def unremember(self, key: CommandKey) -> None:
        """Take back what was remembered for the record that is being made."""
        answer = self._answers.pop(key)
        if answer.kept:
            self._money.new.remove(key)
            self.money_left += 1
        else:
            self._others.new.remove(key)

    def end_record(self, time_ms: int) -> None:
        """What was remembered since the last call belongs to a record of `time_ms`; what is too old or too much by then is forgotten."""
        self._close_groups(time_ms)
        horizon_ms = time_ms - self._window_ms
        self._forget(self._others.forget(horizon_ms, self._count_max))
        self.money_left += self._forget(self._money.forget(horizon_ms, UNBOUNDED))

    def _forget(self, some: Iterator[list[CommandKey]]) -> int:
        """How many were forgotten."""
        count = 0
        for keys in some:
            for key in keys:
                del self._answers[key]
            count += len(keys)
        return count

    def _close_groups(self, time_ms: int) -> None:
        self._others.close_group(time_ms)
        self._money.close_group(time_ms)
