"""A Kafka broker stalls, dies and comes back under a server with viewers: they get notice, and everything goes on by itself."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition

from liveroom.journal.partition import partition_of
from liveroom.messages.fields import Role
from loadtests.lib.broker import OwnBrokers
from tests.broker import can_start_broker
from tests.e2e.viewer import WAIT_S, Viewer, enter
from tests.serving import Server, unheard

pytestmark = pytest.mark.journal("kafka", "it is about the broker")

ROOM = "demo"
REPLY_WAIT_S = 2
#: Pause between two lines of who talks all the time.
TALK_S = 0.15
#: How much later than its bound a refusal may come on a busy machine.
LATE_S = 5


@pytest_asyncio.fixture
async def own_broker(tmp_path: Path) -> AsyncIterator[OwnBrokers]:
    can_start_broker()
    own = OwnBrokers(tmp_path / "kafka")
    await own.start()
    yield own
    await own.kill()


async def status(server: Server, path: str) -> int:
    """The answer of `/readyz` and the like."""
    async with aiohttp.ClientSession() as session, session.get(server.console_url + path) as response:
        return response.status


async def until_status(server: Server, path: str, wanted: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while await status(server, path) != wanted:
            await asyncio.sleep(0.05)


async def until_told(viewer: Viewer, *, interrupted: bool) -> None:
    """Until the viewer knows whether its room is interrupted."""

    def knows() -> bool:
        told = [frame for frame in viewer.others if frame["type"] == "interruption"]
        return bool(told and "over" not in told[-1]) == interrupted

    await viewer.until(knows)


async def until_said(viewer: Viewer, words: str) -> None:
    await viewer.until(lambda: any(event.get("text") == words for event in viewer.events))


async def outage(server: Server, viewers: list[Viewer]) -> None:
    """While the broker is away, viewers get notice, commands are refused with a code in time, and readiness says no."""
    await asyncio.gather(*(until_told(viewer, interrupted=True) for viewer in viewers))
    began = time.monotonic()
    answers: list[dict[str, Any]] = await asyncio.gather(
        *(viewer.ask("send_chat", text="lost?") for viewer in viewers), server.command(ROOM, "set_announcement", {"text": "lost?"})
    )
    assert time.monotonic() - began < REPLY_WAIT_S + LATE_S
    assert {answer["code"] for answer in answers} == {"unavailable"}, answers
    assert answers[-1]["http_status"] == 503
    await until_status(server, "/readyz", 503)


async def back(server: Server, viewers: list[Viewer], words: str) -> None:
    """After the outage, viewers get notice, the server is ready again, and a line reaches everybody."""
    await asyncio.gather(*(until_told(viewer, interrupted=False) for viewer in viewers))
    await viewers[0].do("send_chat", text=words)
    for viewer in viewers:
        await until_said(viewer, words)
    await until_status(server, "/readyz", 200)


class Talker:
    """Says a line every now and then, whatever becomes of it."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._asked: list[asyncio.Task[dict[str, Any]]] = []
        self._talking = asyncio.create_task(self._talk())

    async def _talk(self) -> None:
        while True:
            self._asked.append(asyncio.create_task(self._viewer.ask("send_chat", text=f"talk {len(self._asked)}")))
            await asyncio.sleep(TALK_S)

    async def outcomes(self) -> dict[str, dict[str, Any]]:
        """End; the reply to each line."""
        self._talking.cancel()
        return {f"talk {n}": await asked for n, asked in enumerate(self._asked)}


def check_talk(outcomes: dict[str, dict[str, Any]], viewer: Viewer) -> None:
    """Accepted lines were seen once, unless the chat budget hid them. Refused lines were seen at most once, and only since the outage."""
    seen = Counter(event["text"] for event in viewer.events if event["type"] == "chat_sent")
    assert {reply.get("code", "") for reply in outcomes.values()} <= {"", "unavailable", "overloaded"}
    shown = [text for text, reply in outcomes.items() if reply["type"] == "accepted" and reply.get("result", {}).get("shown", True)]
    assert [text for text in shown if seen[text] != 1] == []
    assert max(seen.values()) == 1


async def run(*words: str) -> asyncio.subprocess.Process:
    """A command of `liveroom` that reads the past."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "liveroom", *words, stdout=pipe, stderr=pipe)


async def published(broker: OwnBrokers, prefix: str, last: str) -> list[int]:
    """The room's seqs in the public feed, each the first time that it stands there, up to the line `last`."""
    source = TopicPartition(f"{prefix}.feed", partition_of(ROOM, 4))
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.address)
    await consumer.start()
    try:
        consumer.assign([source])
        await consumer.seek_to_beginning(source)
        seqs: dict[int, None] = {}
        async with asyncio.timeout(WAIT_S):
            while True:
                event = orjson.loads((await consumer.getone()).value or b"")
                seqs[event["seq"]] = None
                if event.get("text") == last:
                    return list(seqs)
    finally:
        await consumer.stop()


async def test_viewers_outlive_the_broker(own_broker: OwnBrokers, tmp_path: Path) -> None:
    """A broker that stalls, or is killed and started again, costs no viewer the connection, an event or an answer. Readers of the past get errors."""
    flags = (
        *("--journal-kind", "kafka", "--kafka-bootstrap-servers", own_broker.address, "--kafka-topic-prefix", "outage"),
        *("--kafka-replication-factor", "1", "--kafka-min-insync-replicas", "1", "--kafka-session-ms", "1000", "--kafka-write-wait-ms", "1000"),
        *("--gateway-reply-wait-ms", str(REPLY_WAIT_S * 1000), "--console-reply-wait-ms", str(REPLY_WAIT_S * 1000)),
        *("--gateway-interruption-ms", "1000"),
    )
    async with Server(tmp_path / "data", *flags) as server, AsyncExitStack() as stack:
        async with asyncio.timeout(WAIT_S):  # a broker that has just begun may take longer than is waited for here
            while (await server.command(ROOM, "open_room", {"title": "Lamps"}))["http_status"] not in (200, 409):
                pass
        viewers = [await stack.enter_async_context(enter(server, ROOM, f"user-{n}")) for n in range(5)]
        await back(server, viewers, "before")

        talker = Talker(await stack.enter_async_context(enter(server, ROOM, "talker", Role.moderator)))

        past = ("--journal-kind", "kafka", "--kafka-bootstrap-servers", own_broker.address, "--kafka-topic-prefix", "outage")
        follows = await run("tail", ROOM, "--follow", *past)
        assert follows.stdout
        await follows.stdout.readline()
        own_broker.pause()
        audits = await run("audit", *past)
        await outage(server, viewers)
        for reader, words in ((follows, b"was not answered within"), (audits, b"no Kafka broker answers")):
            _, told = await asyncio.wait_for(reader.communicate(), WAIT_S)
            assert (reader.returncode, told.count(b"\n"), words in told) == (1, 1, True), told
        own_broker.resume()
        await back(server, viewers, "after it stalled")

        await own_broker.kill()
        await outage(server, viewers)
        await own_broker.start()
        await back(server, viewers, "after it died")

        outcomes = await talker.outcomes()
        await viewers[0].do("send_chat", text="the end")
        await until_said(viewers[0], "the end")
        check_talk(outcomes, viewers[0])
        assert all(frame["type"] != "skipped" for viewer in viewers for frame in viewer.others)
        seqs = await published(own_broker, "outage", "the end")
        assert seqs == list(range(len(seqs))), seqs
        assert unheard(server) == []
