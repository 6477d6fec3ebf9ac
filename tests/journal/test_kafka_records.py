"""What the client library cannot decode concerns its own records alone, on a real broker and batch by batch."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import NotLeaderForPartitionError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBase, _DefaultRecordBatchBuilderPy
from aiokafka.record.util import calc_crc32c
from msgspec.structs import replace

from liveroom.codec import encode
from liveroom.config import Config, JournalConfig
from liveroom.errors import JournalDamaged
from liveroom.journal import kafka, kafka_reader
from liveroom.journal.kafka import KafkaJournal
from liveroom.journal.kafka_client import Cluster
from liveroom.journal.kafka_reader import POLL_RECORDS
from liveroom.journal.kafka_records import CarefulConsumer, CarefulRecords, Unreadable, after, unreadable
from liveroom.journal.past import open_past
from liveroom.telemetry.metrics import Metrics
from tests.broker import kafka_config
from tests.journal.entries import append_all, claim, record, request, saved, stored, take
from tests.journal.test_kafka_feed import published

WAIT_S = 30

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
    """It says why and how far it goes; what stands before and after it is given, from whatever offset the read begins."""
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
    """What stands behind a damaged batch tells its end when it is sound itself; else a read goes on by one offset."""
    first, second = damaged(batch(b"a", b"b", base=5)), batch(b"c", base=7)
    assert [(one.offset, after(one)) for one in read(first + second, 5)] == [(5, 7), (7, 8)]
    assert [(one.offset, after(one)) for one in read(first + damaged(second), 5)] == [(5, 6)]
    assert [(one.offset, after(one)) for one in read(first + second, 5, 7)] == [(5, 6)]  # it is beyond the end
    assert [(one.offset, after(one)) for one in read(batch(b"a", b"b", base=5) + second, 5, 7)] == [(5, 6), (6, 7)]


@pytest.fixture
def config() -> Config:
    config = kafka_config(JournalConfig(partitions=2, snapshots_kept=2, kind="kafka"))
    return replace(config, kafka=replace(config.kafka, session_ms=1_000))


Open = Callable[..., Awaitable[KafkaJournal]]


@pytest.fixture
async def open_journal(config: Config) -> AsyncIterator[Open]:
    opened: list[KafkaJournal] = []

    async def open_one(with_config: Config = config) -> KafkaJournal:
        opened.append(await KafkaJournal.open(with_config, Metrics(), f"test-{len(opened)}"))
        return opened[-1]

    yield open_one
    for journal in opened:
        await journal.close()


async def write(config: Config, topic: str, *batches: bytes) -> None:
    """As a client of another language: whole batches into partition 0."""
    producer = AIOKafkaProducer(bootstrap_servers=list(config.kafka.bootstrap_servers))
    await producer.start()
    try:
        whole = f"{config.kafka.topic_prefix}.{topic}"
        await producer.partitions_for(whole)
        for data in batches:
            error = NotLeaderForPartitionError.errno
            while error == NotLeaderForPartitionError.errno:  # as right after the topic was made
                leader = producer.client.cluster.leader_for_partition(TopicPartition(whole, 0))
                answer = await producer.client.send(leader, ProduceRequest(None, -1, 10_000, [(whole, [(0, data)])]))
                error = answer.topics[0][1][0][1]
            assert error == 0, answer
    finally:
        await producer.stop()


def damage_fetched(monkeypatch: pytest.MonkeyPatch, topic: str, offset: int, spoil: Callable[[bytes], bytes] = damaged) -> None:
    """Every fetch from now on finds the batch of partition 0 that begins at `offset` spoiled, as on a disk that lies."""
    make = Cluster.reader

    def spoiled(data: bytes) -> bytes:
        at, out = 0, b""
        while at + 12 <= len(data):
            base, length = struct.unpack_from(">qi", data, at)
            one = data[at : at + 12 + length]
            out += spoil(one) if base == offset and len(one) == 12 + length else one
            at += 12 + length
        return out

    def reader(self: Cluster, *args: int) -> CarefulConsumer:
        consumer = make(self, *args)
        send = consumer._client.send

        async def sent(node: int, asked: Any, **options: Any) -> Any:
            answer = await send(node, asked, **options)
            if isinstance(asked, FetchRequest):
                answer.topics = [
                    (name, [(*part[:-1], spoiled(part[-1])) if name.endswith(topic) and part[0] == 0 else part for part in parts])
                    for name, parts in answer.topics
                ]
            return answer

        consumer._client.send = sent
        return consumer

    monkeypatch.setattr(Cluster, "reader", reader)


async def test_a_command_with_an_odd_header_is_read_and_holds_up_nobody(open_journal: Open, config: Config) -> None:
    """It is a command like any other; readers of both partitions go on over the same client, also those that come later."""
    journal = await open_journal()
    async with asyncio.timeout(WAIT_S), aclosing(journal.read_commands(0, 0)) as first, aclosing(journal.read_commands(1, 0)) as second:
        await journal.send_commands(1, [request("d1", "toy-sale")])
        assert (await anext(second)).requests[0].id == "d1"
        await journal.send_commands(0, [request("c1")])
        await write(config, "commands", batch(encode(request("c2")), b"rubbish", headers=ODD))
        await journal.send_commands(0, [request("c3")])
        await journal.send_commands(1, [request("d2", "toy-sale")])
        assert [[one.id for one in (await anext(first)).requests] for _ in range(4)] == [["c1"], ["c2"], [], ["c3"]]
        assert (await anext(second)).requests[0].id == "d2"
    async with asyncio.timeout(WAIT_S):
        assert [one.offset for one in await take(journal.read_commands(0, 0), 4)] == [0, 1, 2, 3]
    assert not journal.unreachable


async def test_many_odd_records_come_complete_and_in_order(open_journal: Open, config: Config) -> None:
    """More than one look at the client brings, mixed with others and with what was taken back: each once."""
    journal = await open_journal()
    ids = [f"c{number}" for number in range(3 * POLL_RECORDS)]
    half = len(ids) // 2
    await write(config, "commands", batch(*(encode(request(id_)) for id_ in ids[:half]), headers=ODD))
    producer = AIOKafkaProducer(bootstrap_servers=list(config.kafka.bootstrap_servers), transactional_id=config.kafka.topic_prefix)
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait(f"{config.kafka.topic_prefix}.commands", encode(request("taken-back")), partition=0)
    await producer.abort_transaction()
    await producer.stop()
    await write(config, "commands", batch(*(encode(request(id_)) for id_ in ids[half:])), batch(encode(request("last")), headers=ODD))
    async with asyncio.timeout(WAIT_S):
        batches = await take(journal.read_commands(0, 0), len(ids) + 1)
    assert [one.requests[0].id for one in batches] == [*ids, "last"]


async def test_commands_that_cannot_be_decoded_are_one_dead_letter(open_journal: Open, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands at the last of them and says which they are; the partition goes on, and so does the other one."""
    damage_fetched(monkeypatch, "commands", 1)
    journal = await open_journal()
    await write(config, "commands", batch(encode(request("c1"))), batch(encode(request("c2")), encode(request("c3"))), batch(encode(request("c4"))))
    await journal.send_commands(1, [request("d1", "toy-sale")])
    async with asyncio.timeout(WAIT_S), aclosing(journal.read_commands(0, 0)) as first, aclosing(journal.read_commands(1, 0)) as second:
        found = [await anext(first) for _ in range(3)]
        assert [[one.id for one in batch_.requests] for batch_ in found] == [["c1"], [], ["c4"]]
        assert (found[1].offset, found[1].poison) == (2, "malformed: the batch's checksum is wrong, so nothing from 1 to 2 can be read")
        assert (await anext(second)).requests[0].id == "d1"


