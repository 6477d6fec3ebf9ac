"""The journal in Kafka: many processes, many machines.

`commands`, `events` and `snapshots` are topics with the same number of partitions.
Readers use no group; each names its offset.
Each process counts its unanswered commands, so that a partition without an engine refuses commands instead of piling them up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from asyncio import Future
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial

from aiokafka import ConsumerRecord

from liveroom.config.schema import Config
from liveroom.journal.base import PAYLOAD_CHARS_MAX, STOPPED_RUNBOOK, CommandBatch, DeadLetter, Journal, Snapshot, StoredEntry, entry_id, write_future
from liveroom.journal.commands_log import WAITING_BYTES_MAX, full, full_of_bytes, part_of
from liveroom.journal.kafka.client import KafkaCluster
from liveroom.journal.kafka.entries import skip_offsets, stored_entries
from liveroom.journal.kafka.group import assignments
from liveroom.journal.kafka.known import CUT_S, KnownEnds, Seen, lost_spans
from liveroom.journal.kafka.reader import KafkaReader
from liveroom.journal.kafka.records import after, unreadable
from liveroom.journal.kafka.snapshots import KafkaSnapshots
from liveroom.journal.kafka.topics import Topics, prepare
from liveroom.journal.kafka.watch import Watch
from liveroom.journal.kafka.writer import KafkaWriter
from liveroom.journal.partition import partition_of
from liveroom.messages.errors import BadMessage, JournalDamaged, JournalUnavailable
from liveroom.protocol.codec import decode_requests, encode
from liveroom.protocol.records import Entry, Request, Takeover
from liveroom.telemetry.metrics import Metrics

__all__ = ["KafkaJournal"]

logger = logging.getLogger(__name__)

#: The header of a command with the events that its sender has seen.
_SEEN = "seen"


class KafkaJournal(Journal):
    """The journal in Kafka, made by `open`. Any number of processes may use the same topics."""

    shared = True

    def __init__(self, config: Config, cluster: KafkaCluster, topics: Topics, metrics: Metrics) -> None:
        self.partitions = config.journal.partitions
        self._cluster = cluster
        self._topics = topics
        self.feed_topic = topics.feed
        self._metrics = metrics
        self._prefix = config.kafka.topic_prefix
        self._skipped = skip_offsets(config.kafka)
        self._reader = KafkaReader(cluster, metrics)
        self._writer = KafkaWriter(cluster, config.kafka.write_wait_ms, metrics)
        # A client has one request per broker in flight.
        # Background reads and writes have clients of their own, so that no viewer waits for them.
        self.background_reader = KafkaReader(cluster, metrics, background=True)
        self.background_writer = KafkaWriter(cluster, config.kafka.write_wait_ms, metrics)
        self._ends = KnownEnds(topics.events, lost_spans(config.kafka.events_lost), self._found_damage)
        self._objections: set[Future[int]] = set()
        self._snapshots = KafkaSnapshots(self._reader, self.background_writer, topics, config.journal.snapshots_kept, self._skipped, self._ends)
        self._sent = [_Sent(config.journal.commands_waiting_max) for _ in range(self.partitions)]
        self._watch = Watch(
            self._reader,
            topics,
            metrics,
            answered=lambda partition: self._sent[partition].answered_to,
            waiting=lambda: sum(sent.waiting for sent in self._sent),
            known_end=self._ends.end,
            reaches=self._reaches,
            failing=lambda: self._reader.failing() | self.background_reader.failing(),
        )
        self._watching = asyncio.create_task(self._watch.run(), name="kafka-watch")
        self._watchers: dict[int, asyncio.Task[None]] = {}
        self._closed = False

    @classmethod
    async def open(cls, config: Config, metrics: Metrics, name: str) -> KafkaJournal:
        """Connect, and make or check the topics. Raises: `JournalUnavailable`, `JournalMismatch`, `BadConfig`."""
        cluster = KafkaCluster(config.kafka, name)
        topics = Topics.of(config.kafka.topic_prefix)
        await prepare(cluster, topics, config.journal, config.kafka)
        return cls(config, cluster, topics, metrics)

    @property
    def unreachable(self) -> frozenset[int]:
        return self._watch.unreachable | self._ends.damaged.keys()  # the gateway reports an interruption for both

    @property
    def damaged(self) -> Mapping[int, str]:
        return self._ends.damaged

    def incarnation(self, partition: int) -> str:
        return self._ends.incarnation(partition)

    async def send_commands(self, partition: int, requests: Sequence[Request]) -> None:
        self._must_be_open()
        if not requests:
            return
        self._ends.check(partition)
        sent = self._sent[partition]
        if sent.waiting >= part_of(sent.waiting_max, requests):
            self._look_for_answers(partition)
            raise full(sent.waiting, sent.waiting_max)
        key = requests[0].room.encode()
        value = encode(requests[0] if len(requests) == 1 else requests)
        if sent.writing_bytes + len(value) > part_of(WAITING_BYTES_MAX, requests):
            raise full_of_bytes(sent.writing_bytes)
        sent.waiting += len(requests)
        sent.writing_bytes += len(value)
        try:
            offset = await self._writer.append(self._topics.commands, partition, value, key=key, headers=self._seen(partition))
        except BaseException:
            sent.waiting -= len(requests)
            raise
        finally:
            sent.writing_bytes -= len(value)
        sent.add(offset, len(requests))

    async def read_commands(self, partition: int, offset: int) -> AsyncGenerator[CommandBatch]:
        self._must_be_open()
        first, end = await self._reader.bounds(self._topics.commands, partition)
        if offset > end:
            raise JournalDamaged(f"{self._topics.commands}[{partition}] ends at {end}, but commands below {offset} were answered: the topic was cut")
        if offset < first:
            logger.error("commands were deleted before they were answered", extra={"partition": partition, "from": offset, "to": first})
        with self._watch.commands(partition):
            expected = max(offset, first)
            async with aclosing(self._reader.read(self._topics.commands, partition, expected, own=False)) as runs:
                async for records in runs:
                    for record in records:
                        if after(record) != expected + 1:
                            await self._must_hold(partition, after(record) - 1)
                        expected = after(record)
                        self._hear(partition, record)
                        if record.value is not None or not _header(record, _SEEN):  # a record with only the header is not a command
                            yield self._batch(partition, record)

    async def _must_hold(self, partition: int, offset: int) -> None:
        """Check that the commands reach up to `offset` after a jump.

        Everything below it is answered.
        Raises `JournalDamaged` when they end earlier for `CUT_S`.
        """
        clock = asyncio.get_running_loop().time
        began_s = clock()
        while offset >= (end := await self._reader.end(self._topics.commands, partition)):
            if clock() - began_s > CUT_S:  # a new leader learns its end a little later
                raise JournalDamaged(f"{self._topics.commands}[{partition}] ends at {end}, but a record in it says that it is of offset {offset}")
            await asyncio.sleep(CUT_S / 10)

    def append(self, partition: int, entry: Entry) -> Future[int]:
        try:
            self._ends.check(partition)
        except JournalDamaged as error:
            refused = write_future()
            refused.set_exception(error)
            return refused
        future = self._writer.append(self._topics.events, partition, encode(entry))
        future.add_done_callback(partial(self._appended, partition, entry_id(entry)))
        return future

    def _appended(self, partition: int, id_: str, written: Future[int]) -> None:
        """Note an acknowledged entry. If another entry was there before, the log has lost its end."""
        if not written.cancelled() and written.exception() is None:
            with contextlib.suppress(JournalDamaged):  # the next read or write raises it
                self._ends.note(partition, written.result(), id_)

    def read_events(self, partition: int, offset: int) -> AsyncGenerator[StoredEntry]:
        return self._read_events(self._reader, partition, offset)

    def read_events_in_background(self, partition: int, offset: int) -> AsyncGenerator[StoredEntry]:
        return self._read_events(self.background_reader, partition, offset)

    async def _read_events(self, reader: KafkaReader, partition: int, offset: int) -> AsyncGenerator[StoredEntry]:
        self._must_be_open()
        if offset < (start := await reader.start(self._topics.events, partition)):
            raise JournalDamaged(
                f"{self._topics.events}[{partition}] begins at {start}: its entries from {offset} on were deleted, and no snapshot has them"
            )
        await self.events_end(partition)  # checks that the log still holds all known entries
        with self._watch.events(partition, offset) as position:
            async with aclosing(reader.read(self._topics.events, partition, offset)) as runs:
                async for records in runs:
                    for record in records:
                        for stored in stored_entries(record, offset, self._skipped):
                            if not isinstance(stored.entry, Takeover):
                                self._sent[partition].answered(stored.entry.to)
                            self._ends.note(partition, stored.offset, entry_id(stored.entry))
                            yield stored
                            offset += 1
                            position.offset = offset

    async def events_end(self, partition: int) -> int:
        self._must_be_open()
        while True:
            known_end = self._ends.end(partition)
            end = await self._reader.end(self._topics.events, partition)
            if self._reaches(partition, end, known_end):
                return end
            await asyncio.sleep(CUT_S / 10)

    def must_reach(self, partition: int, offset: int) -> None:
        """Note that a reader has seen the events below `offset`. Raises `JournalDamaged` now, or later when they are missing."""
        self._ends.must_reach(partition, Seen(offset, ""))

    def is_lost(self, partition: int, offset: int) -> bool:
        """Whether the settings give up the events up to `offset` (`kafka.events_lost`)."""
        return self._ends.is_lost(partition, offset)

    async def _put_parts(self, partition: int, parts: Sequence[tuple[str, bytes]]) -> list[int]:
        self._must_be_open()
        return await self._snapshots.put(partition, parts)

    async def _get_parts(self, partition: int, places: Sequence[int]) -> list[bytes | None]:
        self._must_be_open()
        return await self._snapshots.get(partition, places)

    async def save_snapshot(self, partition: int, snapshot: Snapshot) -> None:
        self._must_be_open()
        await self._snapshots.save(partition, snapshot)

    async def load_snapshots(self, partition: int) -> list[Snapshot]:
        self._must_be_open()
        return await self._snapshots.load(partition)

    async def write_dead_letter(self, letter: DeadLetter) -> None:
        self._must_be_open()
        await self.background_writer.append(self._topics.dead_letters, letter.partition, encode(letter))

    async def assignments(self) -> AsyncGenerator[frozenset[int]]:
        self._must_be_open()
        async with aclosing(assignments(self._cluster, f"{self._prefix}.engines", self._topics.commands, self._metrics)) as changes:
            async for owned in changes:
                yield self._known(self._topics.commands, owned)

    async def publishing_assignments(self) -> AsyncGenerator[frozenset[int]]:
        """The partitions whose events this process should publish in the feed, like `assignments`."""
        self._must_be_open()
        async with aclosing(assignments(self._cluster, f"{self._prefix}.publishers", self._topics.events, self._metrics)) as changes:
            async for owned in changes:
                yield self._known(self._topics.events, owned)

    async def events_start(self, partition: int) -> int:
        """The first stored offset of `events[p]`."""
        return await self._reader.start(self._topics.events, partition)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        tasks = [*self._watchers.values(), self._watching]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(self._writer.close(), self.background_writer.close())
        await asyncio.gather(self._reader.close(), self.background_reader.close())
        await self._cluster.close()

    def _reaches(self, partition: int, end: int, known_end: int) -> bool:
        return self._ends.reaches(partition, end, known_end, asyncio.get_running_loop().time())

    def _seen(self, partition: int) -> tuple[tuple[str, bytes], ...]:
        seen = self._ends.seen(partition)
        return ((_SEEN, seen.to_bytes()),) if seen is not None else ()

    def _hear(self, partition: int, record: ConsumerRecord[bytes, bytes]) -> None:
        """Note the events that the sender of a command had seen. Raises `JournalDamaged`."""
        if (text := _header(record, _SEEN)) and (seen := Seen.of_bytes(text)) is not None:
            self._ends.must_reach(partition, seen)

    def _found_damage(self, partition: int, words: str) -> None:
        """Stop all readers of the partition in this process, and tell the engine, which may have begun later."""
        logger.critical("a partition is damaged", extra={"partition": partition, "reason": words, "runbook": STOPPED_RUNBOOK})
        damaged = JournalDamaged(words)
        for reader in (self._reader, self.background_reader):
            reader.fail(self._topics.events, partition, damaged)
            reader.fail(self._topics.commands, partition, damaged)
        if seen := self._seen(partition):
            objection = self.background_writer.append(self._topics.commands, partition, None, key=_SEEN.encode(), headers=seen)
            self._objections.add(objection)
            objection.add_done_callback(self._objections.discard)

    def _known(self, topic: str, assigned: frozenset[int]) -> frozenset[int]:
        """The assigned partitions without those added to the topic later: no room belongs to them."""
        if added := [partition for partition in sorted(assigned) if partition >= self.partitions]:
            logger.error(
                "partitions were added to a topic: nothing in them is read, and other programs' commands may go to a wrong one",
                extra={"topic": topic, "added": added, "partitions": self.partitions},
            )
        return assigned.difference(added)

    def _batch(self, partition: int, record: ConsumerRecord[bytes, bytes]) -> CommandBatch:
        if (bad := unreadable(record)) is not None:
            return CommandBatch(bad.last, (), f"malformed: {bad.reason}")
        value = record.value or b""
        try:
            requests = decode_requests(value)
            for request in requests:
                if (right := partition_of(request.room, self.partitions)) != partition:
                    raise BadMessage("bad_value", _misplaced(request.room, record.key, right), "room")
        except BadMessage as error:
            payload = value[:PAYLOAD_CHARS_MAX].decode("utf-8", "backslashreplace")
            return CommandBatch(record.offset, (), f"{error.code}: {error.detail}", payload)
        return CommandBatch(record.offset, requests)

    def _look_for_answers(self, partition: int) -> None:
        """Track which commands are answered, when no other reader in this process follows the partition's events."""
        if partition not in self._watchers:
            task = self._watchers[partition] = asyncio.create_task(self._read_answers(partition), name=f"kafka-answers-{partition}")
            task.add_done_callback(lambda _: self._watchers.pop(partition, None))

    async def _read_answers(self, partition: int) -> None:
        sent = self._sent[partition]
        try:
            end = await self.events_end(partition)
            async with aclosing(self.read_events(partition, max(0, end - 1))) as entries:
                async for _ in entries:
                    if sent.waiting < part_of(sent.waiting_max):
                        return
        except (JournalUnavailable, JournalDamaged) as error:
            logger.warning("a partition's answers cannot be read", extra={"partition": partition, "error": str(error)})

    def _must_be_open(self) -> None:
        if self._closed:
            raise JournalUnavailable("the journal is closed")


