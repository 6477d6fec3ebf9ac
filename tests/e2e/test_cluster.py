"""Engines, gateways and a console as processes of their own on a real Kafka broker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
import websockets

from liveroom.auth.tokens import make_token
from liveroom.client import Room, RoomEvent, connect
from liveroom.config.schema import AuthConfig, JournalConfig
from liveroom.features.chat.messages import ChatSent, SendChat
from liveroom.messages.fields import Role
from liveroom.protocol.frames import Accepted
from tests.broker import kafka_config
from tests.serving import free_port

pytestmark = [pytest.mark.journal("kafka", "the embedded journal is for one process"), pytest.mark.asyncio(loop_scope="module")]

START_S = 60
ANSWER_S = 30


class Cluster:
    """Two engines, two gateways on one port, a console; each can be killed and started again."""

    def __init__(self, data_dir: Path) -> None:
        kafka = kafka_config(JournalConfig()).kafka
        self._data_dir = data_dir
        self._gateway_port, self._console_port = free_port(), free_port()
        self._flags = (
            *("--mode", "dev", "--data-dir", str(data_dir), "--journal-kind", "kafka", "--ops-port", "0"),
            *("--kafka-bootstrap-servers", ",".join(kafka.bootstrap_servers), "--kafka-topic-prefix", kafka.topic_prefix),
            *("--kafka-replication-factor", "1", "--kafka-min-insync-replicas", "1", "--kafka-session-ms", "1000"),
            *("--gateway-port", str(self._gateway_port), "--gateway-share-port", "true", "--console-port", str(self._console_port)),
            *("--rooms-audience-expiry-ms", "5000", "--gateway-audience-repeat-ms", "1000", "--gateway-audience-report-ms", "200"),
        )
        self.gateway_url = f"ws://127.0.0.1:{self._gateway_port}"
        self.console_url = f"http://127.0.0.1:{self._console_port}"
        self.processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str) -> dict[str, Any]:
        """Start the process `name`, such as engine-1; returns what it wrote when it was ready."""
        ready_file = self._data_dir.parent / f"{name}.ready"
        ready_file.unlink(missing_ok=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LIVEROOM_")}
        part = name.partition("-")[0]
        with (self._data_dir.parent / f"{name}.log").open("ab") as log:
            self.processes[name] = process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "liveroom", part, *self._flags, "--ready-file", str(ready_file)), stdout=log, stderr=log, env=environment
            )
        async with asyncio.timeout(START_S):
            while not ready_file.exists():
                assert process.returncode is None, (self._data_dir.parent / f"{name}.log").read_text()[-2000:]
                await asyncio.sleep(0.02)
        ready: dict[str, Any] = orjson.loads(ready_file.read_bytes())
        return ready

    async def kill(self, name: str) -> None:
        """SIGKILL."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()

    async def room(self) -> dict[str, Any]:
        """The room as the console's directory has it."""
        async with aiohttp.ClientSession() as session:
            headers = {"Authorization": f"Bearer {self.token('anna', Role.anchor)}"}
            async with session.get(f"{self.console_url}/v1/rooms/demo", headers=headers) as response:
                answer: dict[str, Any] = orjson.loads(await response.read())
                return answer

    def token(self, user: str, role: Role = Role.viewer) -> str:
        """A token for the room `demo`."""
        secret = (self._data_dir / "dev-secret").read_text()
        return make_token(secret, AuthConfig(), user=user, room="demo", role=role, lifetime_s=3_600)

    async def command(self, command: str, body: dict[str, Any], role: Role = Role.anchor) -> dict[str, Any]:
        """One command over HTTP."""
        url, headers = f"{self.console_url}/v1/rooms/demo/commands/{command}", {"Authorization": f"Bearer {self.token('anna', role)}"}
        async with aiohttp.ClientSession() as session, session.post(url, data=orjson.dumps(body), headers=headers) as response:
            answer: dict[str, Any] = orjson.loads(await response.read())
            return answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster") / "data")
    await cluster.start("engine-1")  # the first one makes the secret and the topics
    await asyncio.gather(*(cluster.start(name) for name in ("engine-2", "gateway-1", "gateway-2", "console")))
    yield cluster
    for name in list(cluster.processes):
        await cluster.kill(name)


