"""Records that cannot be decoded, on a real broker: commands, events, snapshots and the feed go on or stop as each must."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import NotLeaderForPartitionError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.produce import ProduceRequest
from msgspec.structs import replace

from liveroom.config.schema import Config, JournalConfig
from liveroom.journal.kafka import journal as kafka
from liveroom.journal.kafka import reader as kafka_reader
from liveroom.journal.kafka.client import KafkaCluster
from liveroom.journal.kafka.feed import Publisher
from liveroom.journal.kafka.journal import KafkaJournal
from liveroom.journal.kafka.reader import POLL_RECORDS
from liveroom.journal.kafka.records import CarefulConsumer, after, unreadable
from liveroom.journal.stored_log import open_stored_log
from liveroom.messages.errors import JournalDamaged
from liveroom.protocol.codec import encode
from liveroom.telemetry.metrics import Metrics
from tests.broker import kafka_config
from tests.journal.batches import ODD, batch, damaged, flipped, read
from tests.journal.entries import append_all, record, request, saved, stored, take, takeover
from tests.journal.kafka.test_feed import published

WAIT_S = 30


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
    """Write whole batches into partition 0, like a client of another language."""
    producer = AIOKafkaProducer(bootstrap_servers=list(config.kafka.bootstrap_servers))
    await producer.start()
    try:
        whole = f"{config.kafka.topic_prefix}.{topic}"
        await producer.partitions_for(whole)
        for data in batches:
            error = NotLeaderForPartitionError.errno
            while error == NotLeaderForPartitionError.errno:  # happens right after the topic was made
                leader = producer.client.cluster.leader_for_partition(TopicPartition(whole, 0))
                answer = await producer.client.send(leader, ProduceRequest(None, -1, 10_000, [(whole, [(0, data)])]))
                error = answer.topics[0][1][0][1]
            assert error == 0, answer
    finally:
        await producer.stop()


def damage_fetched(monkeypatch: pytest.MonkeyPatch, topic: str, offset: int, spoil: Callable[[bytes], bytes] = damaged) -> None:
    """Every fetch from now on finds the batch of partition 0 that begins at `offset` spoiled, as on a disk that lies."""
    make = KafkaCluster.reader

    def spoiled(data: bytes) -> bytes:
        at, out = 0, b""
        while at + 12 <= len(data):
            base, length = struct.unpack_from(">qi", data, at)
            one = data[at : at + 12 + length]
            out += spoil(one) if base == offset and len(one) == 12 + length else one
            at += 12 + length
        return out

    def reader(self: KafkaCluster, *args: int) -> CarefulConsumer:
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

    monkeypatch.setattr(KafkaCluster, "reader", reader)


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


#: Bits that move a batch's base offset up by 2^40, up by 16 and down by 1, and its length by 1, 2^8 and 2^20 bytes.
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
    """Offsets may be missing, as in a compacted topic. A batch with an offset beyond the end hides itself alone, and later batches are read."""
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
    await append_all(journal, [takeover()])
    await append_all(journal, [record(0, 0, 0, 0)])
    await append_all(journal, [record(0, 1, 0, 0)])
    damage_fetched(monkeypatch, "events", 1, lambda data: flipped(data, bit))
    again = await open_journal()
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(JournalDamaged, match=r"events\[0\]: entry 1 cannot be read: (the|a) batch's (offset|length|checksum) is wrong"):
            await take(again.read_events(0, 0), 3)

    def look() -> None:
        with open_stored_log(config) as stored_log, pytest.raises(JournalDamaged, match=r"events\[0\]: entry 1 cannot be read"):
            list(stored_log.entries(0))

    async with asyncio.timeout(WAIT_S):
        await asyncio.to_thread(look)


async def test_an_entry_with_an_odd_header_counts(open_journal: Open, config: Config) -> None:
    """Its value is whole, so every reader gives it: running ones, later ones and readers of the past."""
    journal = await open_journal()
    await append_all(journal, [takeover()])
    async with asyncio.timeout(WAIT_S), aclosing(journal.read_events(0, 0)) as running:
        assert (await anext(running)).offset == 0
        await write(config, "events", batch(encode(record(0, 0, 0, 0)), headers=ODD))
        assert (await anext(running)).entry == record(0, 0, 0, 0)
        expected = await stored(await open_journal())
        assert [one.offset for one in expected] == [0, 1]

    def look() -> None:
        with open_stored_log(config) as stored_log:
            assert [one.entry for one in stored_log.entries(0)] == [one.entry for one in expected]

    await asyncio.to_thread(look)


@pytest.mark.parametrize("rotten", [False, True], ids=["rubbish", "checksum"])
async def test_an_unreadable_entry_stops_its_partition_with_its_offset(
    open_journal: Open, config: Config, monkeypatch: pytest.MonkeyPatch, rotten: bool
) -> None:
    """The other partition goes on; where a person says that nothing stands there, this one does, too, for every reader."""
    if rotten:
        damage_fetched(monkeypatch, "events", 1)
    journal = await open_journal()
    await append_all(journal, [takeover()])
    await append_all(journal, [takeover("b")], 1)
    async with asyncio.timeout(WAIT_S), aclosing(journal.read_events(0, 0)) as first, aclosing(journal.read_events(1, 0)) as second:
        assert (await anext(first)).offset == (await anext(second)).offset == 0
        await write(config, "events", batch(encode(takeover("x")) if rotten else b"rubbish", headers=[] if rotten else ODD))
        with pytest.raises(
            JournalDamaged,
            match=r"events\[0\]: entry 1 cannot be read: " + ("the batch's checksum is wrong" if rotten else "JSON"),
        ):
            await anext(first)
        await append_all(journal, [record(0, 0, 0, 0)], 1)
        assert (await anext(second)).offset == 1
    told = replace(config, kafka=replace(config.kafka, skip_offsets=("0:1",)))
    again = await open_journal(told)
    await append_all(again, [record(0, 0, 0, 0)])

    def look(with_config: Config) -> list[int]:
        with open_stored_log(with_config) as stored_log:
            return [one.offset for one in stored_log.entries(0)]

    async with asyncio.timeout(WAIT_S):
        assert [one.offset for one in await stored(again)] == [0, 1, 2]
        assert await asyncio.to_thread(look, told) == [0, 1, 2]
        with pytest.raises(JournalDamaged, match=r"events\[0\]: entry 1 cannot be read"):
            await asyncio.to_thread(look, config)


async def test_unreadable_records_among_snapshots_are_passed_over(open_journal: Open, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rubbish with an odd header, a manifest and a part that cannot be decoded: an older snapshot is begun from, and new ones are saved."""
    journal = await open_journal()
    await append_all(journal, [takeover(), *(record(0, n, 0, 0) for n in range(4))])
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
    await append_all(journal, [takeover(), *(record(0, n, n, n + 1, text=f"line {n}") for n in range(3))])
    publisher = Publisher(journal, Metrics())
    publisher.start()
    await published(config, 2)
    await publisher.stop()
    stranger = b'{"room": "key", "seq": -1}'
    await write(config, "feed", batch(stranger, headers=[("position", None)]), batch(stranger))
    await append_all(journal, [record(0, 3, 3, 4, text="line 3")])
    publisher = Publisher(journal, Metrics())
    publisher.start()
    events = await published(config, 3)
    await publisher.stop()
    assert [event["seq"] for event in events if event["seq"] != -1] == [0, 1, 2, 3]
    await write(config, "feed", batch(stranger, stranger, headers=ODD))
    position = await asyncio.wait_for(publisher._consumer(0).start(), WAIT_S)
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
        await append_all(journal, [takeover()], 1)
        assert (await reading).offset == 0
        while journal.unreachable:
            await asyncio.sleep(0.02)
