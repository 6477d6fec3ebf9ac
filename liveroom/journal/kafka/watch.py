"""Asks the brokers regularly for the ends of the logs.

The answers show whether brokers respond and how far behind this process is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from liveroom.journal.kafka.reader import KafkaReader
from liveroom.journal.kafka.topics import Topics
from liveroom.messages.errors import JournalDamaged, JournalUnavailable
from liveroom.telemetry.metrics import Metrics

__all__ = ["ReaderPosition", "Watch"]

#: Pause between two requests, and the longest wait for an answer.
ASK_S = 0.5
ANSWER_S = 2.0
#: A partition without an answer for this time is unreachable; one answer ends that.
SILENCE_S = 3.0


class ReaderPosition(Struct, eq=False):
    """The position of one reader of `events[p]`: all entries below `offset` were given out."""

    partition: int
    offset: int


class Watch:
    """Watches the partitions that the process reads, or the first one when it reads none.

    - `answered(partition)` gives the command offset below which records answer.
    - `waiting()` gives the number of this process's waiting commands.
    - `known_end(partition)` gives the known end of the events.
    - `reaches(partition, end, known_end)` compares it with the real end, and raises `JournalDamaged` when entries are lost.
    - `failing()` gives the partitions whose reads have failed for a while. They count as unreachable, whatever brokers answer here.
    """

    def __init__(
        self,
        reader: KafkaReader,
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
        self._positions: set[ReaderPosition] = set()  # the readers of events
        self._owned: list[int] = []  # partitions whose commands this process reads
        self._silent_s: dict[int, float] = {}
        self.unreachable: frozenset[int] = frozenset()

    @contextmanager
    def events(self, partition: int, offset: int) -> Iterator[ReaderPosition]:
        """Register a reader of `events[p]`, which moves its position."""
        position = ReaderPosition(partition, offset)
        self._positions.add(position)
        try:
            yield position
        finally:
            self._positions.discard(position)
            if not any(other.partition == partition for other in self._positions):
                self._metrics.journal_lag_events.remove(str(partition))

    @contextmanager
    def commands(self, partition: int) -> Iterator[None]:
        """Register an engine that reads `commands[p]`."""
        self._owned.append(partition)
        try:
            yield
        finally:
            self._owned.remove(partition)
            if partition not in self._owned:
                self._metrics.journal_lag_commands.remove(str(partition))

    async def run(self) -> None:
        """Ask until cancelled."""
        clock = asyncio.get_running_loop().time
        last_s = clock()
        while True:
            partitions = list({position.partition for position in self._positions} or {0})
            heard = await asyncio.gather(*(self._ask(partition) for partition in partitions))
            last_s, passed_s = clock(), min(clock() - last_s, ASK_S + ANSWER_S)  # a pause of this process does not count as silence of the brokers
            self._silent_s = {p: 0.0 if answers else self._silent_s.get(p, 0.0) + passed_s for p, answers in zip(partitions, heard, strict=True)}
            self.unreachable = frozenset(p for p, silent_s in self._silent_s.items() if silent_s > SILENCE_S) | self._failing()
            self._metrics.journal_partitions_unreachable.set(len(self.unreachable))
            self._metrics.journal_commands_waiting.set(self._waiting())
            await asyncio.sleep(ASK_S)

    async def _ask(self, partition: int) -> bool:
        """Ask for one partition; gives whether an answer came."""
        known_end = self._known_end(partition)
        try:
            async with asyncio.timeout(ANSWER_S):
                events = await self._reader.end(self._topics.events, partition)
                commands = await self._reader.end(self._topics.commands, partition) if partition in self._owned else 0
        except (JournalUnavailable, TimeoutError):
            self._metrics.journal_broker_errors.labels("ask").inc()
            return False
        with contextlib.suppress(JournalDamaged):  # the readers of the partition get the error
            self._reaches(partition, events, known_end)
        if behind := [events - position.offset for position in self._positions if position.partition == partition]:
            self._metrics.journal_lag_events.labels(str(partition)).set(max(0, *behind))
        if partition in self._owned:
            self._metrics.journal_lag_commands.labels(str(partition)).set(max(0, commands - self._answered(partition)))
        return True
