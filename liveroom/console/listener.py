"""An HTTP server on listening sockets, shared by the console and the server for health checks."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from liveroom.console.connection_pool import ConnectionLimits, ConnectionPool
from liveroom.console.http_connection import HttpConnection
from liveroom.process.listening import listen, serve_each
from liveroom.telemetry.metrics import Metrics

__all__ = ["Listener"]

#: A peer that acknowledges no byte for this time counts as gone.
UNACKNOWLEDGED_MS: Final = 30_000
#: Bytes of a response that the kernel buffers for a client that does not read. The kernel's default would be up to megabytes.
SEND_BUFFER_BYTES: Final = 65_536


class Listener:
    """Serves an aiohttp application at `host` and `port`, which are settings of `section`."""

    def __init__(
        self,
        app: web.Application,
        metrics: Metrics,
        headers: Mapping[str, str],
        *,
        section: str,
        host: str,
        port: int,
        limits: ConnectionLimits,
        head_ms: int,
        keep_alive_ms: int,
        shutdown_ms: int,
    ) -> None:
        self._section = section
        self._host = host
        self._port = port
        self._headers = headers
        self._head_s = head_ms / 1000
        self._keep_alive_s = keep_alive_ms / 1000
        self._crowd = ConnectionPool(limits, metrics)
        self._runner = web.AppRunner(app, shutdown_timeout=shutdown_ms / 1000)
        self._servers: list[asyncio.Server] = []

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        assert self._servers, "start() comes first"
        port: int = self._servers[0].sockets[0].getsockname()[1]
        return port

    @property
    def connections(self) -> list[HttpConnection]:
        """The open connections."""
        server = self._runner.server
        return [] if server is None else server.connections  # type: ignore[return-value]

    async def start(self) -> None:
        """Start to listen. Raises `BadConfig` if the address cannot be bound."""
        await self._runner.setup()
        listeners = await listen(self._host, self._port, section=self._section)
        for listener in listeners:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # connections inherit it
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        self._servers = await serve_each(listeners, self._connection)

    async def stop(self) -> None:
        """Accept no more requests, and finish the open ones within `shutdown_ms`."""
        for server in self._servers:
            server.close()
        await self._runner.cleanup()

    def _connection(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None
        return HttpConnection(server, self._crowd, self._headers, head_s=self._head_s, keep_alive_s=self._keep_alive_s)
