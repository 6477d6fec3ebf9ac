"""Promises of the Kafka journal alone, on a real broker."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete
from msgspec.structs import replace

from liveroom.config.schema import Config, JournalConfig
from liveroom.features.flash_sale.messages import ConfirmHold
from liveroom.journal.acceptance import Acceptance
from liveroom.journal.base import PAYLOAD_CHARS_MAX, Snapshot
from liveroom.journal.kafka import journal as kafka
from liveroom.journal.kafka.client import FETCH_BYTES
from liveroom.journal.kafka.journal import KafkaJournal
from liveroom.journal.kafka.reader import WAITING_BYTES_MAX
from liveroom.messages.errors import JournalDamaged, JournalFull, JournalMismatch, JournalUnavailable
from liveroom.messages.fields import Role
from liveroom.protocol.codec import encode
from liveroom.protocol.records import REQUESTS_MAX, Entry, Sender
from liveroom.telemetry.metrics import Metrics
from tests.broker import kafka_config
from tests.journal.entries import append_all, record, request, saved, snapshot, stored, take, takeover

WAIT_S = 30
JOURNAL = JournalConfig(partitions=2, snapshots_kept=2)

Open = Callable[..., Awaitable[KafkaJournal]]


@pytest.fixture
def config() -> Config:
    return kafka_config(JOURNAL)


@pytest.fixture
async def open_journal(config: Config) -> AsyncIterator[Open]:
    """Opens journals on the same topics and closes them at the end."""
    opened: list[KafkaJournal] = []

    async def open_one(with_config: Config = config) -> KafkaJournal:
        opened.append(await KafkaJournal.open(with_config, Metrics(), f"test-{len(opened)}"))
        return opened[-1]

    yield open_one
    for journal in opened:
        await journal.close()


async def produce(
    config: Config,
    topic: str,
    *values: bytes | None,
    key: bytes = b"key",
    headers: list[tuple[str, bytes]] | None = None,
    timestamp_ms: int | None = None,
) -> None:
    """Write into partition 0 as a program that knows nothing of liveroom does."""
    producer = AIOKafkaProducer(bootstrap_servers=list(config.kafka.bootstrap_servers))
    await producer.start()
    try:
        for value in values:
            whole = f"{config.kafka.topic_prefix}.{topic}"
            await producer.send_and_wait(whole, value, key=key, partition=0, headers=headers or [], timestamp_ms=timestamp_ms)
    finally:
        await producer.stop()


async def make_topics(config: Config, **partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=list(config.kafka.bootstrap_servers))
    await admin.start()
    try:
        await admin.create_topics([NewTopic(f"{config.kafka.topic_prefix}.{name}", count, 1) for name, count in partitions.items()])
    finally:
        await admin.close()


async def test_processes_share_the_log(open_journal: Open) -> None:
    """Every process reads an entry or command at the same offset, whichever process wrote it."""
    one, other = await open_journal(), await open_journal()
    assert await append_all(one, [takeover("a")]) == [0]
    assert await append_all(other, [takeover("b"), record(1, 0, 0, 0)]) == [1, 2]
    await one.send_commands(0, [request("c1")])
    await other.send_commands(0, [request("c2")])
    assert await stored(one) == await stored(other)
    assert [b.requests for b in await take(other.read_commands(0, 0), 2)] == [(request("c1"),), (request("c2"),)]


async def test_another_number_of_partitions_is_refused(open_journal: Open, config: Config) -> None:
    """Rooms are spread by it, so topics that were made with another number say so."""
    await open_journal()
    with pytest.raises(JournalMismatch, match=r"has 2 partitions, the settings say 3 \(journal.partitions\)"):
        await open_journal(replace(config, journal=replace(JOURNAL, partitions=3)))


async def test_topics_may_be_somebody_elses_to_make(open_journal: Open, config: Config) -> None:
    """Without `create_topics` a missing one is an error that names it."""
    with pytest.raises(JournalMismatch, match=rf"topics are missing, or this user may not describe them: .*{config.kafka.topic_prefix}\.commands"):
        await open_journal(replace(config, kafka=replace(config.kafka, create_topics=False)))


async def test_topics_that_would_lose_entries_are_refused(open_journal: Open, config: Config) -> None:
    """Snapshots must be compacted, everything else must not."""
    await make_topics(config, snapshots=2)
    with pytest.raises(JournalMismatch, match=r"snapshots has cleanup.policy=delete; it must be compact"):
        await open_journal()


async def test_topics_must_take_the_largest_record(open_journal: Open, config: Config) -> None:
    """A topic whose records may be smaller than the journal's is refused at start, not at the first large step."""
    await make_topics(config, events=2)
    with pytest.raises(JournalMismatch, match=r"events takes records up to max.message.bytes=\d+; \d+ are needed"):
        await open_journal(replace(config, journal=replace(JOURNAL, record_bytes_max=8_000_000)))