def _misplaced(room: str, key: bytes | None, right: int) -> str:
    """The remedy for a record in another partition than its room's."""
    remedy = "key the record by the room's id"
    if key == room.encode():
        remedy = "its producer spreads keys otherwise than Kafka's default partitioner does; librdkafka's clients need partitioner=murmur2_random"
    return f"room {room!r} belongs to partition {right}: {remedy}"


def _header(record: ConsumerRecord[bytes, bytes], name: str) -> bytes:
    return next((value for key, value in record.headers if key == name), b"")


class _Sent:
    """This process's unanswered commands of one partition, as far as it has read the events."""

    def __init__(self, waiting_max: int) -> None:
        self.waiting_max = waiting_max
        self.waiting = 0
        self.writing_bytes = 0  # bytes of the batches that brokers have not acknowledged; only these are in memory
        self._batches: deque[tuple[int, int]] = deque()  # offset, commands
        self.answered_to = 0  # may be too high, through records of an engine that lost the partition; the limit needs no exact count

    def add(self, offset: int, count: int) -> None:
        """Add a sent and acknowledged batch."""
        self._batches.append((offset, count))
        self._forget()

    def answered(self, to: int) -> None:
        """Drop the batches below `to`, which a record answers."""
        if to > self.answered_to:
            self.answered_to = to
            self._forget()

    def _forget(self) -> None:
        while self._batches and self._batches[0][0] < self.answered_to:
            self.waiting -= self._batches.popleft()[1]