#: Of a batch's base offset up by 2^40, by 16 and down by 1; of its length by 1, by 2^8 and by 2^20 bytes.
FLIPS = {"far": 8 * 2, "near": 8 * 7 + 4, "back": 8 * 7, "length": 8 * 11, "long": 8 * 10, "longest": 8 * 9 + 4}


@pytest.mark.parametrize("bit", FLIPS.values(), ids=FLIPS)
async def test_no_command_counts_as_answered_for_a_flipped_bit(open_journal: Open, config: Config, monkeypatch: pytest.MonkeyPatch, bit: int) -> None:
    """A batch whose offset or length is wrong is dead letters at its own offsets; commands before and behind it are read."""
    damage_fetched(monkeypatch, "commands", 1, lambda data: flipped(data, bit))
    journal = await open_journal()
    sent = [[f"c{offset}" for offset in range(first, stop)] for first, stop in ((0, 1), (1, 3), (3, 40))]
    await write(config, "commands", *(batch(*(encode(request(id_)) for id_ in ids)) for ids in sent))
    for ask in (0, 1):  # from before the batch, and from its beginning
        async with asyncio.timeout(WAIT_S), aclosing(journal.read_commands(0, ask)) as batches:
            found = [await anext(batches)]
            while found[-1].offset < 39:
                found.append(await anext(batches))
        by_one = bit >= 8 * 8  # with a wrong length nothing behind the batch is believed
        assert [one.offset for one in found if one.poison] == ([1, 2] if by_one else [2])
        assert [(one.offset, one.requests[0].id) for one in found if not one.poison] == [(n, f"c{n}") for n in range(ask, 40) if not 1 <= n <= 2]