async def test_more_copies_than_brokers_is_said_with_the_setting(config: Config) -> None:
    """The error on a single broker names the setting to lower."""
    with pytest.raises(JournalUnavailable, match=r"commands cannot be made \(kafka.replication_factor = 3\): .*replicat"):
        await KafkaJournal.open(replace(config, kafka=replace(config.kafka, replication_factor=3)), Metrics(), "test")


async def test_no_broker(config: Config) -> None:
    """A wrong address is said with its setting."""
    nowhere = replace(config, kafka=replace(config.kafka, bootstrap_servers=("127.0.0.1:1",)))
    with pytest.raises(JournalUnavailable, match=r"no Kafka broker answers at 127.0.0.1:1 \(kafka.bootstrap_servers\)"):
        await KafkaJournal.open(nowhere, Metrics(), "test")


async def test_any_producer_may_send_commands(open_journal: Open, config: Config) -> None:
    """One request as an object, or several as a list; what is none becomes poison with a reason and the rest goes on."""
    journal = await open_journal()
    values = [
        encode(request("c1")),
        b"\xff\x00 rubbish",
        encode([request("c2"), request("c3")]),
        orjson.dumps({"id": "c4", "room": "lamp-sale", "sender": ["vera", "Vera"], "command": {"type": "fly"}}),
        encode(request("c5", room="toy-sale")),
        None,
        encode(request("c6")),
        b"[]",
        encode([request(f"many-{number}") for number in range(REQUESTS_MAX + 1)]),
    ]
    await produce(config, "commands", *values)
    batches = await take(journal.read_commands(0, 0), 9)
    assert [batch.offset for batch in batches] == list(range(9))
    assert [[r.id for r in batch.requests] for batch in batches] == [["c1"], [], ["c2", "c3"], [], [], [], ["c6"], [], []]
    reasons = [batch.poison for batch in batches]
    assert reasons[1].startswith("bad_utf8: ")
    assert reasons[3] == "unknown_command: no command is called 'fly' (command.type)"
    assert reasons[4] == "bad_value: room 'toy-sale' belongs to partition 1: key the record by the room's id"
    assert reasons[5].startswith("malformed: ")
    assert all(reason.startswith("too_") or reason.startswith("bad_") for reason in reasons[7:]), reasons[7:]
    assert len(batches[8].payload) == PAYLOAD_CHARS_MAX
    assert batches[1].payload == "\\xff\x00 rubbish"
    assert [reason for at, reason in enumerate(reasons) if at in (0, 2, 6)] == ["", "", ""]


async def test_a_producer_that_spreads_keys_in_its_own_way_is_told_what_to_set(open_journal: Open, config: Config) -> None:
    """Its key was right and its record elsewhere all the same: that the key is wrong would send its owner the wrong way."""
    journal = await open_journal()
    await produce(config, "commands", encode(request("c1", room="toy-sale")), key=b"toy-sale")
    (batch,) = await take(journal.read_commands(0, 0), 1)
    assert batch.poison.startswith("bad_value: room 'toy-sale' belongs to partition 1: its producer spreads keys otherwise")
    assert "partitioner=murmur2_random" in batch.poison


async def test_commands_that_were_taken_back_are_not_read(open_journal: Open, config: Config) -> None:
    """Only committed records of a transactional producer count; offsets without a record are skipped."""
    journal = await open_journal()
    producer = AIOKafkaProducer(bootstrap_servers=list(config.kafka.bootstrap_servers), transactional_id=config.kafka.topic_prefix)
    await producer.start()
    topic = f"{config.kafka.topic_prefix}.commands"
    for id_, kept in (("c1", True), ("c2", False), ("c3", True)):
        await producer.begin_transaction()
        await producer.send_and_wait(topic, encode(request(id_)), partition=0)
        await (producer.commit_transaction() if kept else producer.abort_transaction())
    await producer.stop()
    assert [(b.offset, b.requests[0].id) for b in await take(journal.read_commands(0, 0), 2)] == [(0, "c1"), (4, "c3")]


