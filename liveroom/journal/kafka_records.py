"""Reads on where the client library cannot decode what a broker holds.

Brokers take record headers whose names are not UTF-8, and a disk may damage a batch. The library raises then, from a read of many
partitions, and names no place. This client reads the same place once more by hand. A header's name is decoded with replacement
characters: nothing else in its record is wrong. What cannot be decoded at all becomes one record whose value is `Unreadable`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from struct import unpack_from
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException, KafkaError, UnsupportedCodecError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.util import decode_varint

__all__ = ["CarefulConsumer", "CarefulRecords", "Unreadable", "after", "unreadable"]

logger = logging.getLogger(__name__)

#: The only format that brokers write since Kafka 0.11; it stands behind a batch's offset (8 bytes), length (4) and epoch (4).
FORMAT: Final = 2
_FORMAT_AT: Final = 16
_LENGTH_AT: Final = 8
_BEFORE_BATCH: Final = 12


class Unreadable(bytes):
    """The value of a record that stands for all that cannot be read from its offset up to `last`; empty, as decoders expect bytes."""

    reason: str
    last: int

    @classmethod
    def of(cls, offset: int, last: int, reason: str) -> Unreadable:
        """For what stands from `offset` to `last`; the reason is in words."""
        made = cls()
        made.reason = f"{reason}, so nothing from {offset} to {last} can be read" if last > offset else reason
        made.last = last
        return made


def unreadable(record: ConsumerRecord[bytes, bytes]) -> Unreadable | None:
    """Why a record cannot be read, if it cannot."""
    return record.value if isinstance(record.value, Unreadable) else None


def after(record: ConsumerRecord[bytes, bytes]) -> int:
    """Where to read on behind a record."""
    return int(record.offset if (bad := unreadable(record)) is None else bad.last) + 1


class _Record(NamedTuple):
    """What the library expects of a decoded record."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    checksum: int | None = None


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """One batch whose checksum is right, read from the offset `start` on."""

    _pos: int

    def __init__(self, data: bytes, start: int) -> None:
        super().__init__(data)
        self._start = start
        self._read_to = self.base_offset

    @property
    def next_offset(self) -> int:
        return max(int(super().next_offset), self._start + 1)  # every read goes on

    @property
    def is_control_batch(self) -> bool:
        """Compaction may leave the shell of one: the library fails when it looks for its record."""
        return bool(super().is_control_batch) and self._num_records > 0

    def __iter__(self) -> Iterator[_Record]:
        try:
            self._maybe_uncompress()
            while (record := next(self, None)) is not None:
                self._read_to = record.offset + 1
                yield record
        except Exception as error:
            unread = max(self._read_to, self._start)
            if unread < self.next_offset:  # else only what stands behind the last record is wrong
                yield _marker(unread, self.next_offset - 1, f"the batch cannot be decoded: {str(error) or type(error).__name__}")

    def _read_msg(self, decode_varint: Callable[[bytearray, int], tuple[int, int]] = decode_varint) -> _Record:
        """As the library does it, but for the names of headers."""
        buffer, at = self._buffer, self._pos

        def number() -> int:
            nonlocal at
            found, at = decode_varint(buffer, at)
            return found

        def some(length: int) -> bytes:
            nonlocal at
            at += length
            return bytes(buffer[at - length : at])

        size = number()
        end = at + size
        number()  # attributes, unused
        delta_ms = number()
        timestamp = self.max_timestamp if self.timestamp_type == self.LOG_APPEND_TIME else self.first_timestamp + delta_ms
        offset = self.base_offset + number()
        key = None if (length := number()) < 0 else some(length)
        value = None if (length := number()) < 0 else some(length)
        headers: list[tuple[str, bytes | None]] = []
        for _ in range(number()):
            name = some(max(0, number())).decode("utf-8", "replace")
            headers.append((name, None if (length := number()) < 0 else some(length)))
        if at != end:
            raise CorruptRecordException(f"record {offset} is not as long as it says")
        self._pos = at
        return _Record(offset, timestamp, self.timestamp_type, key, value, headers)


class _DamagedBatch:
    """One batch of which no word is believed: its header may be what is damaged. A read goes on by one offset, or with the next batch."""

    producer_id = None
    is_control_batch = False
    is_transactional = False

    def __init__(self, start: int, last: int, reason: str) -> None:
        self.base_offset = start
        self.next_offset = last + 1
        self._reason = reason

    def validate_crc(self) -> bool:
        return True  # that it is wrong is known

    def __iter__(self) -> Iterator[_Record]:
        yield _marker(self.base_offset, self.next_offset - 1, self._reason)


def _marker(offset: int, last: int, reason: str) -> _Record:
    return _Record(offset, int(time.time() * 1000), 0, None, Unreadable.of(offset, last, reason), [])


