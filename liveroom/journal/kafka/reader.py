"""Reads partitions of Kafka without a group.

Each reader has its own position, and as many as possible share one client.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError, OffsetOutOfRangeError

from liveroom.journal.kafka.client import KafkaCluster, answered, offsets_of, stop
from liveroom.journal.kafka.records import after
from liveroom.messages.errors import JournalError, JournalUnavailable
from liveroom.telemetry.metrics import Metrics

__all__ = ["KafkaReader"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Limit of the fetched records that wait for one reader; then fetching for it pauses.
WAITING_RECORDS_MAX = 2_000
#: The same limit in bytes; the fetch that passes it is the last.
WAITING_BYTES_MAX = 16 * 1024 * 1024
#: Limit of the records from one poll of the client.
POLL_RECORDS = 1_000
POLL_MS = 1_000
#: Longest wait for records that are known to exist.
READ_WAIT_S = 20.0
#: A background reader gets this many bytes at once, or the available ones after this time.
LEISURE_BYTES = 64 * 1024
LEISURE_WAIT_MS = 100
#: Gaps up to this many records between two wanted ones are read, not skipped.
GAP_RECORDS = 64
#: Records in the first look back from the end of a log.
LOOK_BACK_RECORDS = 4
#: Longest time that a broker holds such a read, which must end before another place is read.
PICK_WAIT_MS = 10
#: Partitions whose reads fail for this time count as unreachable.
FAILING_S = 3.0
#: Pause before a failed client is replaced, and between looks at a log that has not grown enough.
AGAIN_S = 0.1


def _runs(offsets: Sequence[int]) -> list[tuple[int, int]]:
    """Spans [start, stop) of the log that cover all offsets, with small gaps at most."""
    runs: list[tuple[int, int]] = []
    for offset in offsets:
        if runs and offset - runs[-1][1] <= GAP_RECORDS:
            runs[-1] = (runs[-1][0], offset + 1)
        else:
            runs.append((offset, offset + 1))
    return runs


class _Position:
    """The position of one reader of one partition, and the records fetched for it."""

    def __init__(self, source: TopicPartition, offset: int) -> None:
        self.source = source
        self.next_offset = offset  # offset of the next fetch
        self.fetched: deque[ConsumerRecord[bytes, bytes]] = deque()
        self._fetched_bytes = 0
        self.news = asyncio.Event()
        self.failure: JournalError | None = None

    @property
    def has_space(self) -> bool:
        return len(self.fetched) < WAITING_RECORDS_MAX and self._fetched_bytes < WAITING_BYTES_MAX and self.failure is None

    def take(self, records: list[ConsumerRecord[bytes, bytes]]) -> None:
        self.fetched.extend(records)
        self._fetched_bytes += sum(len(record.value or b"") for record in records)
        self.next_offset = after(records[-1])
        self.news.set()

    def give(self) -> list[ConsumerRecord[bytes, bytes]]:
        records = list(self.fetched)
        self.fetched.clear()
        self._fetched_bytes = 0
        return records

    def fail(self, failure: JournalError) -> None:
        self.failure = failure
        self.news.set()


class KafkaReader:
    """All readers of one process.
    Readers of the same partition get separate clients; readers of different partitions of a topic share one.

    A client has one fetch per broker in flight.
    If topics shared a client, records of one would wait for records of another.
    """

    def __init__(self, cluster: KafkaCluster, metrics: Metrics, *, background: bool = False) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._background = background
        self._clients: list[_Client] = []
        self._asking: AIOKafkaConsumer | None = None
        self._asking_starts = asyncio.Lock()
        self._questions: set[asyncio.Future[dict[TopicPartition, int]]] = set()
        self._picking: AIOKafkaConsumer | None = None  # while it is free
        self._pick_turn = asyncio.Lock()
        self._closed = False

    async def read(self, topic: str, partition: int, offset: int, *, own: bool = True) -> AsyncGenerator[list[ConsumerRecord[bytes, bytes]]]:
        """Follow from `offset` on without end, some records at a time.
        Times in records that are not our `own` are not trusted.

        Raises: `JournalUnavailable` when closed, or when the next record does not exist any more.
        """
        source = TopicPartition(topic, partition)
        end = await self._until_there(topic, partition, offset)
        position = _Position(source, offset)
        client = next((client for client in self._clients if client.is_free(source)), None)
        if client is None:
            client = _Client(self._cluster, self._metrics, background=self._background)
            self._clients.append(client)
        client.add(position)
        try:
            while True:
                self._must_be_open()
                if position.fetched:
                    was_full = not position.has_space
                    records = position.give()
                    if was_full:
                        client.wake()
                    # Only newer records measure the delay; older ones only show how long ago they were written.
                    if own and records[-1].offset >= end and not self._background:
                        self._metrics.journal_fetch_seconds.observe(max(0.0, time.time() - records[-1].timestamp / 1000))
                    yield records
                elif position.failure is not None:
                    raise position.failure
                else:
                    position.news.clear()
                    await position.news.wait()
        finally:
            client.remove(position)

    async def read_until(self, topic: str, partition: int, start: int, end: int) -> AsyncGenerator[list[ConsumerRecord[bytes, bytes]]]:
        """The remaining records in [start, end).
        Offsets at its end may hold nothing any more, which is noticed.

        Raises: like `read`.
        """
        consumer = self._cluster.reader()
        await self._cluster.start(consumer)
        try:
            async with aclosing(self._read_range(consumer, TopicPartition(topic, partition), start, end)) as runs:
                async for records in runs:
                    yield records
        finally:
            await stop(consumer)

    async def newest(self, topic: str, partition: int, start: int, end: int, look: Callable[[ConsumerRecord[bytes, bytes]], T | None]) -> T | None:
        """The first result of `look`, from the newest record in [start, end) backwards.

        Looks back from the end, each time over twice as many records.
        Raises: like `read`.
        """
        count, upper = LOOK_BACK_RECORDS, end
        while upper > start:
            lower, found = max(start, upper - count), None
            async with aclosing(self.read_until(topic, partition, lower, upper)) as runs:
                async for records in runs:
                    for record in records:
                        if (seen := look(record)) is not None:
                            found = seen
            if found is not None:
                return found
            count, upper = count * 2, lower
        return None

    async def _read_range(
        self, consumer: AIOKafkaConsumer, source: TopicPartition, start: int, end: int
    ) -> AsyncGenerator[list[ConsumerRecord[bytes, bytes]]]:
        consumer.assign([source])
        consumer.seek(source, start)
        clock, position, moved_s = asyncio.get_running_loop().time, start, asyncio.get_running_loop().time()
        while position < end:
            found = await answered(consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS), self._cluster)
            before, position = position, await answered(consumer.position(source), self._cluster)
            if position > before:
                moved_s = clock()
            elif clock() - moved_s > READ_WAIT_S:  # brokers are away, or the log lost its end since the request
                raise JournalUnavailable(f"{source.topic}[{source.partition}]: nothing came from {position} on within {READ_WAIT_S:g} s, up to {end}")
            if records := [record for record in found.get(source, ()) if record.offset < end]:
                yield records

    async def pick(self, topic: str, partition: int, offsets: Sequence[int]) -> dict[int, ConsumerRecord[bytes, bytes]]:
        """The remaining records at these offsets. Raises: like `read`."""
        first, end = await self.bounds(topic, partition)
        wanted = {offset for offset in offsets if first <= offset < end}
        found: dict[int, ConsumerRecord[bytes, bytes]] = {}
        async with self._pick_turn:
            consumer, self._picking = self._picking or await self._started(), None
            try:
                for run in _runs(sorted(wanted)):
                    async with aclosing(self._read_range(consumer, TopicPartition(topic, partition), *run)) as some:
                        async for records in some:
                            found |= {record.offset: record for record in records if record.offset in wanted}
                self._must_be_open()
            except BaseException:
                await stop(consumer)
                raise
            self._picking = consumer
        return found

    async def _started(self) -> AIOKafkaConsumer:
        self._must_be_open()
        consumer = self._cluster.reader(PICK_WAIT_MS)
        await self._cluster.start(consumer)
        return consumer

    async def start(self, topic: str, partition: int) -> int:
        """The first stored offset."""
        source = TopicPartition(topic, partition)
        return int((await self._ask(lambda consumer: consumer.beginning_offsets([source])))[source])

    async def end(self, topic: str, partition: int) -> int:
        """The offset after the last record."""
        source = TopicPartition(topic, partition)
        return int((await self._ask(lambda consumer: consumer.end_offsets([source])))[source])

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The first stored offset, and the offset after the last record."""
        return await self.start(topic, partition), await self.end(topic, partition)

    def fail(self, topic: str, partition: int, failure: JournalError) -> None:
        """End the readers of a partition with an error."""
        for client in self._clients:
            client.fail(TopicPartition(topic, partition), failure)

    def failing(self) -> frozenset[int]:
        """Followed partitions whose reads have all failed for `FAILING_S`."""
        return frozenset().union(*(client.failing() for client in self._clients))

    async def close(self) -> None:
        """Release everything; waiting readers get an error."""
        self._closed = True
        for question in self._questions:
            question.cancel()
        clients, self._clients = self._clients, []
        await asyncio.gather(*(client.close() for client in clients))
        async with self._asking_starts:
            if self._asking is not None:
                await stop(self._asking)
        picking, self._picking = self._picking, None
        if picking is not None:
            await stop(picking)

    async def _until_there(self, topic: str, partition: int, offset: int) -> int:
        """Wait until the log reaches `offset`, because a fetch beyond the end would be an error. Gives the end."""
        while True:
            end = await self.end(topic, partition)
            if end >= offset:
                return end
            await asyncio.sleep(AGAIN_S)

    async def _ask(self, question: Callable[[AIOKafkaConsumer], Awaitable[dict[TopicPartition, int]]]) -> dict[TopicPartition, int]:
        consumer = await self._asked()
        asked = asyncio.ensure_future(offsets_of(consumer, question, self._cluster))
        self._questions.add(asked)
        try:
            return await asked
        except (JournalUnavailable, ConsumerStoppedError, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is None or not task.cancelling():  # only the request was cancelled, by `close`
                self._must_be_open()
            raise
        finally:
            self._questions.discard(asked)

    async def _asked(self) -> AIOKafkaConsumer:
        async with self._asking_starts:
            self._must_be_open()
            if self._asking is None:
                consumer = self._cluster.asker()
                await self._cluster.start(consumer)
                self._asking = consumer
            return self._asking

    def _must_be_open(self) -> None:
        if self._closed:
            raise JournalUnavailable("the journal is closed")


class _Client:
    """One consumer and the positions that it serves, at most one per partition."""

    def __init__(self, cluster: KafkaCluster, metrics: Metrics, *, background: bool) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._background = background
        self._positions: dict[TopicPartition, _Position] = {}
        self._assigned_anew = False
        self._failing_since_s: float | None = None
        self._wake = asyncio.Event()
        self._polling: asyncio.Future[dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]] | None = None
        self._task = asyncio.get_running_loop().create_task(self._run(), name="kafka-reader")

    def is_free(self, source: TopicPartition) -> bool:
        """Whether it reads this topic or nothing, and no reader uses it for this partition."""
        return source not in self._positions and all(other.topic == source.topic for other in self._positions)

    def add(self, position: _Position) -> None:
        """Add a reader."""
        self._positions[position.source] = position
        self._assigned_anew = True
        self.wake()

    def remove(self, position: _Position) -> None:
        """Remove a reader."""
        del self._positions[position.source]
        self._assigned_anew = True
        self.wake()

    def fail(self, source: TopicPartition, failure: JournalError) -> None:
        """End the reader of a partition, if there is one."""
        if position := self._positions.get(source):
            position.fail(failure)
            self._assigned_anew = True
            self.wake()

    def failing(self) -> frozenset[int]:
        """All its partitions, if reads brought only errors for `FAILING_S`."""
        since_s = self._failing_since_s
        if since_s is None or asyncio.get_running_loop().time() - since_s < FAILING_S:
            return frozenset()
        return frozenset(source.partition for source in self._positions)

    def wake(self) -> None:
        """Apply changed positions at once. An interrupted poll loses nothing: records leave the client only with its result."""
        self._wake.set()
        if self._polling is not None:
            self._polling.cancel()

    async def close(self) -> None:
        """Stop, with an error for the readers."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for position in self._positions.values():
            position.fail(JournalUnavailable("the journal is closed"))

    async def _run(self) -> None:
        while True:
            consumer = self._cluster.reader(LEISURE_WAIT_MS, LEISURE_BYTES) if self._background else self._cluster.reader()
            consumer.gapless = True  # commands and events are never compacted
            try:
                await self._cluster.start(consumer)
                try:
                    self._assigned_anew = True
                    await self._serve(consumer)
                finally:
                    await stop(consumer)
            except (KafkaError, JournalUnavailable, OSError) as error:
                self._metrics.journal_broker_errors.labels("fetch").inc()
                logger.warning("a reader of Kafka failed and starts again", extra={"error": repr(error)})
            except Exception:  # the readers would wait forever
                self._metrics.journal_broker_errors.labels("fetch").inc()
                logger.exception("a reader of Kafka failed and starts again")
            if self._failing_since_s is None:
                self._failing_since_s = asyncio.get_running_loop().time()
            await asyncio.sleep(AGAIN_S)

    async def _serve(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            if self._assigned_anew:
                self._assign(consumer)
            wanted = [source for source, position in self._positions.items() if position.has_space]
            self._wake.clear()
            if not wanted:
                self._failing_since_s = None
                await self._wake.wait()
                continue
            try:
                found = await self._poll(consumer, wanted)
            except OffsetOutOfRangeError as error:
                self._out_of_range(error)
                continue
            self._failing_since_s = None
            for source, records in found.items():
                if records and (position := self._positions.get(source)):
                    position.take(records)

    def _assign(self, consumer: AIOKafkaConsumer) -> None:
        """Assign the wanted partitions. The client forgets its fetched records, so each reader continues at its position."""
        self._assigned_anew = False
        consumer.assign([source for source, position in self._positions.items() if position.failure is None])
        for source, position in self._positions.items():
            if position.failure is None:
                consumer.seek(source, position.next_offset)

    async def _poll(self, consumer: AIOKafkaConsumer, wanted: list[TopicPartition]) -> dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]:
        """The next fetched records; nothing when the positions change meanwhile."""
        poll: asyncio.Future[dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]]
        poll = self._polling = asyncio.ensure_future(consumer.getmany(*wanted, timeout_ms=POLL_MS, max_records=POLL_RECORDS))
        try:
            return await poll  # awaiting it directly saves a turn of the loop in which a record would wait
        except asyncio.CancelledError:
            if self._task.cancelling():
                raise
            return {}
        finally:
            self._polling = None

    def _out_of_range(self, error: OffsetOutOfRangeError) -> None:
        for source, offset in dict(error.args[0]).items():
            if position := self._positions.get(source):
                position.fail(JournalUnavailable(f"{source.topic}[{source.partition}] does not hold offset {offset}: it was deleted or cut"))
        self._assigned_anew = True
