"""Rooms land in the partition that Kafka's own producers choose."""

from __future__ import annotations

import pytest

from liveroom.journal.partition import murmur2, partition_of


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(data: bytes, expected: int) -> None:
    """The values that Apache Kafka's own tests expect (there as signed numbers)."""
    assert murmur2(data) == expected & 0xFFFFFFFF


def test_a_room_has_one_partition_and_rooms_spread() -> None:
    """Every partition gets its share of many rooms; the same room always goes to the same one."""
    counts = [0] * 8
    for n in range(8_000):
        counts[partition_of(f"room-{n}", 8)] += 1
    assert all(800 < count < 1_200 for count in counts)
    assert partition_of("lamp-sale", 8) == partition_of("lamp-sale", 8)
    assert partition_of("lamp-sale", 1) == 0


def test_the_sign_bit_is_dropped_not_negated() -> None:
    """Kafka takes the hash with its sign bit masked out, modulo the number of partitions."""
    assert partition_of("21", 10) == (-973932308 & 0x7FFFFFFF) % 10
