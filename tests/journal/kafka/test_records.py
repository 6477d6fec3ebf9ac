"""A batch that the client library cannot decode affects its own records alone."""

from __future__ import annotations

import struct

import pytest

from liveroom.journal.kafka.records import Unreadable, after, unreadable
from tests.journal.batches import ODD, batch, damaged, flipped, read, sealed, with_codec


@pytest.mark.parametrize("codec", [0, 1, 3])
def test_a_header_with_an_odd_name_leaves_its_record_as_it_is(codec: int) -> None:
    """Its name alone is replaced; key, value, other headers, offsets and time are what was written."""
    records = read(batch(b"one", None, b"three", headers=[*ODD, ("seen", None), ("kind", b"k")], codec=codec, base=7), 8)
    assert [(one.offset, one.key, one.value, one.timestamp) for one in records] == [(8, b"key", None, 1_000), (9, b"key", b"three", 1_000)]
    assert records[0].headers == (("\ufffd\ufffd", b"value"), ("seen", None), ("kind", b"k"))


@pytest.mark.parametrize(
    ("bad", "reason", "last"),
    [
        (damaged(batch(b"a", b"b", base=1)), "the batch's checksum is wrong", 2),
        (with_codec(batch(b"a", b"b", base=1), 7), "the batch cannot be decoded", 2),
        (with_codec(batch(b"a", b"b", base=1), 1), "the batch cannot be decoded", 2),
        (sealed(batch(b"a", b"b", base=1)[:-3] + b"\xff" * 3), "the batch cannot be decoded", 2),
    ],
    ids=["checksum", "codec", "compression", "structure"],
)
def test_a_batch_that_cannot_be_decoded_is_one_unreadable_record(bad: bytes, reason: str, last: int) -> None:
    """It says why and how far it goes. The records before and after it are given, from whatever offset the read begins."""
    data = batch(b"first", base=0) + bad + batch(b"after", base=3)
    records = read(data)
    (found,) = [one for one in records if unreadable(one) is not None]
    assert isinstance(found.value, Unreadable)
    assert reason in found.value.reason
    assert (found.value.last, after(found)) == (last, last + 1)
    assert [one.value for one in records if one.offset in (0, 3)] == [b"first", b"after"]
    assert [(one.offset, unreadable(one) is None) for one in read(data[len(batch(b"first")) :], 2)] == [(2, False), (3, True)]


def test_records_before_the_fault_in_a_batch_are_given() -> None:
    """Only from where it begins a batch cannot be read."""
    records = read(sealed(batch(b"a", b"b", b"c")[:-1] + b"\xff"))
    assert [one.value for one in records[:2]] == [b"a", b"b"]
    assert [(one.offset, after(one)) for one in records if unreadable(one) is not None] == [(2, 3)]
    trailing = batch(b"a", headers=ODD) + b"\x00"
    trailing = sealed(trailing[:8] + struct.pack(">i", len(trailing) - 12) + trailing[12:])
    assert [one.value for one in read(trailing + batch(b"after", base=1))] == [b"a", b"after"]


def test_what_compaction_left_of_a_control_batch_is_passed_over() -> None:
    """It holds no record any more, where the library looks for one."""
    assert [one.value for one in read(with_codec(batch(), 0x30) + batch(b"after", base=1))] == [b"after"]


def test_a_damaged_batch_at_the_end_is_passed_by_one_offset() -> None:
    """Its header may be what is damaged: a read goes no farther than it knows. A length that cannot be is such damage, too."""
    assert [(one.offset, after(one)) for one in read(damaged(batch(b"a", b"b", base=5)), 5)] == [(5, 6)]
    for length in (-12, -100, 0, 20):
        records = read(struct.pack(">qi", 5, length) + batch(b"a")[12:], 5)
        assert [(one.offset, after(one)) for one in records] == [(5, 6)]
    assert read(batch(b"a") + batch(b"b", base=1)[:-1]) == read(batch(b"a"))  # the limit of a fetch cuts its last batch off


#: Bits of a batch's header that a read goes by: its base offset, its length, and how far behind its base its last offset is.
HEADER_BITS = [8 * at + bit for at in (*range(12), *range(23, 27)) for bit in range(8)]


@pytest.mark.parametrize("begin", [0, 1])
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("base", [100, 101, 4_095])
@pytest.mark.parametrize("sizes", [(3, 3, 3), (1, 1, 1), (40, 1, 2)])
def test_a_flipped_bit_in_a_batchs_header_hides_its_own_records_alone(begin: int, which: int, base: int, sizes: tuple[int, int, int]) -> None:
    """Whichever bit it is, each record is read once, at its own offset, or is said to be unreadable; nothing beyond the end is spoken of."""
    firsts = [base, base + sizes[0], base + sizes[0] + sizes[1]]
    end = base + sum(sizes)
    whole = [
        batch(*(f"{offset}: lamp for {10**18 + offset}".encode() for offset in range(first, first + count)), base=first)
        for first, count in zip(firsts, sizes, strict=True)
    ]
    for bit in HEADER_BITS:
        batches = [flipped(one, bit) if at == which else one for at, one in enumerate(whole)]
        position = base + begin
        while position < end:  # a broker knows by its index where batches are, and sends the one that holds the position first
            skipped = sum(first + count <= position for first, count in zip(firsts, sizes, strict=True))
            records = read(b"".join(batches[skipped:]), position, end)
            assert records, (bit, position)
            for one in records:
                assert one.offset == position, bit
                position = after(one)
                if unreadable(one) is None:
                    assert (one.value or b"").startswith(b"%d:" % one.offset), bit
                else:
                    assert firsts[which] <= one.offset < position <= firsts[which] + sizes[which], bit


@pytest.mark.parametrize("end", [109, 10**6])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_flipped_bit_takes_no_read_beyond_the_end_or_a_sound_batch(which: int, end: int) -> None:
    """Also where compaction leaves gaps, so that a wrong offset may look right."""
    whole = [batch(b"a", b"b", b"c", base=first) for first in (100, 103, 106)]
    for bit in HEADER_BITS:
        data = b"".join(flipped(one, bit) if at == which else one for at, one in enumerate(whole))
        position = 100
        for one in read(data, 100, end, gapless=False):
            assert position <= one.offset < after(one) <= end, bit
            position = after(one)
            assert unreadable(one) is None or position <= 100 + 3 * (which + 1), bit


def test_a_gap_is_believed_where_two_batches_agree() -> None:
    """A lost segment, or compaction, leaves one; a batch alone may have a wrong offset instead."""
    data = batch(b"a", base=5) + batch(b"b", base=6)
    assert [one.offset for one in read(data, 2)] == [5, 6]
    assert [(one.offset, after(one)) for one in read(batch(b"a", base=5), 2)] == [(2, 3)]
    assert [one.offset for one in read(batch(b"a", base=5), 2, gapless=False)] == [5]


def test_a_next_batch_is_believed_with_its_checksum_alone() -> None:
    """The next batch gives the end of a damaged one, if it is sound itself; else the read goes on by one offset."""
    first, second = damaged(batch(b"a", b"b", base=5)), batch(b"c", base=7)
    assert [(one.offset, after(one)) for one in read(first + second, 5)] == [(5, 7), (7, 8)]
    assert [(one.offset, after(one)) for one in read(first + damaged(second), 5)] == [(5, 6)]
    assert [(one.offset, after(one)) for one in read(first + second, 5, 7)] == [(5, 6)]  # it is beyond the end
    assert [(one.offset, after(one)) for one in read(batch(b"a", b"b", base=5) + second, 5, 7)] == [(5, 6), (6, 7)]
