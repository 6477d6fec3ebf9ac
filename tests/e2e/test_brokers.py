"""Three Kafka brokers under a server with viewers, and what a cluster outlives that one broker cannot: one of them hangs, dies or is replaced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from liveroom.journal.partition import partition_of
from loadtests.broker import OwnBrokers
from tests.broker import can_start_broker
from tests.e2e.viewer import Viewer, enter
from tests.serving import Server

pytestmark = [pytest.mark.journal("kafka", "it is about brokers"), pytest.mark.asyncio(loop_scope="module")]

ROOM = "demo"
PARTITIONS = 4
#: Time for commands to be decided again after a broker has hung or died: about ten seconds on a quiet machine. The client's own metadata is refreshed
#: after 300 s.
BACK_S = 90.0
AGAIN_S = 0.2
REPLY_WAIT_MS = 1_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def brokers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnBrokers]:
    can_start_broker()
    own = OwnBrokers(tmp_path_factory.mktemp("brokers") / "kafka", count=3)
    await own.start()
    yield own
    await own.kill()


def flags(brokers: OwnBrokers, prefix: str) -> tuple[str, ...]:
    return (
        *("--journal-kind", "kafka", "--kafka-bootstrap-servers", brokers.address, "--kafka-topic-prefix", prefix),
        *("--kafka-replication-factor", "3", "--kafka-min-insync-replicas", "2"),
        *("--kafka-session-ms", "2000", "--gateway-reply-wait-ms", str(REPLY_WAIT_MS), "--console-reply-wait-ms", str(REPLY_WAIT_MS)),
    )


async def opened(server: Server) -> None:
    """Brokers that have just begun may take longer than is waited for here."""
    async with asyncio.timeout(BACK_S):
        while (await server.command(ROOM, "open_room", {"title": "Lamps"}))["http_status"] not in (200, 409):
            await asyncio.sleep(AGAIN_S)


async def until_decided(viewer: Viewer, words: str) -> None:
    """Ask until a line is accepted, each time with the same id."""
    async with asyncio.timeout(BACK_S):
        while (reply := await viewer.ask("send_chat", words.replace(" ", "-"), text=words))["type"] != "accepted":
            assert reply["code"] in ("unavailable", "overloaded"), reply
            await asyncio.sleep(AGAIN_S)


async def test_a_broker_that_hangs_silences_rooms_no_longer_than_its_cluster(brokers: OwnBrokers, tmp_path: Path) -> None:
    """A partition's leader keeps its connections and answers nothing: once the cluster has chosen another one, the room goes on."""
    topic = "hangs.events"
    async with Server(tmp_path / "data", *flags(brokers, "hangs")) as server:
        await opened(server)
        async with enter(server, ROOM, "vera") as viewer:
            await until_decided(viewer, "before")
            leader = (await brokers.copies(topic, partition_of(ROOM, PARTITIONS))).leader
            brokers.pause(leader)
            try:
                await until_decided(viewer, "while it hangs")
            finally:
                brokers.resume(leader)
            await until_decided(viewer, "after")
