"""Three Kafka brokers under a server with viewers, and what a cluster outlives that one broker cannot: one of them hangs, dies or is replaced."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from liveroom.journal.partition import partition_of
from liveroom.messages.fields import Role
from loadtests.lib.broker import OwnBrokers
from tests.broker import BROKER, can_start_broker
from tests.e2e.viewer import Viewer, enter
from tests.serving import Server, unheard

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


def flags(brokers: OwnBrokers, prefix: str, copies: int = 3) -> tuple[str, ...]:
    return (
        *("--journal-kind", "kafka", "--kafka-bootstrap-servers", brokers.address, "--kafka-topic-prefix", prefix),
        *("--kafka-replication-factor", str(copies), "--kafka-min-insync-replicas", str(copies - 1)),
        *("--kafka-session-ms", "2000", "--gateway-reply-wait-ms", str(REPLY_WAIT_MS), "--console-reply-wait-ms", str(REPLY_WAIT_MS)),
    )


async def opened(server: Server) -> None:
    """Brokers that have just begun may take longer than is waited for here."""
    async with asyncio.timeout(BACK_S):
        while (await server.command(ROOM, "open_room", {"title": "Lamps"}))["http_status"] not in (200, 409):
            await asyncio.sleep(AGAIN_S)


@asynccontextmanager
async def enter_when_open(server: Server) -> AsyncIterator[Viewer]:
    await opened(server)
    async with enter(server, ROOM, "vera", Role.moderator) as viewer:  # a role that may send more at once
        yield viewer


async def status(server: Server) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{server.console_url}/readyz") as response:
        return response.status


async def until_stopped(server: Server) -> str:
    """Until the server says that it has stopped, and that something was lost; gives its words."""
    async with asyncio.timeout(BACK_S), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{server.console_url}/readyz") as response:
                answer = await response.json(content_type=None) if response.status == 503 else {}
            if answer.get("code") == "stopped" and "was lost" in answer["detail"]:
                return str(answer["detail"])
            await asyncio.sleep(AGAIN_S)


async def force_elections(brokers: OwnBrokers) -> None:
    """Force unclean elections with Kafka's own tool, to get the rooms back at any price."""
    tool = ("org.apache.kafka.tools.LeaderElectionCommand", "--election-type", "unclean", "--all-topic-partitions")
    address = next(one for one in brokers.address.split(",") if answers(one))
    command = ("java", "-cp", str(BROKER.parent / "lib" / "*"), *tool, "--bootstrap-server", address)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    words, _ = await asyncio.wait_for(process.communicate(), BACK_S)
    assert process.returncode == 0, words.decode()


def answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


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


async def test_a_server_starts_while_a_broker_is_away(brokers: OwnBrokers, tmp_path: Path) -> None:
    """The start goes on with the other brokers if one is down or hangs, with existing topics and with topics to create."""
    server = Server(tmp_path / "data", *flags(brokers, "away"))
    await brokers.stop(2)
    try:
        async with server:
            await opened(server)
    finally:
        await brokers.start(2)
    brokers.pause(3)
    try:
        async with server, enter(server, ROOM, "vera") as viewer:
            await until_decided(viewer, "with two brokers")
    finally:
        brokers.resume(3)


async def test_an_election_that_loses_what_was_promised_is_not_gone_along_with(brokers: OwnBrokers, tmp_path: Path) -> None:
    """A follower was away while lines were accepted. It may not lead; forced to, the server stops with words, until a person gives the lines up."""
    partition, topic = partition_of(ROOM, PARTITIONS), "unclean.events"
    settings = (*flags(brokers, "unclean", copies=2), "--kafka-start-wait-ms", "120000")
    async with Server(tmp_path / "data", *settings) as server, enter_when_open(server) as viewer:
        await until_decided(viewer, "before")
        copies = await brokers.copies(topic, partition)
        leader, (behind,) = copies.leader, copies.followers
        await brokers.kill(behind)
        for number in range(7):
            await until_decided(viewer, f"promised {number}")
        await brokers.kill(leader)
        await brokers.start(behind)
        async with asyncio.timeout(BACK_S):
            while (await brokers.copies(topic, partition)).leader != -1:
                await asyncio.sleep(AGAIN_S)
        assert (await viewer.ask("send_chat", "refused", text="refused"))["code"] == "unavailable"
        assert (await brokers.copies(topic, partition)).leader == -1, "who lacks what was confirmed does not lead by itself"

        await force_elections(brokers)
        words = await until_stopped(server)
        assert f"partition {partition} cannot be recovered" in words
        (given_up,) = re.findall(rf"kafka.events_lost = ({partition}:[0-9]+-[0-9]+)", words)[:1]
        reply = await viewer.ask("send_chat", "before", text="before")
        assert (reply["type"], reply["code"]) == ("refused", "unavailable"), reply
        seen = [event["text"] for event in viewer.events if event["type"] == "chat_sent"]
        assert seen == ["before", *(f"promised {number}" for number in range(7))], "nobody is told another story"
        cursor = (viewer.keyframe["stream_id"], viewer.cursor)
        assert unheard(server) == []
    await brokers.start(leader)
    async with Server(tmp_path / "data", *settings, "--kafka-events-lost", given_up) as server, enter_when_open(server) as viewer:
        for number in range(9):  # the room grows beyond the seq up to which viewers have seen another history
            await until_decided(viewer, f"after it {number}")
        await viewer.until(lambda: viewer.cursor >= cursor[1])
        assert await status(server) == 200
        async with enter(server, ROOM, "victor", cursor=cursor) as back:
            assert [frame["type"] for frame in back.others] == ["skipped"], "a cursor of what was lost begins again with a keyframe"
            assert back.keyframe["stream_id"] != cursor[0]
            assert back.keyframe["stream_id"] == viewer.keyframe["stream_id"]


async def test_a_broker_that_dies_leaves_no_error_that_nobody_looked_at(brokers: OwnBrokers, tmp_path: Path) -> None:
    """Each leader is killed once and comes back: every request under way to it fails, and each failure is looked at."""
    topic, partition = "dies.events", partition_of(ROOM, PARTITIONS)
    async with Server(tmp_path / "data", *flags(brokers, "dies")) as server:
        async with enter_when_open(server) as viewer:
            for number in range(3):
                await until_decided(viewer, f"before {number}")
                leader = (await brokers.copies(topic, partition)).leader
                await brokers.kill(leader)
                await until_decided(viewer, f"without it {number}")
                await brokers.start(leader)
        assert await server.stop() == 0
    assert unheard(server) == []
