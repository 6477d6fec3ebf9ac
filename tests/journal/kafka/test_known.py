"""A log that has lost entries which were confirmed: every process that knows of them stops, and none goes on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete
from msgspec.structs import replace

from liveroom.accounting.audit import audit
from liveroom.config.schema import Config, JournalConfig
from liveroom.journal.base import entry_id
from liveroom.journal.kafka.journal import KafkaJournal
from liveroom.journal.kafka.known import CUT_S, ENTRY_IDS_KEPT, KnownEnds, Seen, lost_spans
from liveroom.messages.errors import JournalDamaged
from liveroom.protocol.records import Entry
from liveroom.telemetry.metrics import Metrics
from tests.broker import kafka_config
from tests.journal.entries import append_all, record, request, snapshot, stored, take, takeover

JOURNAL = JournalConfig(partitions=1, snapshots_kept=2)
WAIT_S = 60
ENTRIES: list[Entry] = [takeover("a"), *(record(0, n, n, n + 1) for n in range(5))]

Open = Callable[..., Awaitable[KafkaJournal]]


@pytest.fixture
def config() -> Config:
    return kafka_config(JOURNAL)


@pytest.fixture
async def open_journal(config: Config) -> AsyncIterator[Open]:
    opened: list[KafkaJournal] = []

    async def open_one(**settings: object) -> KafkaJournal:
        kafka = replace(config.kafka, **settings)
        opened.append(await KafkaJournal.open(replace(config, kafka=kafka), Metrics(), f"test-{len(opened)}"))
        return opened[-1]

    yield open_one
    for journal in opened:
        await journal.close()


async def cut(config: Config, keep: int) -> None:
    """Cut the events as an unclean election does: the first `keep` stay, at their offsets."""
    topic, servers = f"{config.kafka.topic_prefix}.events", list(config.kafka.bootstrap_servers)
    source = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=servers)
    await consumer.start()
    consumer.assign([source])
    await consumer.seek_to_beginning(source)
    values = [(await consumer.getone()).value for _ in range(keep)]
    await consumer.stop()
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.delete_topics([topic])
    async with asyncio.timeout(WAIT_S):
        while (await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"retention.ms": "-1"})])).topic_errors[0][1]:
            await asyncio.sleep(0.1)
    await admin.close()
    asking = AIOKafkaConsumer(bootstrap_servers=servers)
    await asking.start()
    async with asyncio.timeout(WAIT_S):
        while (await asking.end_offsets([source]))[source]:  # the broker still has the log that is deleted: a write would go there
            await asyncio.sleep(0.05)
    await asking.stop()
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    await producer.start()
    for value in values:
        await producer.send_and_wait(topic, value, partition=0)
    await producer.stop()


async def until_damaged(journal: KafkaJournal) -> str:
    async with asyncio.timeout(WAIT_S):
        while 0 not in journal.damaged:
            await asyncio.sleep(0.05)
    return journal.damaged[0]


# The memory of a process


def known(stopped: list[str], *lost: str) -> KnownEnds:
    return KnownEnds("t.events", lost_spans(lost), lambda partition, words: stopped.append(words))


def test_an_end_that_is_too_low_for_a_moment_is_no_damage() -> None:
    """A broker that was replaced and wakes up may say an older end; only one that stays low for `CUT_S` is."""
    stopped: list[str] = []
    ends = known(stopped)
    ends.note(0, 7, "m")
    assert ends.reaches(0, 8, ends.end(0), 0.0)
    assert not ends.reaches(0, 5, ends.end(0), 1.0)
    assert ends.reaches(0, 8, ends.end(0), 2.0)
    assert not ends.reaches(0, 5, ends.end(0), 3.0)
    assert not ends.reaches(0, 5, ends.end(0), 2.9 + CUT_S)
    with pytest.raises(JournalDamaged, match=r"t.events\[0\] ends at 5, but its entries up to 8 were confirmed: .*kafka.events_lost = 0:5-8"):
        ends.reaches(0, 5, ends.end(0), 3.0 + CUT_S)
    with pytest.raises(JournalDamaged):
        ends.note(0, 8, "n")
    assert len(stopped) == 1


def test_entries_that_are_confirmed_while_the_answer_is_on_its_way_are_no_damage() -> None:
    """On a busy partition each answer about the end is older than the newest confirmed entry, for minutes on end."""
    stopped: list[str] = []
    ends = known(stopped)
    for second in range(10 * int(CUT_S)):
        ends.note(0, second, f"m{second}")
        known_end = ends.end(0)
        ends.note(0, second + 1, f"m{second + 1}")  # confirmed while the question was on its way
        assert ends.reaches(0, known_end, known_end, float(second))
    assert not stopped


def test_another_entry_in_a_known_place_is_damage_at_once() -> None:
    """However often an entry is read, and by whomever: what stood there once stands there forever."""
    ends = known([])
    for offset in range(2 * ENTRY_IDS_KEPT):
        ends.note(0, offset, f"id-{offset}")
    ends.note(0, 2 * ENTRY_IDS_KEPT - 1, f"id-{2 * ENTRY_IDS_KEPT - 1}")
    ends.note(0, 3, "of long ago, and forgotten")
    ends.note(1, 5, "of another partition")
    with pytest.raises(JournalDamaged, match=f"holds another entry {2 * ENTRY_IDS_KEPT - 2} than it did"):
        ends.note(0, 2 * ENTRY_IDS_KEPT - 2, "other")


def test_what_a_person_gave_up_is_known_no_more() -> None:
    """Knowledge of the span that was lost is passed over; what is beyond it counts."""
    ends = known([], "0:5-8")
    for offset in (6, 8):
        ends.must_reach(0, Seen(offset, "m"))
    assert ends.reaches(0, 5, ends.end(0), 0.0)
    ends.must_reach(0, Seen(9, "m"))
    assert not ends.reaches(0, 5, ends.end(0), 0.0)


def test_what_a_person_gave_up_names_another_history() -> None:
    """The new incarnation is of that partition alone, the same in every process for any order of the spans, and another after each loss."""
    once, twice, turned = known([], "0:5-8"), known([], "0:5-8", "0:20-30"), known([], "0:20-30", "1:3-4", "0:5-8", "0:5-8")
    assert known([]).incarnation(0) == once.incarnation(1) == ""
    assert len({"", once.incarnation(0), twice.incarnation(0), turned.incarnation(1)}) == 4
    assert turned.incarnation(0) == twice.incarnation(0)
    assert re.fullmatch(r"[0-9a-f]{8}", once.incarnation(0)), "it is a part of what viewers know a stream by"


@pytest.mark.parametrize("text", [b"", b"x 1", b"-1 m", b"1" * 19 + b" m", b"\xff 2", "\u0661 m".encode()])
def test_a_header_that_says_nothing_is_none(text: bytes) -> None:
    """Any program may write commands."""
    assert Seen.of_bytes(text) is None
    assert Seen.of_bytes(Seen(12, "0-1-2-3-4").to_bytes()) == Seen(12, "0-1-2-3-4")


# On a real broker


async def test_a_cut_end_stops_whoever_has_seen_it(open_journal: Open, config: Config) -> None:
    """A process that reads and one that writes refuse the partition with words: reads, writes and commands alike."""
    reader, writer = await open_journal(), await open_journal()
    await append_all(writer, ENTRIES)
    events = reader.read_events(0, 0)
    for _ in ENTRIES:
        await anext(events)
    await cut(config, 3)
    with pytest.raises(JournalDamaged, match=r"events\[0\] ends at 3, but its entries up to 6 were confirmed: its end was lost.*events_lost = 0:3-6"):
        async with asyncio.timeout(WAIT_S):
            await writer.events_end(0)
    assert "ends at 3" in await until_damaged(reader)
    with pytest.raises(JournalDamaged):
        await anext(events)
    for journal in (reader, writer):
        with pytest.raises(JournalDamaged):
            await journal.send_commands(0, [request()])
        with pytest.raises(JournalDamaged):
            await journal.append(0, takeover("c"))


def test_a_reader_of_old_entries_pushes_out_no_newer_mark() -> None:
    """The end of the log is remembered, in whatever order its entries are read."""
    ends = KnownEnds("events", (), lambda partition, words: None)
    for offset in range(1_000, 1_010):
        ends.note(0, offset, f"new-{offset}")
    for offset in range(3 * ENTRY_IDS_KEPT):
        ends.note(0, offset, f"old-{offset}")
    assert ends.seen(0) == Seen(1_010, "new-1009")
    with pytest.raises(JournalDamaged, match="holds another entry 1005"):
        ends.note(0, 1_005, "another")
    for offset in range(1_010, 1_010 + 5 * ENTRY_IDS_KEPT):
        ends.note(1, offset, "x")
    assert len(ends._known[1].entry_ids) <= 2 * ENTRY_IDS_KEPT


async def test_an_end_that_has_grown_again_is_not_the_old_one(open_journal: Open, config: Config) -> None:
    """The log has as many entries as before, but others. A write that lands among known offsets finds it, and so does a second check."""
    reader, writer, newcomer = await open_journal(), await open_journal(), await open_journal()
    await append_all(writer, ENTRIES)
    await stored(reader)
    await cut(config, 3)
    await append_all(newcomer, [takeover("b"), *(record(3, n, 2 + n, 3 + n, after="a-1" if n == 0 else "") for n in range(5))])
    with pytest.raises(JournalDamaged, match=r"events\[0\] holds another entry 3 than it did"):
        await stored(reader)
    await writer.append(0, record(0, 5, 5, 6))
    with pytest.raises(JournalDamaged):
        await stored(writer)


async def test_an_engine_that_has_just_begun_is_told_what_others_have_seen(open_journal: Open, config: Config) -> None:
    """It folds a log that is whole in itself. A command of somebody who has seen more stops it, also of one who had found the damage before."""
    gateway, engine = await open_journal(), await open_journal()
    await append_all(await open_journal(), ENTRIES)
    await gateway.send_commands(0, [request("c1")])
    await stored(gateway)
    await gateway.send_commands(0, [request("c2")])
    await cut(config, 3)
    late = await open_journal()
    assert len(await stored(late)) == 3
    assert [batch.requests[0].id for batch in await take(late.read_commands(0, 0), 2)] == ["c1", "c2"]
    with pytest.raises(JournalDamaged, match="entries up to 6 were confirmed"):
        async with asyncio.timeout(WAIT_S):
            await late.events_end(0)
    with pytest.raises(JournalDamaged):
        await gateway.events_end(0)
    async with aclosing(engine.read_commands(0, 2)) as batches:
        reading = asyncio.ensure_future(anext(batches))  # nothing comes but what the gateway objects
        assert "entries up to 6 were confirmed" in await until_damaged(engine)
        with pytest.raises(JournalDamaged):
            await reading


async def test_an_audit_of_a_topic_that_was_made_again_fails(open_journal: Open, config: Config) -> None:
    """Empty it adds up; a snapshot knows that it was not."""
    journal = await open_journal()
    await append_all(journal, ENTRIES)
    await journal.save_snapshot(0, snapshot(6))
    of_kafka = replace(config, journal=JournalConfig(kind="kafka"))
    await asyncio.to_thread(audit, of_kafka)
    await cut(config, 0)
    with pytest.raises(JournalDamaged, match="ends at 0, but its entries up to 6 were confirmed"):
        await asyncio.to_thread(audit, of_kafka)
    with pytest.raises(JournalDamaged):  # a second one does not get used to it
        await asyncio.to_thread(audit, of_kafka)


@pytest.mark.parametrize("last_entry_id", ["", entry_id(record(0, 4, 4, 5, time_ms=7))])
async def test_a_snapshot_of_events_that_are_not_there_is_damage(open_journal: Open, last_entry_id: str) -> None:
    """One of more than there is, and one of others than there are: a fold of what was lost tells that it was lost."""
    journal = await open_journal()
    await append_all(journal, ENTRIES)
    await journal.save_snapshot(0, snapshot(3))
    await journal.save_snapshot(0, replace(snapshot(6 if last_entry_id else 9, before=3), last_entry_id=last_entry_id))
    with pytest.raises(JournalDamaged, match=r"events_lost = 0:6-9" if not last_entry_id else r"is not what a snapshot of its entries up to 6 is of"):
        await (await open_journal()).load_snapshots(0)
    again = await open_journal(events_lost=("0:5-6",) if last_entry_id else ("0:6-9",))
    assert await again.load_snapshots(0) == [snapshot(3)]
    assert len(await stored(again)) == len(ENTRIES)


async def test_events_deleted_behind_the_newest_snapshot_are_damage(open_journal: Open, config: Config) -> None:
    """Retention took what no snapshot holds: nobody begins again and again with what cannot be had."""
    journal = await open_journal()
    await append_all(journal, ENTRIES)
    await journal.save_snapshot(0, snapshot(2))
    await journal.save_snapshot(0, snapshot(4, before=2))
    admin = AIOKafkaAdminClient(bootstrap_servers=list(config.kafka.bootstrap_servers))
    await admin.start()
    try:
        source = TopicPartition(f"{config.kafka.topic_prefix}.events", 0)
        await admin.delete_records({source: RecordsToDelete(before_offset=3)})
        assert await (await open_journal()).load_snapshots(0) == [snapshot(4, before=2)]
        await admin.delete_records({source: RecordsToDelete(before_offset=5)})
    finally:
        await admin.close()
    other = await open_journal()
    with pytest.raises(JournalDamaged, match="begins at 5, and the newest snapshot is of the entries up to 4: those between were deleted"):
        await other.load_snapshots(0)
    with pytest.raises(JournalDamaged, match="begins at 5: its entries from 0 on were deleted"):
        await anext((await open_journal()).read_events(0, 0))
