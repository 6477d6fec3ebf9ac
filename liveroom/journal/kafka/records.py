"""A consumer that reads on where the client library cannot decode a broker's data.

Brokers accept record headers whose names are not UTF-8, and a disk may damage a batch.
The library then raises, from a read of many partitions, and names no place.
This client reads the same place again by hand.
It decodes a header's name with replacement characters, since the rest of the record is fine.
Data that cannot be decoded at all becomes one record whose value is `Unreadable`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from struct import unpack_from
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException, KafkaError, RecordTooLargeError, UnsupportedCodecError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.util import decode_varint

__all__ = ["CarefulConsumer", "CarefulRecords", "Unreadable", "after", "unreadable"]

logger = logging.getLogger(__name__)

#: The only format that brokers write since Kafka 0.11. Its byte follows a batch's offset (8 bytes), length (4) and leader epoch (4).
FORMAT: Final = 2
_FORMAT_AT: Final = 16
_LENGTH_AT: Final = 8
_BEFORE_BATCH: Final = 12


class Unreadable(bytes):
    """The value of a record that stands for all unreadable data from its offset up to `last`. It is empty, because decoders expect bytes."""

    reason: str
    last: int

    @classmethod
    def of(cls, offset: int, last: int, reason: str) -> Unreadable:
        """For the data from `offset` to `last`; the reason is a text."""
        made = cls()
        made.reason = f"{reason}, so nothing from {offset} to {last} can be read" if last > offset else reason
        made.last = last
        return made


def unreadable(record: ConsumerRecord[bytes, bytes]) -> Unreadable | None:
    """Why a record cannot be read, or `None`."""
    return record.value if isinstance(record.value, Unreadable) else None


def after(record: ConsumerRecord[bytes, bytes]) -> int:
    """The offset after a record."""
    return int(record.offset if (bad := unreadable(record)) is None else bad.last) + 1


class _Record(NamedTuple):
    """A decoded record with the fields that the library expects."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    checksum: int | None = None


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """One batch with a valid checksum, read from the offset `start` on."""

    _pos: int

    def __init__(self, data: bytes, start: int) -> None:
        super().__init__(data)
        self._start = start
        self._read_to = self.base_offset
        self.size = len(data)

    @property
    def next_offset(self) -> int:
        return max(self.behind, self._start + 1)  # every read makes progress

    @property
    def behind(self) -> int:
        """The offset after its last record, by its own header."""
        return int(super().next_offset)

    @property
    def is_control_batch(self) -> bool:
        """Whether it is a control batch with a record. Compaction may leave an empty one, in which the library fails."""
        return bool(super().is_control_batch) and self._num_records > 0

    def __iter__(self) -> Iterator[_Record]:
        try:
            self._maybe_uncompress()
            while (record := next(self, None)) is not None:
                self._read_to = record.offset + 1
                yield record
        except Exception as error:
            unread = max(self._read_to, self._start)
            if unread < self.next_offset:  # otherwise only the data after the last record is wrong
                yield _marker(unread, self.next_offset - 1, f"the batch cannot be decoded: {str(error) or type(error).__name__}")

    def _read_msg(self, decode_varint: Callable[[bytearray, int], tuple[int, int]] = decode_varint) -> _Record:
        """Like the library's method, but with tolerant names of headers."""
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
    """A batch that cannot be decoded: one unreadable record from `start` to `last`.

    Neither its header nor its length is trusted.
    `last` is `start`, or the offset before the next batch if that one's checksum is valid.
    """

    producer_id = None
    is_control_batch = False
    is_transactional = False

    def __init__(self, start: int, last: int, reason: str) -> None:
        self.base_offset = start
        self.next_offset = last + 1
        self._reason = reason

    def validate_crc(self) -> bool:
        return True  # it is known to be wrong

    def __iter__(self) -> Iterator[_Record]:
        yield _marker(self.base_offset, self.next_offset - 1, self._reason)


def _marker(offset: int, last: int, reason: str) -> _Record:
    return _Record(offset, int(time.time() * 1000), 0, None, Unreadable.of(offset, last, reason), [])


