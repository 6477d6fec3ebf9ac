"""Reads the journal's events in Kafka from their beginning, for commands without an event loop.

The client runs in an event loop of its own, which only runs during a call.
A reader that is slow or pauses holds one fetch in memory and no more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from liveroom.config.schema import KafkaConfig
from liveroom.journal.base import PastEntry
from liveroom.journal.kafka.client import KafkaCluster, answered, offsets_of, stop
from liveroom.journal.kafka.entries import skip_offsets, stored_entries
from liveroom.journal.kafka.known import KnownEnds, lost_spans
from liveroom.journal.kafka.reader import KafkaReader
from liveroom.journal.kafka.snapshots import KafkaSnapshots
from liveroom.journal.kafka.topics import Topics
from liveroom.journal.kafka.writer import KafkaWriter
from liveroom.messages.errors import JournalDamaged, JournalUnavailable
from liveroom.telemetry.metrics import Metrics

__all__ = ["KafkaStoredLog", "open_kafka_stored_log"]

logger = logging.getLogger(__name__)

#: Longest time that a broker holds a fetch when there is nothing new. A running fetch must end before another place is read.
FETCH_WAIT_MS = 10
#: Records that are decoded before the next ones are taken from the client.
CHUNK_RECORDS = 256
#: Longest wait for records that are known to exist.
READ_WAIT_S = 20.0

T = TypeVar("T")


def open_kafka_stored_log(config: KafkaConfig) -> KafkaStoredLog:
    """Open the topic of events for reading only.

    Raises: `JournalUnavailable` when there is none or no broker answers; `BadConfig` for TLS files that cannot be used.
    """
    topic = Topics.of(config.topic_prefix).events
    cluster = KafkaCluster(config, "liveroom-past")
    runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
    try:
        return KafkaStoredLog(cluster, config, runner, *runner.run(_opened(cluster, topic)))
    except BaseException:
        runner.close()
        raise


async def _opened(cluster: KafkaCluster, topic: str) -> tuple[AIOKafkaConsumer, int]:
    """A client, and the topic's number of partitions."""
    consumer = cluster.reader(FETCH_WAIT_MS)
    consumer.gapless = True  # only events are read, which are never compacted
    try:
        try:
            await cluster.start(consumer)
        except JournalUnavailable as error:
            raise await cluster.explained(error) from None
        if topic not in await answered(consumer.topics(), cluster):  # a request for this topic alone might create it
            raise JournalUnavailable(
                f"there is no topic {topic} at {cluster.servers}, or it may not be read; was `liveroom` started with this kafka.topic_prefix?"
            )
        consumer.assign([TopicPartition(topic, 0)])
        await offsets_of(
            consumer, lambda consumer: consumer.end_offsets([TopicPartition(topic, 0)]), cluster
        )  # once it is answered, the topic is known
        return consumer, len(consumer.partitions_for_topic(topic) or ())
    except BaseException:
        await stop(consumer)
        raise


class KafkaStoredLog:
    """The stored log in Kafka, a context manager; see `StoredLog`. Any number of processes may read without effect on others."""

    def __init__(self, cluster: KafkaCluster, config: KafkaConfig, runner: asyncio.Runner, consumer: AIOKafkaConsumer, partitions: int) -> None:
        self._topics = Topics.of(config.topic_prefix)
        self._topic = self._topics.events
        self._skipped = skip_offsets(config)
        self._lost = lost_spans(config.events_lost)
        self.partitions = partitions
        self.chain_text = self._topic
        self._cluster = cluster
        self._runner = runner
        self._consumer = consumer
        self._stands: tuple[TopicPartition, int] | None = None  # the position of the client

    def __enter__(self) -> KafkaStoredLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the client."""
        try:
            self._runner.run(stop(self._consumer))
        finally:
            self._runner.close()

    def entries(self, partition: int, offset: int = 0) -> Iterator[PastEntry]:
        """Like `StoredLog.entries`; also gives new entries that were fetched along."""
        source = TopicPartition(self._topic, partition)
        first, end = self._run(self._bounds(source))
        if offset < first:
            raise JournalDamaged(
                f"{self._topic}[{partition}] begins at {first}: entries from {offset} on were deleted, so accounts cannot be derived from it;"
                " that needs all of the topic (kafka.events_retention_h = -1)"
            )
        if offset > end:
            raise JournalDamaged(f"{self._topic}[{partition}] ends at {end}, but {offset} entries of it were read: the topic was cut or recreated")
        while offset < end:
            for record in self._run(self._some(source, offset)):
                for stored in stored_entries(record, offset, self._skipped):
                    yield PastEntry(stored.offset, stored.entry, record.value if stored.offset == record.offset else None)
                    offset += 1

    def verify(self, *, against_mark: bool = True) -> None:
        """Check that the events contain those of the snapshots, if these are readable. Brokers keep checksums of their own."""
        self._run(self._verify())

    async def _verify(self) -> None:
        metrics = Metrics()
        ends = KnownEnds(self._topic, self._lost, lambda partition, words: None)
        reader, writer = KafkaReader(self._cluster, metrics), KafkaWriter(self._cluster, 0, metrics)  # it never writes
        snapshots = KafkaSnapshots(reader, writer, self._topics, 1, self._skipped, ends)
        try:
            if self._topics.snapshots not in await answered(self._consumer.topics(), self._cluster):
                logger.warning("there is no topic of snapshots, or it may not be read: whether events are missing at the end is not known")
                return
            for partition in range(self.partitions):
                await snapshots.load(partition)
        finally:
            await reader.close()

    async def _bounds(self, source: TopicPartition) -> tuple[int, int]:
        """The first stored offset, and the offset after the last entry."""
        first = await offsets_of(self._consumer, lambda consumer: consumer.beginning_offsets([source]), self._cluster)
        end = await offsets_of(self._consumer, lambda consumer: consumer.end_offsets([source]), self._cluster)
        return int(first[source]), int(end[source])

    async def _some(self, source: TopicPartition, offset: int) -> list[ConsumerRecord[bytes, bytes]]:
        """Records from `offset` on, at least one."""
        if self._stands != (source, offset):
            self._consumer.assign([source])
            self._consumer.seek(source, offset)
        self._stands = None
        taken = self._consumer.getmany(source, timeout_ms=int(READ_WAIT_S * 1_000), max_records=CHUNK_RECORDS)
        records: list[ConsumerRecord[bytes, bytes]] = (await answered(taken, self._cluster)).get(source, [])
        if not records:
            raise JournalUnavailable(f"Kafka at {self._cluster.servers}: nothing of {source.topic}[{source.partition}] came within {READ_WAIT_S:g} s")
        self._stands = (source, records[-1].offset + 1)
        return records

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)