class CarefulRecords:
    """The batches that a fetch from `start` on brought, as the library's `PartitionRecords` takes them."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data = data
        self._start = start
        self._at = 0

    def has_next(self) -> bool:
        """Whether another batch is there as a whole, or what is there cannot be one."""
        return (length := self._length(self._at)) is not None and (length < 0 or self._at + length <= len(self._data))

    def next_batch(self) -> _Batch | _DamagedBatch:
        """The next batch."""
        length = self._length(self._at) or 0
        if length < 0:
            self._at = len(self._data)
            return self._damaged(self._start, "a batch's length is wrong")
        data = self._data[self._at : self._at + length]
        self._at += length
        base = int(unpack_from(">q", data)[0])
        start = self._start = max(self._start, base)
        if data[_FORMAT_AT] != FORMAT:
            return self._damaged(start, f"the batch is of format {data[_FORMAT_AT]}, not {FORMAT}")
        batch = _Batch(data, start)
        if not batch.validate_crc():
            return self._damaged(start, "the batch's checksum is wrong")
        self._start = batch.next_offset
        return batch

    def _damaged(self, start: int, reason: str) -> _DamagedBatch:
        """Its end is where the next batch begins, if that was fetched along."""
        following = int(unpack_from(">q", self._data, self._at)[0]) if (self._length(self._at) or -1) > 0 else 0
        self._start = max(start + 1, following)
        return _DamagedBatch(start, self._start - 1, reason)

    def _length(self, at: int) -> int | None:
        """Bytes of the batch at a place; negative when it cannot be so, None when too little is there to tell."""
        if len(self._data) - at < _BEFORE_BATCH:
            return None
        length = int(unpack_from(">i", self._data, at + _LENGTH_AT)[0]) + _BEFORE_BATCH
        return length if length >= _DefaultRecordBatchPy.HEADER_STRUCT.size else -1


class CarefulConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """A client without a group whose reads fail for brokers alone, never for what stands in a partition."""

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]:
        """As the library's; what it fails to decode is read by hand, with up to `max_records` of each partition. Raises its errors about brokers."""
        before = {source: await self.position(source) for source in partitions or self.assignment()}
        found: dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]] = {}
        try:
            found = await super().getmany(*partitions, timeout_ms=timeout_ms, max_records=max_records)
        except Exception as error:
            if _is_about_brokers(error):
                raise
            logger.debug("the client library cannot decode a batch, which is read by hand", extra={"error": repr(error)})
            for source, offset in before.items():  # what the failed call had taken of others is lost unless it is read again
                self.seek(source, offset)
            results = await self._fetch(before)
            if not results:
                raise CorruptRecordException(f"a batch that cannot be decoded cannot be read by hand now: {error!r}") from error
            for source, result in results.items():
                # Nothing is waited for in between: a fetch that is under way has the offset before, and the library drops it.
                self._fetcher._records[source] = result
                found |= await super().getmany(source, max_records=max_records)
        return found

    async def _fetch(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, FetchResult]:
        """What brokers hold from these offsets on, decoded with care; without the partitions for which they answer with an error."""
        by_leader: dict[int, dict[str, list[tuple[int, int, int]]]] = {}
        for source, offset in offsets.items():
            leader = self._client.cluster.leader_for_partition(source)
            if leader is not None and leader != -1:
                wanted = (source.partition, offset, self._max_partition_fetch_bytes)
                by_leader.setdefault(leader, {}).setdefault(source.topic, []).append(wanted)
        found: dict[TopicPartition, FetchResult] = {}
        for leader, topics in by_leader.items():
            answer = await self._client.send(leader, FetchRequest(0, 1, self._fetch_max_bytes, READ_COMMITTED, list(topics.items())))
            for topic, answers in answer.topics:
                for partition, error, _, *rest in answers:
                    source = TopicPartition(topic, partition)
                    records = CarefulRecords(bytes(rest[-1] or b""), offsets[source])
                    if not error and records.has_next():
                        # Before the records: since version 11 also the replica to read from, which is asked for with a rack alone.
                        aborted = rest[2] if answer.API_VERSION >= 11 else rest[-2]
                        found[source] = self._result(source, records, aborted, offsets[source])
        return found

    def _result(self, source: TopicPartition, records: CarefulRecords, aborted: Any, offset: int) -> FetchResult:
        read = PartitionRecords(source, records, aborted, offset, None, None, True, READ_COMMITTED)
        return FetchResult(source, assignment=self._subscription.subscription.assignment, partition_records=read, backoff=0)


def _is_about_brokers(error: Exception) -> bool:
    """Whether it says something of brokers or of this client; anything else was raised while a batch was decoded."""
    if isinstance(error, ConsumerStoppedError):
        return True
    # For a control batch that holds nothing the library raises the base class.
    return isinstance(error, KafkaError) and type(error) is not KafkaError and not isinstance(error, CorruptRecordException | UnsupportedCodecError)
