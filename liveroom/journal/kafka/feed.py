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

from liveroom.journal.acceptance import Acceptance
from liveroom.journal.follower import AcceptedRecord, Start
from liveroom.journal.kafka.journal import KafkaJournal
from liveroom.journal.partition_follower import PartitionFollower
from liveroom.messages.fields import Delivery
from liveroom.process.clock import SYSTEM_CLOCK
from liveroom.protocol.codec import encode, event_object
from liveroom.protocol.events import Event
from liveroom.telemetry.metrics import Metrics

__all__ = ["Publisher", "feed_event"]

logger = logging.getLogger(__name__)

#: Limit of one partition's events that are on their way to the feed.
EVENTS_IN_FLIGHT_MAX = 5_000

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
        self._metrics = metrics
        self._follower = PartitionFollower(journal, metrics, SYSTEM_CLOCK, self._consumer, reader="publisher", background=True)
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start publishing."""
        self._following = asyncio.create_task(self._follow_assignments(), name="publisher")

    async def stop(self) -> None:
        """Stop. The next publisher writes unacknowledged records again."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._follower.stop()

    async def _follow_assignments(self) -> None:
        async with aclosing(self._journal.publishing_assignments()) as changes:
            async for assigned in changes:
                wanted = frozenset(self._follower.wanted)
                for partition in wanted - assigned:
                    self._follower.release(partition)
                for partition in assigned - wanted:
                    self._follower.want(partition)

    def _consumer(self, partition: int) -> _FeedWriter:
        return _FeedWriter(self._journal, partition, self._metrics)


class _FeedWriter:
    """Writes the events of one partition's records to the feed."""

    def __init__(self, journal: KafkaJournal, partition: int, metrics: Metrics) -> None:
        self._journal = journal
        self._partition = partition
        self._metrics = metrics
        self._reader = journal.background_reader
        self._writer = journal.background_writer
        self._topic = journal.feed_topic
        self._start = Start()
        self._before = b""  # the position after the last published record
        self._in_flight: deque[Future[int]] = deque()

    async def start(self) -> Start:
        """Start after the last published record."""
        position = await self._last_position()
        self._before = encode(position)
        self._start = Start(position.offset, position.acceptance.copy())
        return self._start

    async def take(self, accepted: AcceptedRecord, *, live: bool) -> None:
        """Write a record's events. Only the last event marks the record as published."""
        in_flight = self._in_flight
        while len(in_flight) > EVENTS_IN_FLIGHT_MAX or (in_flight and in_flight[0].done()):
            await in_flight.popleft()
        if in_flight and in_flight[-1].done():
            await in_flight[-1]  # A failure hits the first or the last of the waiting writes, and nothing may be written after it.
        record = accepted.record
        after = encode(_Position(accepted.offset + 1, self._start.acceptance))
        lines = [
            (room.encode(), encode(feed_event(room, event, seq, record.time_ms)))
            for room, span in record.rooms.items()
            for seq, event in enumerate(span.events, span.from_)
        ]
        self._metrics.journal_feed_events.inc(len(lines))
        for at, (room, line) in enumerate(lines, 1):
            position = after if at == len(lines) else self._before
            in_flight.append(self._writer.append(self._topic, self._partition, line, key=room, headers=((_POSITION, position),)))
        self._before = after

    async def _last_position(self) -> _Position:
        partition = self._partition
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
