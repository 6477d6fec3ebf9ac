"""A passive viewer: it sends each given command once, and keeps every frame and every event."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import websockets
from websockets.asyncio.client import ClientConnection

from liveroom.messages.fields import Role
from tests.docs.traffic import check_client_frame, check_server_frame
from tests.serving import Server

__all__ = ["Viewer", "enter"]

WAIT_S = 30

Object = dict[str, Any]


class Viewer:
    """`events` are what the client's rules say to apply, each with its seq; a gap in them fails."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._replies: dict[str, asyncio.Future[Object]] = {}
        self._news = asyncio.Condition()
        self._ids = itertools.count(1)
        self.keyframe: Object = {}
        self.cursor = 0
        self.events: list[Object] = []
        self.others: list[Object] = []  # skipped, going_away, keyframes after the first

    async def ask(self, command: str, command_id: str = "", **fields: Any) -> Object:
        """Send a command once and give its reply."""
        command_id = command_id or f"c{next(self._ids)}"
        text = json.dumps({"id": command_id, "command": {"type": command, **fields}})
        check_client_frame(text)
        reply = self._replies[command_id] = asyncio.get_running_loop().create_future()
        await self._connection.send(text)
        return await asyncio.wait_for(reply, WAIT_S)

    async def do(self, command: str, **fields: Any) -> int:
        """Send a command that must be accepted; gives the seq that its reply stands on."""
        reply = await self.ask(command, **fields)
        assert reply["type"] == "accepted", reply
        seq: int = reply["seq"]
        return seq

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until frames have made this true."""
        async with asyncio.timeout(WAIT_S), self._news:
            await self._news.wait_for(true)

    async def read(self) -> None:
        """Take frames in until the connection is closed."""
        async for text in self._connection:
            self._take(check_server_frame(text))
            async with self._news:
                self._news.notify_all()

    def _take(self, frame: Object) -> None:
        match frame["type"]:
            case "accepted" | "refused":
                self._replies.pop(frame["id"]).set_result(frame)
            case "keyframe" if not self.keyframe:
                self.keyframe, self.cursor = frame, frame["seq"]
            case "delta":
                assert frame["from"] <= self.cursor, f"a gap: at {self.cursor}, the delta begins at {frame['from']}"
                self.events += [event for event in frame["events"] if event["seq"] >= self.cursor]
                self.cursor = max(self.cursor, frame["to"])
            case "joined" | "entitlements":
                pass
            case _:
                self.others.append(frame)


@asynccontextmanager
async def enter(server: Server, room: str, user: str, role: Role = Role.viewer, *, cursor: tuple[str, int] | None = None) -> AsyncIterator[Viewer]:
    """A viewer that has its keyframe. At the end it must still be connected. `cursor`: the stream id and seq at which it asks to go on."""
    query = {"token": server.token(room, user, role), **({"stream_id": cursor[0], "seq": cursor[1]} if cursor else {})}
    async with websockets.connect(f"{server.gateway_url}/v1/rooms/{room}?{urlencode(query)}", max_queue=None) as connection:
        viewer = Viewer(connection)
        reading = asyncio.create_task(viewer.read())
        await viewer.until(lambda: bool(viewer.keyframe))
        yield viewer
        if reading.done():
            reading.result()
            raise AssertionError(f"{user} was sent away with {connection.close_code}")
        reading.cancel()
