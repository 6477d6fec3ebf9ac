"""Topics that are created and checked at start, before anything is read or written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from msgspec.structs import replace

from liveroom.config.schema import Config, JournalConfig
from liveroom.journal.kafka import topics as kafka_topics
from liveroom.journal.kafka.journal import KafkaJournal
from liveroom.messages.errors import JournalMismatch, JournalUnavailable
from liveroom.telemetry.metrics import Metrics
from tests.broker import kafka_config
from tests.serving import free_port

JOURNAL = JournalConfig(partitions=2)
DAY_MS = 86_400_000


@asynccontextmanager
async def admin_of(config: Config) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=list(config.kafka.bootstrap_servers))
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def made(config: Config, name: str, **settings: str) -> None:
    """A topic that somebody made before, with these settings instead of what they should be."""
    right = {"retention.ms": "-1", "min.insync.replicas": "1", "max.message.bytes": "20971520"}
    configs = right | {setting.replace("_", "."): value for setting, value in settings.items()}
    async with admin_of(config) as admin:
        await admin.create_topics([NewTopic(f"{config.kafka.topic_prefix}.{name}", JOURNAL.partitions, 1, topic_configs=configs)])


async def opens(config: Config) -> None:
    await (await KafkaJournal.open(config, Metrics(), "test")).close()


@pytest.mark.parametrize(
    ("wrong", "words", "allowed"),
    [
        (
            {"retention_ms": str(7 * DAY_MS)},
            r"retention.ms=604800000 deletes events, the settings say -1 \(kafka.events_retention_h\)",
            {"events_retention_h": 168},
        ),
        ({"retention_bytes": "1000000"}, r"retention.bytes=1000000 deletes events", {"events_retention_h": 168}),
        ({"unclean_leader_election_enable": "true"}, r"unclean.leader.election.enable=true", {"allow_unclean_elections": True}),
    ],
    ids=["time", "bytes", "unclean"],
)
async def test_a_topic_of_events_that_loses_some_is_refused(wrong: dict[str, str], words: str, allowed: dict[str, object]) -> None:
    """It is the account book. The error says what may be lost, and names the setting that accepts it."""
    config = kafka_config(JOURNAL)
    await made(config, "events", **wrong)
    with pytest.raises(JournalMismatch, match=rf"events may lose acknowledged outcomes: .*{words}"):
        await opens(config)
    await opens(replace(config, kafka=replace(config.kafka, **allowed)))


async def test_fewer_copies_than_the_settings_say_are_refused() -> None:
    """A topic that was made for a trial, with one copy, is not taken for one with three."""
    config = kafka_config(JOURNAL)
    await made(config, "events")
    words = r"have 1 copies, the settings say 3 \(kafka.replication_factor\); min.insync.replicas=1, the settings say 2 \(kafka.min_insync_replicas\)"
    three = replace(config, kafka=replace(config.kafka, replication_factor=3, min_insync_replicas=2))
    with pytest.raises(JournalMismatch, match=words):
        kafka_topics._check_loss("t.events", {"min.insync.replicas": "1"}, 1, kafka_topics.Topics.of("t"), three.kafka)
    await opens(config)


async def test_other_topics_that_may_lose_records_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """Their records were never promised or can be made again, so a warning with the topic's name is enough."""
    config = kafka_config(JOURNAL)
    await made(config, "commands", unclean_leader_election_enable="true")
    with caplog.at_level(logging.WARNING):
        await opens(config)
    (told,) = [one for one in caplog.records if one.message == "a topic may lose records"]
    assert told.__dict__["topic"].endswith(".commands")
    assert "unclean.leader.election.enable=true" in told.__dict__["reason"]


async def test_topics_that_are_made_lose_nothing() -> None:
    """Whatever the brokers' own defaults are: no time, no size and no unclean election takes events away."""
    config = kafka_config(JOURNAL)
    await opens(config)
    async with admin_of(config) as admin:
        (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, f"{config.kafka.topic_prefix}.events")])
    configs = {entry[0]: entry[1] for entry in response.resources[0][4]}
    wanted = {"retention.ms": "-1", "retention.bytes": "-1", "unclean.leader.election.enable": "false", "min.insync.replicas": "1"}
    assert {name: configs[name] for name in wanted} == wanted


async def test_brokers_that_are_not_there_yet_are_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """A process that starts before its brokers says so and goes on when they answer; within the bound, and no longer."""
    config = kafka_config(JOURNAL, start_wait_ms=30_000)
    host, _, real = config.kafka.bootstrap_servers[0].rpartition(":")
    port = free_port()
    early = replace(config, kafka=replace(config.kafka, bootstrap_servers=(f"127.0.0.1:{port}",)))

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection(host, int(real))

        async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
            sink.close()

        await asyncio.gather(carry(reader, other_writer), carry(other_reader, writer), return_exceptions=True)

    with caplog.at_level(logging.WARNING):
        opening = asyncio.create_task(opens(early))
        while not any(one.message == "Kafka is not ready; waiting for it" for one in caplog.records):
            await asyncio.sleep(0.01)
        async with asyncio.timeout(60), await asyncio.start_server(passed_on, "127.0.0.1", port):
            await opening
    with pytest.raises(JournalUnavailable, match=r"no Kafka broker answers at 127.0.0.1:1 \(kafka.bootstrap_servers\)"):
        await opens(replace(config, kafka=replace(config.kafka, bootstrap_servers=("127.0.0.1:1",), start_wait_ms=0)))


async def test_a_new_topic_that_shows_no_partitions_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers say that a topic was made before all of them know it."""
    config = kafka_config(JOURNAL, start_wait_ms=30_000)
    ask, asked = kafka_topics._partitions, 0

    async def partitions(*arguments: object) -> dict[str, list[int]]:
        nonlocal asked
        asked += 1
        found: dict[str, list[int]] = await ask(*arguments)  # type: ignore[arg-type]
        return {name: [] for name in found} if asked == 2 else found

    monkeypatch.setattr(kafka_topics, "_partitions", partitions)
    await opens(config)
    assert asked > 2
