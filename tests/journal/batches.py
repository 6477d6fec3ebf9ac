"""Batches of records as producers make them, odd, damaged, and with bits flipped."""

from __future__ import annotations

import struct

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBase, _DefaultRecordBatchBuilderPy
from aiokafka.record.util import calc_crc32c

from liveroom.journal.kafka.records import CarefulRecords

Headers = list[tuple[str, bytes | None]]


class OddName(str):
    """A header's name that is no UTF-8. Brokers take it, and clients in other languages write it."""

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe"


ODD: Headers = [(OddName("odd"), b"value")]


def batch(*values: bytes | None, headers: Headers | None = None, codec: int = 0, base: int = 0) -> bytes:
    """A batch as producers make it; each record has the headers."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, -1, 100_000_000)
    for at, value in enumerate(values):
        builder.append(at, 1_000, b"key", value, headers or [])
    return sealed(struct.pack(">q", base) + bytes(builder.build())[8:])


def sealed(data: bytes) -> bytes:
    """With the right checksum."""
    at = DefaultRecordBase.CRC_OFFSET
    crc = calc_crc32c(data[DefaultRecordBase.ATTRIBUTES_OFFSET :])
    return data[:at] + struct.pack(">I", crc) + data[at + 4 :]


def damaged(data: bytes) -> bytes:
    """With a wrong checksum."""
    return data[:-1] + bytes([data[-1] ^ 1])


def with_codec(data: bytes, codec: int) -> bytes:
    """Said to be compressed in another way than it is, with the right checksum."""
    at = DefaultRecordBase.ATTRIBUTES_OFFSET
    return sealed(data[:at] + struct.pack(">h", codec) + data[at + 2 :])


def flipped(data: bytes, bit: int) -> bytes:
    """With one other bit, counted from the last one of the first byte."""
    at = bit // 8
    return data[:at] + bytes([data[at] ^ 1 << bit % 8]) + data[at + 1 :]


def read(data: bytes, start: int = 0, end: int = 1_000, *, gapless: bool = True) -> list[ConsumerRecord[bytes, bytes]]:
    records = CarefulRecords(data, start, end, gapless=gapless)
    return list(PartitionRecords(TopicPartition("t", 0), records, [], start, None, None, True, READ_COMMITTED))