async def test_commands_that_are_gone_are_passed_over(open_journal: Open, config: Config) -> None:
    """Commands that the topic's retention deleted get no answer, so their senders retry, and the partition goes on."""
    journal = await open_journal()
    for n in range(3):
        await journal.send_commands(0, [request(f"c{n}")])
    admin = AIOKafkaAdminClient(bootstrap_servers=list(config.kafka.bootstrap_servers))
    await admin.start()
    await delete_records(admin, f"{config.kafka.topic_prefix}.commands", 2)
    await admin.close()
    assert [b.offset for b in await take(journal.read_commands(0, 0), 1)] == [2]
    with pytest.raises(JournalDamaged, match=r"commands\[0\] ends at 3, but commands below 4 were answered: the topic was cut"):
        await anext(journal.read_commands(0, 4))


async def delete_records(admin: AIOKafkaAdminClient, topic: str, before: int) -> None:
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=before)})


async def test_what_is_no_entry_stops_its_reader(open_journal: Open, config: Config) -> None:
    """Only engines write events; anything else there is damage, and nothing is guessed."""
    journal = await open_journal()
    await append_all(journal, [takeover()])
    await produce(config, "events", b"{}")
    reader = journal.read_events(0, 0)
    assert (await anext(reader)).offset == 0
    with pytest.raises(JournalDamaged, match=r"events\[0\]: entry 1 cannot be read"):
        await anext(reader)


async def test_what_is_no_entry_is_passed_over_where_a_person_says_so(open_journal: Open, config: Config) -> None:
    """It counts for nothing and the partition goes on; an entry that can be read counts, whatever is said of its place."""
    await append_all(await open_journal(), [takeover(), record(0, 0, 0, 1)])
    await produce(config, "events", b"rubbish", None)
    told = replace(config, kafka=replace(config.kafka, skip_offsets=("0:0", "0:2", "0:3")))
    journal = await open_journal(told)
    await append_all(journal, [record(0, 1, 1, 2)])
    acceptance = Acceptance()
    verdicts = [acceptance.judge(one.offset, one.entry).value for one in await stored(journal)]
    assert verdicts == ["takeover", "accepted", "foreign_fencing_epoch", "foreign_fencing_epoch", "accepted"]
    made = await saved(journal, 4)
    assert await journal.load_snapshots(0) == [made]


async def test_a_snapshot_that_was_not_finished_does_not_count(open_journal: Open, config: Config) -> None:
    """Parts without their manifest, of an engine that died, hide nothing of the snapshot before; the next one drops them."""
    journal = await open_journal()
    await append_all(journal, [takeover(), record(0, 0, 0, 0)])
    first = await saved(journal, 1)
    left = await journal.put_parts(0, [b"part %d" % number for number in range(30)])
    again = await open_journal()
    assert await again.load_snapshots(0) == [first]
    second = await saved(again, 2, (b"part 7",), before=1)
    assert await again.load_snapshots(0) == [second, first]
    keys = await keys_left(config)
    assert {part.hash for part in (*first.outcomes, *second.outcomes)} <= keys
    assert not keys & {part.hash for part in left if part.hash != second.outcomes[0].hash}


async def test_parts_that_no_kept_snapshot_names_are_dropped(open_journal: Open, config: Config) -> None:
    """The compacted topic is bounded, however many snapshots were saved."""
    journal = await open_journal()
    await append_all(journal, [takeover(), *(record(0, n, 0, 0) for n in range(12))])
    for offset in range(1, 12):
        await saved(journal, offset, [b"%d of %d" % (number, offset) for number in range(5)], before=offset - 1)
    keys = await keys_left(config)
    named = {part.hash for one in await journal.load_snapshots(0) for part in (*one.outcomes, *one.gone)}
    assert named <= keys
    assert len(keys) <= len(named) + 6 + JOURNAL.snapshots_kept, "beside the manifests those of one more snapshot at most"


async def test_an_engine_that_lost_its_partition_saves_no_snapshot(open_journal: Open) -> None:
    """It would drop parts that the snapshots of its successor name."""
    journal, other = await open_journal(), await open_journal()
    await append_all(journal, [takeover("a"), record(0, 0, 0, 0), takeover("b"), record(2, 0, 0, 0)])
    first = await saved(journal, 2, acceptance=Acceptance(0, 1, 0))
    second = await saved(other, 4, (b"of b",), before=2, acceptance=Acceptance(2, 1, 0))
    with pytest.raises(JournalUnavailable, match="an engine that took over partition 0 later has saved a snapshot"):
        await saved(journal, 2, (b"of a",), before=2, acceptance=Acceptance(0, 1, 0))
    assert await journal.load_snapshots(0) == [second, first]
    assert await journal.get_parts(0, second.outcomes) == [b"of b"]


