"""Keeps following partitions of a journal, for gateway, console and publisher.

How it works:

1. `want` starts to follow a partition, in a task of its own.
2. The task asks for the end of the log, and makes a consumer. The consumer says where reading starts, and then gets every accepted record.
3. Records from that end on are live. Once all records below it are read, the partition is caught up.
4. If anything fails, the task waits for `RETRY_S` and begins again with a new consumer.
   A consumer therefore may get records that an earlier one had.
5. A damaged partition is not read again before this process restarts. Other partitions go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

from liveroom.journal.acceptance import Verdict
from liveroom.journal.base import Journal
from liveroom.journal.follower import AcceptedRecord, Start, follow
from liveroom.messages.errors import JournalDamaged, JournalError
from liveroom.process.clock import Clock
from liveroom.process.turns import Turns
from liveroom.telemetry.metrics import Metrics

__all__ = ["RETRY_S", "PartitionFollower", "RecordConsumer"]

log = logging.getLogger(__name__)

#: Pause after a failure, before the partition is read again.
RETRY_S = 0.5
#: Records of one partition, plus the details in them, before its task yields to the event loop.
RECORDS_AT_ONCE = 64


class RecordConsumer(Protocol):
    """Takes the records of one partition. A new one is made whenever reading begins."""

    async def start(self) -> Start:
        """Prepare, and return where reading starts. The end of the log is known by now."""

    async def take(self, accepted: AcceptedRecord, *, live: bool) -> None:
        """Take the next accepted record. `live`: it was written after reading began."""


class _Reading:
    """The state of one followed partition."""

    def __init__(self) -> None:
        self.end: int | None = None  # the end of the log when reading began; unknown between two attempts
        self.caught_up = False


class PartitionFollower:
    """Follows the wanted partitions until they are released. `consumer(partition)` makes a consumer; `reader` names it in the log."""

    def __init__(
        self, journal: Journal, metrics: Metrics, clock: Clock, consumer: Callable[[int], RecordConsumer], *, reader: str, background: bool = False
    ) -> None:
        self._journal = journal
        self._metrics = metrics
        self._clock = clock
        self._consumer = consumer
        self._reader = reader
        self._background = background
        self._readings: dict[int, _Reading] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._released: set[asyncio.Task[None]] = set()  # until they have ended

    @property
    def wanted(self) -> list[int]:
        """The partitions that are followed."""
        return list(self._tasks)

    def want(self, partition: int) -> bool:
        """Follow a partition. Returns whether the end of its log is known already."""
        if partition not in self._tasks:
            reading = self._readings[partition] = _Reading()
            work = self._keep_following(partition, reading)
            self._tasks[partition] = asyncio.create_task(work, name=f"{self._reader}-{partition}")
        return self._readings[partition].end is not None

    def release(self, partition: int) -> None:
        """Stop following a partition."""
        task = self._tasks.pop(partition)
        del self._readings[partition]
        task.cancel()
        self._released.add(task)
        task.add_done_callback(self._released.discard)

    async def stop(self) -> None:
        """Stop following all partitions."""
        for partition in self.wanted:
            self.release(partition)
        await asyncio.gather(*self._released, return_exceptions=True)

    def is_caught_up(self, partition: int) -> bool:
        """Whether the partition was read up to the end that its log had when reading began."""
        return partition in self._readings and self._readings[partition].caught_up

    async def _keep_following(self, partition: int, reading: _Reading) -> None:
        words = {"reader": self._reader, "partition": partition}
        while True:
            try:
                await self._follow(partition, reading)
            except JournalDamaged as error:
                log.critical("a partition is damaged; it is not read again before this process restarts", extra={**words, "error": str(error)})
                return
            except JournalError as error:
                log.warning("a partition cannot be read; trying again", extra={**words, "error": str(error)})
            except Exception:
                log.exception("following a partition failed; trying again", extra=words)
            finally:
                reading.end, reading.caught_up = None, False
            await self._clock.sleep(RETRY_S)

    async def _follow(self, partition: int, reading: _Reading) -> None:
        end = reading.end = await self._journal.events_end(partition)
        consumer = self._consumer(partition)
        start = await consumer.start()

        def on_read(offset: int) -> None:
            reading.caught_up = reading.caught_up or offset >= end

        taken, turns = 0, Turns(self._clock.monotonic_s)
        following = follow(self._journal, partition, start, self._on_skipped, on_read, background=self._background)
        async with aclosing(following) as records:
            async for accepted in records:
                await consumer.take(accepted, live=accepted.offset >= end)
                taken += 1 + len(accepted.record.details)
                if taken >= RECORDS_AT_ONCE:
                    taken = 0
                    await turns.pause()

    def _on_skipped(self, verdict: Verdict) -> None:
        self._metrics.journal_skipped.labels(verdict.value).inc()
