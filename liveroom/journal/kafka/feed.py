"""The public feed: every room's events, one per record, for analysis and search.

A record is keyed by its room and holds the event with its seq.
Personal and internal events appear without their content, so that a room's seqs have no gap.
Records are written only from accepted entries, in order.
After a crash, or while two processes briefly publish the same partition, some records are written twice.
The first record of each seq still comes in order.
A reader that drops known seqs gets every event exactly once.

Each record carries the position in the journal that its writer had reached.
The last record says where to continue.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections import deque
from contextlib import aclosing

import msgspec
from aiokafka import ConsumerRecord
from msgspec import Struct

from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.kafka.journal import KafkaJournal
from liveroom.messages.errors import JournalDamaged, JournalError
from liveroom.messages.fields import Delivery
from liveroom.protocol.codec import encode, event_object
from liveroom.protocol.events import Event
from liveroom.protocol.records import Record
from liveroom.telemetry.metrics import Metrics

__all__ = ["Publisher", "feed_event"]

logger = logging.getLogger(__name__)

#: Limit of one partition's events that are on their way to the feed.
EVENTS_IN_FLIGHT_MAX = 5_000
#: Pause before the publishing of a partition starts again after a failure.
AGAIN_S = 0.5

_POSITION = "position"
_WITHHELD = (Delivery.personal, Delivery.internal)


class _Position(Struct, frozen=True):
    """The position to continue from: every entry below `offset` is published."""

    offset: int
    acceptance: Acceptance


_position = msgspec.json.Decoder(_Position)


class Publisher:
    """Publishes the partitions that its group assigns to it, until it is stopped."""

    def __init__(self, journal: KafkaJournal, metrics: Metrics) -> None:
        self._journal = journal
        self._reader = journal.background_reader
        self._writer = journal.background_writer
        self._topic = journal.feed_topic
        self._metrics = metrics
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start publishing."""
        self._following = asyncio.create_task(self._follow_assignments(), name="publisher")

    async def stop(self) -> None:
        """Stop. The next publisher writes unacknowledged records again."""
        tasks = [*self._tasks.values(), *([self._following] if self._following else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow_assignments(self) -> None:
        async with aclosing(self._journal.publishing_assignments()) as changes:
            async for assigned in changes:
                for partition in self._tasks.keys() - assigned:
                    task = self._tasks.pop(partition)
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                for partition in assigned - self._tasks.keys():
                    self._tasks[partition] = asyncio.create_task(self._keep_publishing(partition), name=f"publisher-{partition}")

    async def _keep_publishing(self, partition: int) -> None:
        while True:
            try:
                await self._publish(partition)
            except JournalDamaged as error:
                logger.critical(
                    "a partition is damaged; nothing of it is published until this process is started again",
                    extra={"partition": partition, "error": str(error)},
                )
                return
            except JournalError as error:
                logger.warning("publishing a partition failed and starts again", extra={"partition": partition, "error": str(error)})
            except Exception:
                logger.exception("publishing a partition failed and starts again", extra={"partition": partition})
            await asyncio.sleep(AGAIN_S)

    async def _publish(self, partition: int) -> None:
        position = await self._where_to_go_on(partition)
        acceptance = position.acceptance.copy()
        waiting: deque[Future[int]] = deque()
        async with aclosing(self._journal.read_events_in_background(partition, position.offset)) as entries:
            async for stored in entries:
                before = encode(_Position(stored.offset, acceptance))
                if acceptance.judge(stored.offset, stored.entry) is not Verdict.accepted:
                    continue
                assert isinstance(stored.entry, Record)
                while len(waiting) > EVENTS_IN_FLIGHT_MAX or (waiting and waiting[0].done()):
                    await waiting.popleft()
                if waiting and waiting[-1].done():
                    await waiting[-1]  # A failure hits the first or the last of the waiting writes, and nothing may be written after it.
                waiting += self._write(partition, stored.entry, before, encode(_Position(stored.offset + 1, acceptance)))

    def _write(self, partition: int, record: Record, before: bytes, after: bytes) -> list[Future[int]]:
        """Write a record's events. Only the last event marks the record as published."""
        lines = [
            (room.encode(), encode(feed_event(room, event, seq, record.time_ms)))
            for room, span in record.rooms.items()
            for seq, event in enumerate(span.events, span.from_)
        ]
        self._metrics.journal_feed_events.inc(len(lines))
        return [
            self._writer.append(self._topic, partition, line, key=room, headers=((_POSITION, after if at == len(lines) else before),))
            for at, (room, line) in enumerate(lines, 1)
        ]

    async def _where_to_go_on(self, partition: int) -> _Position:
        start, end = await self._reader.bounds(self._topic, partition)

        def look(record: ConsumerRecord[bytes, bytes]) -> _Position | None:
            found = _position_of(record)  # records of other programs have none
            return None if found is None or self._journal.is_lost(partition, found.offset) else found

        if (found := await self._reader.newest(self._topic, partition, start, end, look)) is not None:
            self._journal.must_reach(partition, found.offset)  # published entries did exist
            return found
        snapshots = await self._journal.load_snapshots(partition)
        if await self._journal.events_start(partition) == 0 or not snapshots:
            return _Position(0, Acceptance())
        return _Position(snapshots[-1].offset, snapshots[-1].acceptance)


def _position_of(record: ConsumerRecord[bytes, bytes]) -> _Position | None:
    try:
        return next((_position.decode(value or b"") for key, value in record.headers if key == _POSITION), None)  # Kafka allows null values
    except msgspec.DecodeError:
        logger.warning("a position in the feed cannot be read; only engines may write there", extra={"topic": record.topic, "offset": record.offset})
        return None


def feed_event(room: str, event: Event, seq: int, time_ms: int) -> dict[str, object]:
    """An event for the feed; of a personal or internal event only its type."""
    if event.delivery in _WITHHELD:
        return {"room": room, "seq": seq, "time_ms": time_ms, "type": event.__struct_config__.tag, "withheld": event.delivery.value}
    return {"room": room, "time_ms": time_ms, **event_object(event, seq)}