async def said(room: Room, texts: set[str]) -> list[str]:
    """The lines that the viewer sees, until all of `texts` were there."""
    seen: list[str] = []
    async with asyncio.timeout(ANSWER_S):
        async for item in room:
            if isinstance(item, RoomEvent) and isinstance(item.event, ChatSent):
                seen.append(item.event.text)
                if texts <= set(seen):
                    return seen
    return seen


async def test_a_room_outlives_its_engine_and_its_gateways(cluster: Cluster) -> None:
    """Viewers at two gateways share a room; killing the engines one after the other and a gateway loses and doubles nothing."""
    assert "id" in await cluster.command("open_room", {"title": "Lamps"})
    async with contextlib.AsyncExitStack() as stack:
        rooms = [await stack.enter_async_context(connect(cluster.gateway_url, "demo", cluster.token(f"user-{n}"))) for n in range(6)]
        watching = [asyncio.create_task(said(room, {f"line {n}" for n in range(6)})) for room in rooms]
        for n, room in enumerate(rooms):
            if n in (2, 4):
                victim = "engine-1" if n == 2 else "engine-2"
                await cluster.kill(victim)
                await cluster.start(victim)
            if n == 3:
                await cluster.kill("gateway-1")
                await cluster.start("gateway-1")
            reply = await asyncio.wait_for(room.send(SendChat(f"line {n}")), ANSWER_S)
            assert isinstance(reply, Accepted), reply
        for seen in await asyncio.gather(*watching):
            assert seen == [f"line {n}" for n in range(6)]


async def test_every_process_can_be_asked_how_it_is(cluster: Cluster) -> None:
    """Processes without a console answer `/livez`, `/readyz` and `/metrics` at their ops address."""
    await cluster.kill("engine-2")
    ready = await cluster.start("engine-2")
    async with aiohttp.ClientSession() as session:
        for path, words in (("livez", "alive"), ("readyz", "ready"), ("metrics", "liveroom_engine_partitions")):
            async with session.get(f"{ready['console']}/{path}") as response:
                assert response.status == 200
                assert words in await response.text()


async def test_a_gateway_that_died_leaves_nothing_behind(cluster: Cluster) -> None:
    """Its viewers are counted no more after a while, those of the other gateway all the time; nobody is left in the room's count."""
    await cluster.command("open_room", {"title": "Lamps"})
    async with contextlib.AsyncExitStack() as stack:
        url = f"{cluster.gateway_url}/v1/rooms/demo"
        urls = [f"{url}?token={cluster.token(f'user-{n}')}" for n in range(8)]
        # Frames that nobody takes wait without limit: a full queue would hold up the answers to pings, too.
        sockets = [await stack.enter_async_context(websockets.connect(url, max_queue=None)) for url in urls]
        await until_counted(cluster, 8)
        await cluster.kill("gateway-1")
        left = [socket for socket in sockets if await holds(socket)]
        await until_counted(cluster, len(left))
        assert [await holds(socket) for socket in left] == [True] * len(left)
    await until_counted(cluster, 0)


async def holds(socket: websockets.ClientConnection) -> bool:
    """Whether a connection is still there."""
    try:
        await asyncio.wait_for(await socket.ping(), ANSWER_S)
    except websockets.ConnectionClosed:
        return False
    return True


async def until_counted(cluster: Cluster, viewers: int) -> None:
    async with asyncio.timeout(ANSWER_S):
        while (await cluster.room()).get("viewers", 0) != viewers:
            await asyncio.sleep(0.1)
