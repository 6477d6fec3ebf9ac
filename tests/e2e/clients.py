"""Python's WebSocket clients behind one interface (`visit.Wire`): each is used as its own documentation says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.extensions.base import ClientExtensionFactory
from websockets.protocol import Protocol as SansIO
from websockets.sync.client import ClientConnection as SyncConnection
from websockets.sync.client import connect as sync_connect

__all__ = ["Aiohttp", "WebsocketsAsync", "WebsocketsSync"]

PONG_S = 10


def _parts(text: str) -> list[str]:
    return [text[:1], text[1:2000], "", text[2000:]]


def _extensions(protocol: SansIO) -> str:
    return ", ".join(extension.name for extension in protocol.extensions)


class WebsocketsAsync:
    """`websockets`, asyncio."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.extensions = _extensions(connection.protocol)

    @classmethod
    async def dial(cls, url: str, extensions: Sequence[ClientExtensionFactory] | None, compression: str | None) -> WebsocketsAsync:
        """Connect; without the client's own pings, so that the server has to send its."""
        return cls(await websockets.connect(url, extensions=extensions, compression=compression, ping_interval=None, max_queue=None))

    async def send(self, text: str) -> None:
        await self._connection.send(text)

    async def send_parted(self, text: str) -> None:
        await self._connection.send(_parts(text))

    async def receive(self, timeout_s: float) -> str | None:
        try:
            return await asyncio.wait_for(self._connection.recv(decode=True), timeout_s)
        except TimeoutError:
            return None

    async def ping(self) -> None:
        await asyncio.wait_for(await self._connection.ping("are you there"), PONG_S)

    async def close(self) -> int:
        await self._connection.close(1000)
        return self._connection.close_code or 0


class WebsocketsSync:
    """`websockets`, threads."""

    def __init__(self, connection: SyncConnection) -> None:
        self._connection = connection
        self.extensions = _extensions(connection.protocol)

    @classmethod
    async def dial(cls, url: str, compression: str | None) -> WebsocketsSync:
        """Connect."""
        return cls(await asyncio.to_thread(lambda: sync_connect(url, compression=compression, ping_interval=None).__enter__()))

    async def send(self, text: str) -> None:
        await asyncio.to_thread(self._connection.send, text)

    async def send_parted(self, text: str) -> None:
        await asyncio.to_thread(self._connection.send, _parts(text))

    async def receive(self, timeout_s: float) -> str | None:
        try:
            return await asyncio.to_thread(self._connection.recv, timeout_s, True)
        except TimeoutError:
            return None

    async def ping(self) -> None:
        assert await asyncio.to_thread(self._connection.ping("are you there").wait, PONG_S)

    async def close(self) -> int:
        await asyncio.to_thread(self._connection.close, 1000)
        return self._connection.protocol.close_code or 0


class Aiohttp:
    """aiohttp's client, which has no fragments to send and keeps pongs to itself. It is read without a time limit: one would end the connection."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse[Any]) -> None:
        self._session = session
        self._socket = socket
        self._received: asyncio.Queue[str] = asyncio.Queue()
        self._reader = asyncio.create_task(self._read())
        self.extensions = "permessage-deflate" if socket.compress else ""

    @classmethod
    async def dial(cls, url: str, compress: int) -> Aiohttp:
        """Connect; `compress` is the window's bits, 0 = without."""
        session = aiohttp.ClientSession()
        return cls(session, await session.ws_connect(url, compress=compress))

    async def _read(self) -> None:
        async for message in self._socket:
            self._received.put_nowait(message.data)

    async def send(self, text: str) -> None:
        await self._socket.send_str(text)

    async def send_parted(self, text: str) -> None:
        await self._socket.send_str(text)

    async def receive(self, timeout_s: float) -> str | None:
        try:
            return await asyncio.wait_for(self._received.get(), timeout_s)
        except TimeoutError:
            return None

    async def ping(self) -> None:
        await self._socket.ping(b"are you there")

    async def close(self) -> int:
        await self._socket.close(code=1000)
        await self._reader
        await self._session.close()
        return self._socket.close_code or 0