class CarefulRecords:
    """The batches of a fetch from `start` on, in the form of the library's `PartitionRecords`.

    `end` is the high watermark of the fetch; no record at or beyond it is trusted.
    A checksum covers neither a batch's base offset nor its length.
    So a length is trusted when the checksum holds, and a base offset when the offsets around it allow it.
    `gapless` says that each batch begins where the one before ends, as it does without compaction.
    """

    def __init__(self, data: bytes, start: int, end: int, *, gapless: bool) -> None:
        self._data = data
        self._start = start
        self._end = end
        self._gapless = gapless
        self._at = 0

    def has_next(self) -> bool:
        """Whether a whole batch follows, or data that cannot be one.

        A broker may cut any batch of a fetch but the first.
        """
        if self._start >= self._end or (length := self._length(self._at)) is None:
            return False
        return length < 0 or self._at == 0 or self._at + length <= len(self._data)

    def next_batch(self) -> _Batch | _DamagedBatch:
        """The next batch, or a stand-in for a damaged one."""
        at, length = self._at, self._length(self._at) or 0
        self._at = at + length
        if length < 0 or self._at > len(self._data):
            self._at = len(self._data)
            return self._damaged("a batch's length is wrong")
        if (found := self._data[at + _FORMAT_AT]) != FORMAT:
            return self._damaged(f"the batch is of format {found}, not {FORMAT}")
        if (batch := self._sound(at)) is None:
            return self._damaged("the batch's checksum is wrong")
        if self._is_misplaced(batch, is_first=at == 0):
            # Its checksum holds, so its number of offsets is known. A fetch may have begun in the middle of the first batch.
            return self._damaged("the batch's offset is wrong", batch.behind - batch.base_offset if self._gapless and at > 0 else None)
        self._start = batch.next_offset
        return batch

    def _is_misplaced(self, batch: _Batch, *, is_first: bool) -> bool:
        """Whether its offsets contradict those around it. If it and the next batch disagree, the one after both decides."""
        start, base = self._start, batch.base_offset
        if base < 0 or not start < batch.behind <= self._end or (base < start and not is_first):
            return True
        if base == start and not is_first:
            return False
        if (following := self._following()) is None:
            return self._gapless and base > start
        if self._fits(batch.behind, following.base_offset):
            return False
        third = self._sound(self._at + following.size)
        if third is None:
            return base != start or following.behind == self._end
        return self._fits(following.behind, third.base_offset)

    def _fits(self, behind: int, base: int) -> bool:
        """Whether a batch may begin at `base` when the one before ends at `behind`."""
        return base == behind if self._gapless else base >= behind

    def _damaged(self, reason: str, offsets: int | None = None) -> _DamagedBatch:
        """A stand-in for a damaged batch, with its known number of offsets, or up to the next sound batch.

        Without either, the read advances by one offset, and the rest of this fetch is not trusted.
        """
        start, following = self._start, self._following()
        if offsets is not None:
            behind = min(start + max(1, offsets), self._end)
        elif following is not None:
            behind = following.base_offset
        else:
            self._at = len(self._data)
            behind = start + 1
        self._start = behind
        return _DamagedBatch(start, behind - 1, reason)

    def _following(self) -> _Batch | None:
        """The next batch, if it is sound and fits after this one."""
        batch = self._sound(self._at)
        return batch if batch is not None and self._start < batch.base_offset < batch.behind <= self._end else None

    def _sound(self, at: int) -> _Batch | None:
        """The batch at a place, if its format and checksum are valid."""
        length = self._length(at) or -1
        if length < 0 or at + length > len(self._data) or self._data[at + _FORMAT_AT] != FORMAT:
            return None
        batch = _Batch(self._data[at : at + length], self._start)
        return batch if batch.validate_crc() else None

    def _length(self, at: int) -> int | None:
        """Bytes of the batch at a place; negative when impossible, `None` when too little data is there."""
        if len(self._data) - at < _BEFORE_BATCH:
            return None
        length = int(unpack_from(">i", self._data, at + _LENGTH_AT)[0]) + _BEFORE_BATCH
        return length if length >= _DefaultRecordBatchPy.HEADER_STRUCT.size else -1


class CarefulConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """A client without a group whose reads fail only because of brokers, never because of a partition's data."""

    #: True if each batch begins where the one before ends.
    #: Readers of topics without compaction set it.
    gapless = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._by_hand: dict[TopicPartition, FetchResult] = {}

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]:
        """Like the library's method, but data that it fails to decode is read by hand: up to `max_records` of each partition.

        Raises its errors about brokers.
        """
        before = {source: await self.position(source) for source in partitions or self.assignment()}
        self._by_hand = {source: result for source, result in self._by_hand.items() if self._fetcher._records.get(source) is result}
        found: dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]] = {}
        try:
            found = await super().getmany(*partitions, timeout_ms=timeout_ms, max_records=max_records)
            for source, start in before.items():
                self._must_be_there(source, start, await self.position(source), found.get(source, []), is_checked=source in self._by_hand)
        except Exception as error:
            if _is_about_brokers(error):
                raise
            logger.debug("the client library cannot decode a batch, which is read by hand", extra={"error": repr(error)})
            found = {}
            if isinstance(error, RecordTooLargeError):  # the library has skipped one offset
                before[error.args[1]] = error.args[2]
            for source, offset in before.items():  # records that the failed call took from other partitions would be lost without a second read
                self.seek(source, offset)
            results = await self._fetch(before)
            if not results:
                raise CorruptRecordException(f"a batch that cannot be decoded cannot be read by hand now: {error!r}") from error
            for source, result in results.items():
                # There is no await in between: a fetch in flight has the old offset, and the library drops it.
                self._fetcher._records[source] = self._by_hand[source] = result
                found |= await super().getmany(source, max_records=max_records)
        return found

    def _must_be_there(
        self, source: TopicPartition, start: int, position: int, records: list[ConsumerRecord[bytes, bytes]], *, is_checked: bool
    ) -> None:
        """Raises `CorruptRecordException` for impossible offsets: the library trusts base offsets, which no checksum covers.

        Records that were read by hand are already checked, so only their end counts here.
        """
        end = self.highwater(source)
        if end is None:  # there was no fetch
            return
        expected = start
        for record in records:
            if not is_checked and (record.offset < expected or (self.gapless and record.offset > expected)):
                raise CorruptRecordException(f"{source}: {record.offset} comes where {expected} should")
            expected = after(record)
        if max(expected, position) > end or (position < expected and not is_checked):
            raise CorruptRecordException(f"{source}: goes on at {position} behind {expected}, and ends at {end}")

    async def _fetch(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, FetchResult]:
        """Fetch from these offsets and decode with care. Leaves out partitions for which brokers answer with an error."""
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
                for partition, error, end, *rest in answers:
                    source = TopicPartition(topic, partition)
                    records = CarefulRecords(bytes(rest[-1] or b""), offsets[source], end, gapless=self.gapless)
                    if not error and records.has_next():
                        # Since version 11 the replica to read from comes before the records; it is only used with a rack.
                        aborted = rest[2] if answer.API_VERSION >= 11 else rest[-2]
                        self._subscription.subscription.assignment.state_value(source).highwater = end
                        found[source] = self._result(source, records, aborted, offsets[source])
        return found

    def _result(self, source: TopicPartition, records: CarefulRecords, aborted: Any, offset: int) -> FetchResult:
        read = PartitionRecords(source, records, aborted, offset, None, None, True, READ_COMMITTED)
        return FetchResult(source, assignment=self._subscription.subscription.assignment, partition_records=read, backoff=0)


#: The last one is the library's text for a batch whose length exceeds the fetch. Brokers send the first batch of a fetch whole.
_ABOUT_BATCHES: Final = (CorruptRecordException, UnsupportedCodecError, RecordTooLargeError)


def _is_about_brokers(error: Exception) -> bool:
    """Whether an error is about brokers or this client; all others were raised while a batch was decoded."""
    if isinstance(error, ConsumerStoppedError):
        return True
    # For an empty control batch the library raises the base class.
    return isinstance(error, KafkaError) and type(error) is not KafkaError and not isinstance(error, _ABOUT_BATCHES)