@pytest.mark.parametrize(("first", "expected"), [(1, [(0, 1), (1, 3), (3, 4), (4, 5)]), (3, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)])])
async def test_a_flipped_bit_ends_no_look_at_a_stretch_of_a_log(
    open_journal: Open, config: Config, monkeypatch: pytest.MonkeyPatch, first: int, expected: list[tuple[int, int]]
) -> None:
    """As at a compacted topic, where offsets may be missing: an offset beyond the end hides its own batch, and what stands behind is read."""
    damage_fetched(monkeypatch, "commands", first, lambda data: flipped(data, FLIPS["far"]))
    journal = await open_journal()
    await write(config, "commands", batch(b"a"), batch(b"b", b"c"), batch(b"d", b"e"))
    found: list[ConsumerRecord[bytes, bytes]] = []
    async with asyncio.timeout(WAIT_S):
        async for records in journal._reader.read_until(f"{config.kafka.topic_prefix}.commands", 0, 0, 5):
            found += records
    assert [(one.offset, after(one)) for one in found] == expected
    assert {one.offset for one in found if unreadable(one) is not None} <= {first, first + 1}


async def test_a_length_beyond_a_fetch_hides_no_offset(open_journal: Open, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the library met it before anybody asked: it has passed by the first offset then."""
    damage_fetched(monkeypatch, "commands", 1, lambda data: flipped(data, FLIPS["longest"]))
    journal = await open_journal()
    await write(config, "commands", batch(b"a"), batch(b"b", b"c"))
    source = TopicPartition(f"{config.kafka.topic_prefix}.commands", 0)
    consumer = journal._cluster.reader()
    await journal._cluster.start(consumer)
    try:
        consumer.assign([source])
        consumer.seek(source, 0)
        async with asyncio.timeout(WAIT_S):
            found: list[ConsumerRecord[bytes, bytes]] = []
            while not found:
                found = (await consumer.getmany(timeout_ms=100)).get(source, [])
            while source not in consumer._fetcher._records:
                await asyncio.sleep(0.01)
            assert await consumer.position(source) == 2
            found += (await consumer.getmany())[source]
    finally:
        await consumer.stop()
    assert [(one.offset, after(one)) for one in found] == [(0, 1), (1, 2)]


async def test_a_command_beyond_the_end_is_damage(open_journal: Open, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine answers all below what it reads, so a journal never gives it an offset that brokers do not have."""
    monkeypatch.setattr(kafka, "CUT_S", 0.2)
    journal = await open_journal()
    await journal.send_commands(0, [request("c1")])

    async def far(*_: object, **__: object) -> AsyncIterator[list[ConsumerRecord[bytes, bytes]]]:
        yield read(batch(encode(request("c2")), base=7 * 10**18), 7 * 10**18, 8 * 10**18)

    monkeypatch.setattr(journal._reader, "read", far)
    async with asyncio.timeout(WAIT_S), aclosing(journal.read_commands(0, 0)) as batches:
        with pytest.raises(JournalDamaged, match=r"commands\[0\] ends at 1, but a record in it says that it is of offset 7000000000000000000"):
            await anext(batches)


@pytest.mark.parametrize("bit", FLIPS.values(), ids=FLIPS)
async def test_an_entry_with_a_flipped_bit_stops_its_partition(open_journal: Open, config: Config, monkeypatch: pytest.MonkeyPatch, bit: int) -> None:
    """With the entry's own offset, for readers that follow and for readers of the past."""
    journal = await open_journal()
    await append_all(journal, [claim()])
    await append_all(journal, [record(0, 0, 0, 0)])
    await append_all(journal, [record(0, 1, 0, 0)])
    damage_fetched(monkeypatch, "events", 1, lambda data: flipped(data, bit))
    again = await open_journal()
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(JournalDamaged, match=r"events\[0\]: entry 1 cannot be read: (the|a) batch's (offset|length|checksum) is wrong"):
            await take(again.read_events(0, 0), 3)

    def look() -> None:
        with open_past(config) as past, pytest.raises(JournalDamaged, match=r"events\[0\]: entry 1 cannot be read"):
            list(past.entries(0))

    async with asyncio.timeout(WAIT_S):
        await asyncio.to_thread(look)


async def test_an_entry_with_an_odd_header_counts(open_journal: Open, config: Config) -> None:
    """What it says is whole; every reader has it, the running ones, later ones and those of the past."""
    journal = await open_journal()
    await append_all(journal, [claim()])
    async with asyncio.timeout(WAIT_S), aclosing(journal.read_events(0, 0)) as running:
        assert (await anext(running)).offset == 0
        await write(config, "events", batch(encode(record(0, 0, 0, 0)), headers=ODD))
        assert (await anext(running)).entry == record(0, 0, 0, 0)
        expected = await stored(await open_journal())
        assert [one.offset for one in expected] == [0, 1]

    def look() -> None:
        with open_past(config) as past:
            assert [one.entry for one in past.entries(0)] == [one.entry for one in expected]

    await asyncio.to_thread(look)


@pytest.mark.parametrize("rotten", [False, True], ids=["rubbish", "checksum"])
async def test_an_unreadable_entry_stops_its_partition_with_its_offset(
    open_journal: Open, config: Config, monkeypatch: pytest.MonkeyPatch, rotten: bool
) -> None:
    """The other partition goes on; where a person says that nothing stands there, this one does, too, for every reader."""
    if rotten:
        damage_fetched(monkeypatch, "events", 1)
    journal = await open_journal()
    await append_all(journal, [claim()])
    await append_all(journal, [claim("b")], 1)
    async with asyncio.timeout(WAIT_S), aclosing(journal.read_events(0, 0)) as first, aclosing(journal.read_events(1, 0)) as second:
        assert (await anext(first)).offset == (await anext(second)).offset == 0
        await write(config, "events", batch(encode(claim("x")) if rotten else b"rubbish", headers=[] if rotten else ODD))
        with pytest.raises(
            JournalDamaged,
            match=r"events\[0\]: entry 1 cannot be read: " + ("the batch's checksum is wrong" if rotten else "JSON"),
        ):
            await anext(first)
        await append_all(journal, [record(0, 0, 0, 0)], 1)
        assert (await anext(second)).offset == 1
    told = replace(config, kafka=replace(config.kafka, events_passed_over=("0:1",)))
    again = await open_journal(told)
    await append_all(again, [record(0, 0, 0, 0)])

    def look(with_config: Config) -> list[int]:
        with open_past(with_config) as past:
            return [one.offset for one in past.entries(0)]

    async with asyncio.timeout(WAIT_S):
        assert [one.offset for one in await stored(again)] == [0, 1, 2]
        assert await asyncio.to_thread(look, told) == [0, 1, 2]
        with pytest.raises(JournalDamaged, match=r"events\[0\]: entry 1 cannot be read"):
            await asyncio.to_thread(look, config)


async def test_unreadable_records_among_snapshots_are_passed_over(open_journal: Open, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rubbish with an odd header, a manifest and a part that cannot be decoded: an older snapshot is begun from, and new ones are saved."""
    journal = await open_journal()
    await append_all(journal, [claim(), *(record(0, n, 0, 0) for n in range(4))])
    first = await saved(journal, 1)
    await write(config, "snapshots", batch(b"rubbish", headers=[*ODD, ("kind", b"manifest")]))
    async with asyncio.timeout(WAIT_S):
        assert await journal.load_snapshots(0) == [first]
        second = await saved(journal, 2, (b"two alone",), before=1)
        assert await journal.load_snapshots(0) == [second, first]
        manifest = await journal._reader.end(f"{config.kafka.topic_prefix}.snapshots", 0) - 1
        damage_fetched(monkeypatch, "snapshots", manifest)
        assert await (await open_journal()).load_snapshots(0) == [first]
        damage_fetched(monkeypatch, "snapshots", second.outcomes[0].place)
        other = await open_journal()
        assert await other._get_parts(0, [second.outcomes[0].place]) == [None]


async def test_publishing_goes_on_behind_odd_records_in_the_feed(open_journal: Open, config: Config) -> None:
    """A look back passes over them, and over a position without a value."""
    journal = await open_journal()
    await append_all(journal, [claim(), *(record(0, n, n, n + 1, text=f"line {n}") for n in range(3))])
    publisher = journal.publisher()
    publisher.start()
    await published(config, 2)
    await publisher.stop()
    stranger = b'{"room": "key", "seq": -1}'
    await write(config, "feed", batch(stranger, headers=[("position", None)]), batch(stranger))
    await append_all(journal, [record(0, 3, 3, 4, text="line 3")])
    publisher = journal.publisher()
    publisher.start()
    events = await published(config, 3)
    await publisher.stop()
    assert [event["seq"] for event in events if event["seq"] != -1] == [0, 1, 2, 3]
    await write(config, "feed", batch(stranger, stranger, headers=ODD))
    position = await asyncio.wait_for(publisher._where_to_go_on(0), WAIT_S)
    assert position.offset == 5


async def test_a_partition_whose_reads_fail_for_whatever_reason_is_unreachable(open_journal: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers answer questions all the while: readiness goes by what can be read. One read that succeeds ends it."""
    monkeypatch.setattr(kafka_reader, "FAILING_S", 0.2)
    getmany, failing = CarefulConsumer.getmany, True

    async def fails(self: CarefulConsumer, *args: Any, **options: Any) -> Any:
        if failing:
            raise RuntimeError("a fault in a client")
        return await getmany(self, *args, **options)

    monkeypatch.setattr(CarefulConsumer, "getmany", fails)
    journal = await open_journal()
    async with asyncio.timeout(WAIT_S), aclosing(journal.read_events(1, 0)) as entries:
        reading = asyncio.ensure_future(anext(entries))
        while journal.unreachable != {1}:
            await asyncio.sleep(0.02)
        failing = False
        await append_all(journal, [claim()], 1)
        assert (await reading).offset == 0
        while journal.unreachable:
            await asyncio.sleep(0.02)