async def keys_left(config: Config) -> set[str]:
    """The keys of partition 0 of the snapshots that compaction would leave."""
    source = TopicPartition(f"{config.kafka.topic_prefix}.snapshots", 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=list(config.kafka.bootstrap_servers))
    await consumer.start()
    try:
        consumer.assign([source])
        end = (await consumer.end_offsets([source]))[source]
        consumer.seek(source, 0)
        left: dict[str, bytes | None] = {}
        while await consumer.position(source) < end:
            for record_ in (await consumer.getmany(source, timeout_ms=1_000)).get(source, ()):
                left[(record_.key or b"").decode()] = record_.value
        return {key for key, value in left.items() if value is not None}
    finally:
        await consumer.stop()


async def last_record(config: Config, topic: str) -> tuple[int, bytes]:
    source = TopicPartition(f"{config.kafka.topic_prefix}.{topic}", 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=list(config.kafka.bootstrap_servers))
    await consumer.start()
    try:
        consumer.assign([source])
        end = (await consumer.end_offsets([source]))[source]
        consumer.seek(source, end - 1)
        found = await consumer.getone()
        return found.offset, found.value or b""
    finally:
        await consumer.stop()


async def test_a_manifest_that_nobody_can_read_is_passed_over(open_journal: Open, config: Config) -> None:
    """A foreign record among the snapshots hides none of them, and the next snapshot can be saved."""
    journal = await open_journal()
    await append_all(journal, [takeover(), record(0, 0, 0, 0)])
    await journal.save_snapshot(0, snapshot(1))
    await produce(config, "snapshots", *[b"rubbish", None] * 3, headers=[("kind", b"manifest")])
    assert await journal.load_snapshots(0) == [snapshot(1)]
    await journal.save_snapshot(0, snapshot(2, before=1))
    assert await journal.load_snapshots(0) == [snapshot(2, before=1), snapshot(1)]


async def test_partitions_that_were_added_are_nobodys(open_journal: Open, config: Config) -> None:
    """No room belongs to them: they are not assigned, and a write to a missing partition is an error."""
    journal = await open_journal()
    admin = AIOKafkaAdminClient(bootstrap_servers=list(config.kafka.bootstrap_servers))
    await admin.start()
    await admin.create_partitions({f"{config.kafka.topic_prefix}.commands": NewPartitions(3)})
    await admin.close()
    async with asyncio.timeout(WAIT_S), aclosing(journal.assignments()) as assigned:
        assert await anext(assigned) == {0, 1}
        with pytest.raises(JournalUnavailable, match="Unrecognized partition"):
            await journal.append(2, takeover())


async def test_snapshots_of_any_size(open_journal: Open) -> None:
    """Large after small after large."""
    journal = await open_journal()
    await append_all(journal, [takeover(), *(record(0, n, 0, 0) for n in range(8))])
    before: list[Snapshot] = []
    for offset, count in enumerate((40, 0, 3, 50, 1), 1):
        bodies = [b"%d" % number * 50_000 for number in range(count)]
        kept = await saved(journal, offset, bodies, before=offset - 1)
        again = await open_journal()
        assert await again.load_snapshots(0) == [kept, *before]
        assert await again.get_parts(0, kept.outcomes) == bodies
        before = [kept]


async def test_engines_share_the_partitions(open_journal: Open, config: Config) -> None:
    """Every partition is assigned to one of them, and to the one that is left when the other goes."""
    quick = replace(config, kafka=replace(config.kafka, session_ms=1_000))
    one, other = await open_journal(quick), await open_journal(quick)
    async with asyncio.timeout(WAIT_S), aclosing(one.assignments()) as mine:
        assert await anext(mine) == {0, 1}
        async with aclosing(other.assignments()) as theirs:
            split = await anext(theirs)
            assert len(split) == 1
            while (left := await anext(mine)) == {0, 1}:
                pass
            assert left | split == {0, 1}
            assert not left & split
        while await anext(mine) != {0, 1}:
            pass


