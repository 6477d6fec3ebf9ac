"""Viewers in worker processes: what survives the death of a worker, and of the process with the journal."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from liveroom.accounting.audit import audit
from liveroom.messages.fields import Role
from tests.serving import Server

pytestmark = pytest.mark.journal("workers", "they belong to an embedded journal")

ROOM = "demo"
VIEWERS = 24
WAIT_S = 30
#: Viewers of a dead worker are back within this time. The clients here wait for nothing before they connect again.
BACK_S = 5.0

Object = dict[str, Any]


class Watcher:
    """A viewer who connects again whenever the connection is lost, and resumes. `events` are those of the room, by seq."""

    def __init__(self, server: Server, number: int) -> None:
        self._server = server
        self.user = f"viewer-{number}"
        self._path = f"{server.gateway_url}/v1/rooms/{ROOM}?token={server.token(ROOM, self.user)}"
        self.stream_id, self.cursor = "", -1
        self.events: dict[int, Object] = {}
        self.replies: dict[str, list[Object]] = {}
        self.starts: list[bool] = []  # whether it resumed, for each connection
        self.interruptions: list[int] = []  # their begins; 0 is an end
        self.ends = 0
        self.log: list[str] = []
        self.back_s = 0.0  # the longest time without a connection
        self._connection: ClientConnection | None = None
        self.news = asyncio.Event()

    async def watch(self) -> None:
        lost_at = 0.0
        while True:
            resume = f"&stream_id={self.stream_id}&seq={self.cursor}" if self.stream_id else ""
            try:
                async with websockets.connect(self._path + resume, open_timeout=WAIT_S) as self._connection:
                    async for text in self._connection:
                        if orjson.loads(text)["type"] == "joined" and lost_at:
                            self.back_s = max(self.back_s, time.monotonic() - lost_at)
                        self._take(orjson.loads(text))
                        self.news.set()
            except (OSError, websockets.WebSocketException):
                pass
            if self._connection is not None:
                self.ends, lost_at, self._connection = self.ends + 1, time.monotonic(), None
            await asyncio.sleep(0.05)

    def _take(self, frame: Object) -> None:
        self.log.append(str({k: v for k, v in frame.items() if k in ("type", "from", "to", "seq", "resumed", "since_ms")}))
        match frame["type"]:
            case "joined":
                self.starts.append(frame["resumed"])
                self.stream_id = frame["stream_id"]
                self.cursor = frame["seq"] if self.cursor < 0 or not frame["resumed"] else self.cursor
            case "delta":
                assert frame["from"] <= self.cursor, f"a gap: at {self.cursor}, the delta begins at {frame['from']}"
                self.events |= {event["seq"]: event for event in frame["events"]}
                self.cursor = max(self.cursor, frame["to"])
            case "interruption":
                self.interruptions.append(0 if frame.get("over") else frame["since_ms"])
            case "accepted" | "refused":
                self.replies.setdefault(frame["id"], []).append(frame)

    async def ask(self, command_id: str, command: str, **fields: Any) -> Object:
        """Send a command until it has a final answer, with the same id each time."""
        text = orjson.dumps({"id": command_id, "command": {"type": command, **fields}}).decode()
        async with asyncio.timeout(WAIT_S):
            while True:
                sent = len(self.replies.get(command_id, []))
                try:
                    assert self._connection is not None
                    await self._connection.send(text)
                    async with asyncio.timeout(3):
                        while len(self.replies.get(command_id, [])) == sent:
                            self.news.clear()
                            await self.news.wait()
                    if self.replies[command_id][-1].get("code") not in ("unavailable", "overloaded"):
                        return self.replies[command_id][-1]
                except (AssertionError, TimeoutError, websockets.WebSocketException):
                    pass
                await asyncio.sleep(0.1)

    async def until(self, true: Any) -> None:
        async with asyncio.timeout(WAIT_S):
            while not true():
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def watchers(server: Server) -> AsyncIterator[list[Watcher]]:
    watching = [Watcher(server, number) for number in range(VIEWERS)]
    tasks = [asyncio.create_task(watcher.watch()) for watcher in watching]
    try:
        async with asyncio.timeout(WAIT_S):
            while not all(watcher.starts for watcher in watching):
                await asyncio.sleep(0.02)
        yield watching
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def open_sale(server: Server) -> int:
    await server.command(ROOM, "open_room", {"title": "Autumn silk"})
    await server.command(ROOM, "add_product", {"product": {"id": "silk", "title": "Silk", "price_fen": 900}})
    sale = {"product": "silk", "price_fen": 500, "stock": VIEWERS, "per_user_max": 1, "opens_in_ms": 0, "hold_ms": 600_000}
    answer = await server.command(ROOM, "announce_flash_sale", sale)
    number: int = answer["result"]["sale"]
    return number


async def say(server: Server, text: str) -> int:
    """An announcement, which every viewer must get; gives its seq."""
    answer = await server.command(ROOM, "set_announcement", {"text": text})
    assert answer["http_status"] == 200, answer
    seq: int = answer["seq"]
    return seq - 1  # the reply names the seq after the event


def audited(server: Server) -> None:
    for partition in audit(server.config):
        assert partition.rooms is not None


async def test_a_killed_workers_viewers_are_back_through_the_others(tmp_path: Path) -> None:
    """They are back within seconds, resume where they were, miss nothing, and each unit is held once. The worker is started again."""
    async with Server(tmp_path / "data") as server:
        sale = await open_sale(server)
        async with watchers(server) as watching:
            seqs = [await say(server, f"before {number}") for number in range(5)]
            victim = server.worker_pids[0]
            asking = [asyncio.create_task(watcher.ask(f"buy-{watcher.user}", "reserve_stock", sale=sale, quantity=1)) for watcher in watching]
            os.kill(victim, signal.SIGKILL)
            seqs += [await say(server, f"after {number}") for number in range(5)]
            answers = await asyncio.gather(*asking)
            assert [answer["type"] for answer in answers] == ["accepted"] * VIEWERS
            assert len({answer["result"]["hold"] for answer in answers}) == VIEWERS
            for watcher in watching:
                await watcher.until(lambda watcher=watcher: watcher.cursor > seqs[-1])
                assert all(watcher.starts[1:]), f"{watcher.user} came back and did not resume: {watcher.starts}"
                assert set(seqs) <= watcher.events.keys(), f"{watcher.user} lacks {set(seqs) - watcher.events.keys()}: {watcher.log}"
            lost = [watcher for watcher in watching if watcher.ends]
            assert 0 < len(lost) < VIEWERS, "the kernel gives each worker some of the viewers"
            assert max(watcher.back_s for watcher in lost) < BACK_S
            async with asyncio.timeout(WAIT_S):
                while len(server.worker_pids) < 2 or victim in server.worker_pids:
                    await asyncio.sleep(0.1)
        await server.stop()
        audited(server)


async def test_workers_keep_their_viewers_while_the_main_process_is_away(tmp_path: Path) -> None:
    """Viewers keep their connections and learn of the interruption; with the next main process all goes on, and nothing is lost or doubled."""
    async with Server(tmp_path / "data", "--gateway-interruption-ms", "500") as server:
        sale = await open_sale(server)
        async with watchers(server) as watching:
            seqs = [await say(server, "before")]
            first = await watching[0].ask("buy-0", "reserve_stock", sale=sale, quantity=1)
            pids = server.worker_pids
            await server.kill()
            for watcher in watching:
                await watcher.until(lambda watcher=watcher: watcher.interruptions and watcher.interruptions[-1] > 0)
            asking = [asyncio.create_task(watcher.ask("buy-1", "reserve_stock", sale=sale, quantity=1)) for watcher in watching[1:]]
            await server.start()
            assert server.worker_pids == pids, "the new main process keeps the workers that live"
            answers = await asyncio.gather(*asking)
            assert [answer["type"] for answer in answers] == ["accepted"] * (VIEWERS - 1)
            again = await watching[0].ask("buy-0", "reserve_stock", sale=sale, quantity=1)
            assert again["result"] == first["result"]
            seqs.append(await say(server, "after"))
            for watcher in watching:
                await watcher.until(lambda watcher=watcher: watcher.cursor > seqs[-1] and watcher.interruptions[-1] == 0)
                assert set(seqs) <= watcher.events.keys()
                assert watcher.ends == 0, "a connection was lost"
        await server.stop()
        audited(server)


async def test_a_worker_that_stands_still_hurts_no_other(tmp_path: Path) -> None:
    """While one worker is stopped, viewers of the other get everything; afterwards the first catches up without a loss."""
    async with Server(tmp_path / "data") as server:
        await open_sale(server)
        async with watchers(server) as watching:
            stopped = server.worker_pids[0]
            os.kill(stopped, signal.SIGSTOP)
            try:
                seqs = [await say(server, f"line {number} " + "x" * 400) for number in range(100)]
                moving = [watcher for watcher in watching if watcher.cursor > seqs[0]]
                async with asyncio.timeout(WAIT_S):
                    while not any(watcher.cursor > seqs[-1] for watcher in watching):
                        await asyncio.sleep(0.02)
                assert len(moving) < VIEWERS
            finally:
                os.kill(stopped, signal.SIGCONT)
            for watcher in watching:
                await watcher.until(lambda watcher=watcher: watcher.cursor > seqs[-1])
                assert seqs[-1] in watcher.events
        assert await server.stop() == 0


async def test_workers_of_other_settings_are_replaced(tmp_path: Path) -> None:
    """A new main process with other settings lets the workers of the old one drain, and starts its own."""
    server = Server(tmp_path / "data", "--gateway-drain-ms", "100")
    async with server:
        await open_sale(server)
        before = set(server.worker_pids)
        await server.kill()
        server._flags = (*server._flags, "--gateway-likes-report-ms", "300")
        await server.start()
        async with asyncio.timeout(WAIT_S):
            while len(server.worker_pids) < 2 or before & set(server.worker_pids):
                await asyncio.sleep(0.1)
        answer = await server.command(ROOM, "send_chat", {"text": "hi"}, user="bob", role=Role.viewer)
        assert answer["http_status"] == 200


async def test_workers_end_when_nobody_needs_them(tmp_path: Path) -> None:
    """Without a main process for `gateway.workers_alone_ms`, workers drain and end."""
    async with Server(tmp_path / "data", "--gateway-workers-alone-ms", "1000", "--gateway-drain-ms", "100") as server:
        assert len(server.worker_pids) == 2
        await server.kill()
        async with asyncio.timeout(WAIT_S):
            while server.worker_pids:
                await asyncio.sleep(0.1)
