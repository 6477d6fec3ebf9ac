"""The public feed on a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from msgspec.structs import replace

from liveroom.config.schema import Config, JournalConfig
from liveroom.features.chat.messages import ChatSent
from liveroom.features.coupon.messages import CouponClaimed
from liveroom.journal.kafka.feed import Publisher
from liveroom.journal.kafka.journal import KafkaJournal
from liveroom.protocol.records import RECORD_VERSION, Record, RoomSpan
from liveroom.telemetry.metrics import Metrics
from tests.broker import kafka_config
from tests.journal.entries import append_all, record, takeover

WAIT_S = 30


@pytest.fixture
def config() -> Config:
    config = kafka_config(JournalConfig(partitions=2))
    return replace(config, kafka=replace(config.kafka, session_ms=1_000))


@pytest.fixture
async def journal(config: Config) -> AsyncIterator[KafkaJournal]:
    opened = await KafkaJournal.open(config, Metrics(), "test")
    yield opened
    await opened.close()


async def published(config: Config, until_seq: int) -> list[dict[str, object]]:
    """All of the feed's first partition, until an event of this seq has come."""
    consumer = AIOKafkaConsumer(bootstrap_servers=list(config.kafka.bootstrap_servers))
    source = TopicPartition(f"{config.kafka.topic_prefix}.feed", 0)
    await consumer.start()
    try:
        consumer.assign([source])
        await consumer.seek_to_beginning(source)
        found: list[dict[str, object]] = []
        async with asyncio.timeout(WAIT_S):
            while not any(event["seq"] == until_seq for event in found):
                record = await consumer.getone()
                event = orjson.loads(record.value or b"")
                assert record.key == str(event["room"]).encode()
                found.append(event)
        return found
    finally:
        await consumer.stop()


async def test_accepted_events_come_in_order(journal: KafkaJournal, config: Config) -> None:
    """One event a record, keyed by room, with its seq; what readers of the journal skip is not there."""
    zombie = record(7, 0, 0, 0, text="too late")
    await append_all(journal, [takeover(), *(record(0, n, n, n + 1, text=f"line {n}", time_ms=n) for n in range(50)), zombie])
    await append_all(journal, [record(0, 50, 50, 51, text="the last")])
    publisher = Publisher(journal, Metrics())
    publisher.start()
    events = await published(config, 50)
    await publisher.stop()
    assert [event["seq"] for event in events] == list(range(51))
    assert events[3] == {"room": "lamp-sale", "seq": 3, "time_ms": 3, "type": "chat_sent", "user": "vera", "name": "Vera", "text": "line 3"}


async def test_publishing_goes_on_where_it_was(journal: KafkaJournal, config: Config) -> None:
    """A publisher that is stopped and started again leaves out nothing; the first of each seq come in order."""
    await append_all(journal, [takeover()])
    for at in range(4):
        publisher = Publisher(journal, Metrics())
        publisher.start()
        await append_all(journal, [record(0, n, n, n + 1, text=f"line {n}") for n in range(at * 20, at * 20 + 20)])
        if at % 2:
            await published(config, at * 20 + 19)
        await publisher.stop()
    publisher = Publisher(journal, Metrics())
    publisher.start()
    events = await published(config, 79)
    await publisher.stop()
    firsts = list(dict.fromkeys(event["seq"] for event in events))
    assert firsts == list(range(80))


async def test_what_others_wrote_into_the_feed_is_passed_over(journal: KafkaJournal, config: Config) -> None:
    """With or without something that looks like a position: publishing goes on behind the last event that is there."""
    await append_all(journal, [takeover(), *(record(0, n, n, n + 1, text=f"line {n}") for n in range(3))])
    publisher = Publisher(journal, Metrics())
    publisher.start()
    await published(config, 2)
    await publisher.stop()
    producer = AIOKafkaProducer(bootstrap_servers=list(config.kafka.bootstrap_servers))
    await producer.start()
    topic, stranger = f"{config.kafka.topic_prefix}.feed", orjson.dumps({"room": "x", "seq": -1})
    await producer.send_and_wait(topic, stranger, key=b"x", partition=0, headers=[("position", b"rubbish")])
    for _ in range(5):
        await producer.send_and_wait(topic, stranger, key=b"x", partition=0)
    await producer.stop()
    await append_all(journal, [record(0, 3, 3, 4, text="line 3")])
    publisher = Publisher(journal, Metrics())
    publisher.start()
    events = await published(config, 3)
    await publisher.stop()
    assert [event["seq"] for event in events if event["seq"] != -1] == [0, 1, 2, 3]


async def test_what_is_not_for_everybody_is_withheld(journal: KafkaJournal, config: Config) -> None:
    """A personal event is in the feed by its type alone, so that the seqs have no gap and no code leaks."""
    events = (ChatSent("vera", "Vera", "hi"), CouponClaimed(3, "vera", "ABCDEFGHIJKLMNOP"), ChatSent("vera", "Vera", "ho"))
    entry = Record(RECORD_VERSION, 0, 0, 0, 1, 9, {"lamp-sale": RoomSpan(0, events)})
    await append_all(journal, [takeover(), entry])
    publisher = Publisher(journal, Metrics())
    publisher.start()
    found = await published(config, 2)
    await publisher.stop()
    assert found[1] == {"room": "lamp-sale", "seq": 1, "time_ms": 9, "type": "coupon_claimed", "withheld": "personal"}
