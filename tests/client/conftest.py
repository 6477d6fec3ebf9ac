"""A gateway that a test plays by hand, over a real socket: for what a well-behaved one does rarely or never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from liveroom.client import reconnect
from liveroom.messages.fields import Role
from liveroom.protocol.codec import decode_client_message, encode, event_object
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Delta, Entitlements, Joined, Keyframe
from liveroom.protocol.inbound import ClientMessage

STREAM_ID = "e1"


def keyframe(seq: int = 0, **fields: Any) -> Keyframe:
    """The state of an open room at `seq`."""
    return Keyframe(
        **{"room": "demo", "stream_id": STREAM_ID, "seq": seq, "time_ms": 1, "title": "T", "anchor": "a", "open": True, "opened_ms": 1, **fields}
    )


def joined(seq: int = 0, resumed: bool = False, **fields: Any) -> Joined:
    """A welcome for user u1."""
    plain = {"stream_id": STREAM_ID, "name": "U", "time_ms": 1, "command_bytes_max": 4_096, "commands_per_s": 1_000, "idle_ms": 60_000, **fields}
    return Joined(room="demo", user="u1", role=Role.viewer, seq=seq, resumed=resumed, **plain)


def delta(from_: int, *events: Event | dict[str, Any], to: int | None = None, omitted: dict[str, int] | None = None) -> Delta:
    """Events from `from_` on, one seq each."""
    objects = tuple(e | {"seq": from_ + i} if isinstance(e, dict) else event_object(e, from_ + i) for i, e in enumerate(events))
    return Delta(from_=from_, to=from_ + len(events) if to is None else to, time_ms=2, events=objects, omitted=omitted or {})


class AcceptedHandshake:
    """One connection of the client, as the gateway's side holds it."""

    def __init__(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.socket = socket
        self.headers = socket.request.headers
        parts = urlsplit(socket.request.path)
        self.path = parts.path
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}

    async def send(self, *frames: msgspec.Struct | str) -> None:
        for frame in frames:
            await self.socket.send(frame if isinstance(frame, str) else encode(frame).decode())

    async def command(self) -> ClientMessage:
        message = decode_client_message(await self.socket.recv())
        assert isinstance(message, ClientMessage)
        return message

    async def close(self, code: int, reason: str = "") -> None:
        await self.socket.close(code, reason)


class Gateway:
    """Takes connections; the test asks for them one after the other."""

    def __init__(self) -> None:
        self.visits: asyncio.Queue[AcceptedHandshake] = asyncio.Queue()
        #: HTTP statuses to refuse the next handshakes with.
        self.refuse: list[int] = []
        self.retry_after = ""
        #: The next handshakes that get no answer.
        self.mute = 0
        self._server: Server | None = None

    async def start(self, port: int = 0) -> None:
        self._server = await serve(self._serve, "127.0.0.1", port, process_request=self._check, select_subprotocol=_select)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"

    async def visit(self) -> AcceptedHandshake:
        """The next connection."""
        async with asyncio.timeout(10):
            return await self.visits.get()

    async def welcome(self, seq: int = 0, **state: Any) -> AcceptedHandshake:
        """The next connection, joined, with its keyframe and with what its user owns: nothing."""
        visit = await self.visit()
        await visit.send(joined(seq), keyframe(seq, **state), Entitlements(seq))
        return visit

    async def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        if self.mute:
            self.mute -= 1
            await connection.wait_closed()
        if not self.refuse:
            return None
        response = connection.respond(HTTPStatus(self.refuse.pop(0)), "not now\n")
        if self.retry_after:
            response.headers["Retry-After"] = self.retry_after
        return response

    async def _serve(self, socket: ServerConnection) -> None:
        await self.visits.put(AcceptedHandshake(socket))
        await socket.wait_closed()


def _select(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """A browser fails a connection whose offers were all passed over."""
    return Subprotocol("liveroom.v1") if "liveroom.v1" in offered else None


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    """A gateway that a test plays by hand; clients come back to it at once, for the tests are about what happens, not when."""
    monkeypatch.setattr(reconnect, "DELAY_MAX_S", 0.01)
    gateway = Gateway()
    await gateway.start()
    yield gateway
    await gateway.stop()
