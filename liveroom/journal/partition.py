"""Which partition a room lives in: murmur2 of the room id, as Kafka's default partitioner does."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

__all__ = ["murmur2", "partition_of"]

#: Rooms whose partition is remembered: every join and every command asks for one, and the hash takes microseconds.
PARTITIONS_REMEMBERED: Final = 16_384

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995
_SEED = 0x9747B28C


@lru_cache(PARTITIONS_REMEMBERED)
def partition_of(room: str, partitions: int) -> int:
    """The partition of `room` among `partitions`; equal to Kafka's for a record keyed by the room id."""
    return (murmur2(room.encode()) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit murmur2 (org.apache.kafka.common.utils.Utils.murmur2), as an unsigned number."""
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if length & 3:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)