async def test_lag_and_latency_are_measured(config: Config) -> None:
    """A process knows how far its readers are behind, how many of its commands wait, what nobody has answered, and what brokers take."""
    metrics = Metrics()

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"liveroom_journal_{name}", labels)

    async def until(name: str, wanted: float | None, **labels: str) -> None:
        async with asyncio.timeout(WAIT_S):
            while value(name, **labels) != wanted:
                await asyncio.sleep(0.05)

    journal = await KafkaJournal.open(config, metrics, "test")
    try:
        await append_all(journal, [takeover()])
        async with aclosing(journal.read_events(0, 0)) as entries, aclosing(journal.read_commands(0, 0)) as commands:
            assert (await anext(entries)).entry == takeover()
            await journal.send_commands(0, [request("c1"), request("c2")])
            assert len((await anext(commands)).requests) == 2
            await produce(config, "commands", encode(request("c3")), timestamp_ms=1)  # when somebody's order was made, not when this was written
            assert len((await anext(commands)).requests) == 1
            await until("commands_waiting", 2)
            await until("lag_commands", 2, partition="0")
            await append_all(journal, [record(0, 0, 0, 2)])
            await until("lag_events", 2, partition="0")  # an entry counts as processed when the next one is requested
            await anext(entries)
            await until("commands_waiting", 0)
            await until("lag_commands", 0, partition="0")
        await until("lag_events", None, partition="0")
        assert value("produce_seconds_count") == 3
        assert value("fetch_seconds_count")
        assert (value("fetch_seconds_sum") or 0) < WAIT_S
        assert value("partitions_unreachable") == 0
    finally:
        await journal.close()


async def test_what_waits_for_a_slow_reader_is_limited_in_bytes_too(open_journal: Open, config: Config) -> None:
    """Large records are fetched as they are taken: one that reads slowly does not fill the memory, and misses none."""
    journal, count = await open_journal(), 40
    await produce(config, "commands", *[b"x" * 1_000_000] * count)
    async with asyncio.timeout(WAIT_S), aclosing(journal._reader.read(f"{config.kafka.topic_prefix}.commands", 0, 0)) as runs:
        found = len(await anext(runs))
        (position,) = journal._reader._clients[0]._positions.values()
        while position.has_space and found + len(position.fetched) < count:
            await asyncio.sleep(0.01)
        assert sum(len(one.value or b"") for one in position.fetched) <= WAITING_BYTES_MAX + FETCH_BYTES
        while found < count:
            found += len(await anext(runs))


async def test_commands_on_their_way_to_brokers_are_limited_in_bytes_with_a_part_for_staff(
    open_journal: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that no broker acknowledged yet leave room for a payment, and what was acknowledged makes room for lines again."""
    monkeypatch.setattr(kafka, "WAITING_BYTES_MAX", 3_000)
    journal, lines = await open_journal(), [request(f"c{n}", text="x" * 300) for n in range(20)]
    payment = replace(request("payment"), sender=Sender("shop", "shop", Role.platform), command=ConfirmHold(1, "pay-1"))
    sent = await asyncio.gather(*(journal.send_commands(0, [one]) for one in (*lines, payment)), return_exceptions=True)
    refused = [error for error in sent[:-1] if isinstance(error, JournalFull)]
    assert 10 < len(refused) < 20, sent
    assert all("bytes" in str(error) for error in refused)
    assert sent[-1] is None
    await journal.send_commands(0, lines[:1])


async def test_records_of_the_largest_size_pass(open_journal: Open, config: Config) -> None:
    """A record of `record_bytes_max` that does not compress is written and read."""
    journal = await open_journal()
    rng = random.Random(1)
    text = "".join(chr(rng.randrange(0x4E00, 0x9FFF)) for _ in range(JOURNAL.record_bytes_max // 3 - 1_000))
    entries: list[Entry] = [takeover(), record(0, 0, 0, 0, text=text)]
    await append_all(journal, entries)
    assert [s.entry for s in await stored(journal)] == entries
    assert len(encode(entries[1])) > JOURNAL.record_bytes_max * 0.95


async def test_a_partition_that_is_damaged_refuses_without_a_trace(open_journal: Open, caplog: pytest.LogCaptureFixture) -> None:
    """Also where an engine has given up and looks at none of its writes."""
    journal = await open_journal()
    with pytest.raises(JournalDamaged):
        journal._ends.stop(0, "of this test")
    journal.append(0, takeover("a"))
    await asyncio.sleep(0)
    gc.collect()
    assert not [record for record in caplog.records if "never retrieved" in record.getMessage()]
