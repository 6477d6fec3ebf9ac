"""Membership in a group of engines or publishers, on a real broker."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from aiokafka.conn import AIOKafkaConnection

from liveroom.config.schema import JournalConfig
from liveroom.journal.kafka.client import KafkaCluster
from liveroom.journal.kafka.group import assignments
from liveroom.journal.kafka.journal import KafkaJournal
from liveroom.telemetry.metrics import Metrics
from tests.broker import kafka_config

WAIT_S = 30


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_member_that_is_given_up_while_it_connects_leaves_no_connection_open(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of its first connections has just been made, and nobody has it yet: it is closed with the rest."""
    connections: list[AIOKafkaConnection] = []
    connect, reached = AIOKafkaConnection.connect, asyncio.Event()

    async def slowly(connection: AIOKafkaConnection) -> object:
        protocol = await connect(connection)
        connections.append(connection)
        if len(connections) == number:
            reached.set()
            await asyncio.sleep(0.1)
        return protocol

    config = kafka_config(JournalConfig(partitions=2), session_ms=1_000)
    journal = await KafkaJournal.open(config, Metrics(), "test")  # makes the topics
    await journal.close()
    monkeypatch.setattr(AIOKafkaConnection, "connect", slowly)
    cluster = KafkaCluster(config.kafka, "member")

    async def follow() -> None:
        async with aclosing(assignments(cluster, "group", f"{config.kafka.topic_prefix}.events", Metrics())) as changes:
            async for _ in changes:
                pass

    following = asyncio.create_task(follow())
    async with asyncio.timeout(WAIT_S):
        await reached.wait()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await cluster.close()
    assert len(connections) >= number
    assert not any(connection.connected() for connection in connections)
