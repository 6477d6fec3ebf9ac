"""Asks the brokers now and then where the logs end: so a process knows whether they answer, and how far behind it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from liveroom.journal.kafka.reader import Reader
from liveroom.journal.kafka.topics import Topics
from liveroom.messages.errors import JournalDamaged, JournalUnavailable
from liveroom.telemetry.metrics import Metrics

__all__ = ["Mark", "Watch"]

#: Pause between two questions, and how long an answer is waited for.
ASK_S = 0.5
ANSWER_S = 2.0
#: A partition that gave no answer for so long is unreachable; one answer ends that.
SILENCE_S = 3.0


class Mark(Struct, eq=False):
    """How far one reader of `events[p]` is: everything below `offset` was given out."""

    partition: int
    offset: int


class Watch:
    """Of the partitions that the process reads; of the first when it reads none, since it may have to soon.

    `answered(partition)` gives the command offset below which records answer, `waiting()` how many of this process' commands wait.
    `known_end(partition)` gives what is known to stand in the events, `reaches(partition, end, known_end)` compares it with where they end and
    raises `JournalDamaged` when they have lost something. `failing()` gives the partitions whose reads have failed for a while: they count
    as unreachable, whatever the brokers answer to questions.
    """

    def __init__(
        self,
        reader: Reader,
        topics: Topics,
        metrics: Metrics,
        *,
        answered: Callable[[int], int],
        waiting: Callable[[], int],
        known_end: Callable[[int], int],
        reaches: Callable[[int, int, int], bool],
        failing: Callable[[], frozenset[int]],
    ) -> None:
        self._reader = reader
        self._topics = topics
        self._metrics = metrics
        self._answered = answered
        self._waiting = waiting
        self._known_end = known_end
        self._reaches = reaches
        self._failing = failing
        self._marks: set[Mark] = set()  # readers of events
        self._owned: list[int] = []  # partitions whose commands are read
        self._silent_s: dict[int, float] = {}
        self.unreachable: frozenset[int] = frozenset()

    @contextmanager
    def events(self, partition: int, offset: int) -> Iterator[Mark]:
        """While somebody reads `events[p]`: it moves the mark."""
        mark = Mark(partition, offset)
        self._marks.add(mark)
        try:
            yield mark
        finally:
            self._marks.discard(mark)
            if not any(other.partition == partition for other in self._marks):
                self._metrics.journal_lag_events.remove(str(partition))

    @contextmanager
    def commands(self, partition: int) -> Iterator[None]:
        """While an engine that owns the partition reads `commands[p]`."""
        self._owned.append(partition)
        try:
            yield
        finally:
            self._owned.remove(partition)
            if partition not in self._owned:
                self._metrics.journal_lag_commands.remove(str(partition))

    async def run(self) -> None:
        """Ask without end."""
        clock = asyncio.get_running_loop().time
        last_s = clock()
        while True:
            partitions = list({mark.partition for mark in self._marks} or {0})
            heard = await asyncio.gather(*(self._ask(partition) for partition in partitions))
            last_s, passed_s = clock(), min(clock() - last_s, ASK_S + ANSWER_S)  # time in which this process was held up is not the brokers' silence
            self._silent_s = {p: 0.0 if answers else self._silent_s.get(p, 0.0) + passed_s for p, answers in zip(partitions, heard, strict=True)}
            self.unreachable = frozenset(p for p, silent_s in self._silent_s.items() if silent_s > SILENCE_S) | self._failing()
            self._metrics.journal_partitions_unreachable.set(len(self.unreachable))
            self._metrics.journal_commands_waiting.set(self._waiting())
            await asyncio.sleep(ASK_S)

    async def _ask(self, partition: int) -> bool:
        """Gives whether it was answered."""
        known_end = self._known_end(partition)
        try:
            async with asyncio.timeout(ANSWER_S):
                events = await self._reader.end(self._topics.events, partition)
                commands = await self._reader.end(self._topics.commands, partition) if partition in self._owned else 0
        except (JournalUnavailable, TimeoutError):
            self._metrics.journal_broker_errors.labels("ask").inc()
            return False
        with contextlib.suppress(JournalDamaged):  # readers of the partition are told
            self._reaches(partition, events, known_end)
        if behind := [events - mark.offset for mark in self._marks if mark.partition == partition]:
            self._metrics.journal_lag_events.labels(str(partition)).set(max(0, *behind))
        if partition in self._owned:
            self._metrics.journal_lag_commands.labels(str(partition)).set(max(0, commands - self._answered(partition)))
        return True
