"""The console's process part: listens, reads the journal, stops gracefully."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final
from uuid import uuid4

from aiohttp import web

from liveroom.addresses import AddressMarks
from liveroom.config import Config
from liveroom.console.api import Api, ReadLedger
from liveroom.console.connection import Connection, FullConnection
from liveroom.console.description import Description
from liveroom.console.directory import Directory
from liveroom.console.guard import guard
from liveroom.console.health import Health
from liveroom.console.pages import Pages
from liveroom.console.reader import Reader
from liveroom.console.security import security_headers
from liveroom.errors import BadConfig
from liveroom.journal.base import Journal
from liveroom.journal.courier import Courier
from liveroom.telemetry.metrics import Metrics
from liveroom.tokens import TokenChecker

__all__ = ["Console"]

#: Commands are few here: hardly any time is spent on collecting them.
BATCH_WAIT_MS: Final = 1
BATCH_COMMANDS_MAX: Final = 64
#: A peer that takes no byte for so long is gone, whatever its kernel says.
UNACKNOWLEDGED_MS: Final = 30_000
BACKLOG: Final = 512


class Console:
    """The HTTP API and the pages. Raises `BadConfig` for a bad `gateway_url`.

    `what_is_missing` says what of the rest of the process is not ready; `read_ledger` gives a room's accounts, without it nobody can ask for them.
    """

    def __init__(
        self,
        journal: Journal,
        config: Config,
        checker: TokenChecker,
        *,
        name: str,
        metrics: Metrics,
        address_key: bytes,
        gateway_url: str,
        what_is_missing: Callable[[], str],
        read_ledger: ReadLedger | None = None,
    ) -> None:
        self._config = config.console
        self._missing_elsewhere = what_is_missing
        self._stopping = False
        self._directory = Directory(config.console.rooms_max, config.rooms.chat_lines_kept, metrics)
        # The source is new at every start: answers to an earlier life of this process, read again from the journal, are nobody's here.
        self._courier = Courier(
            journal,
            f"{name}/{uuid4().hex}",
            metrics,
            batch_commands_max=BATCH_COMMANDS_MAX,
            batch_wait_ms=BATCH_WAIT_MS,
            reply_wait_ms=config.console.reply_wait_ms,
        )
        self._reader = Reader(journal, self._directory, self._courier, metrics)
        metrics.console_rooms.set_function(lambda: len(self._directory))
        self._headers = security_headers(gateway_url)
        app = web.Application(middlewares=[guard(self._headers, metrics)], client_max_size=config.console.body_bytes_max)
        marks = AddressMarks(address_key, config.gateway.trusted_proxies)
        Api(config.console, checker, self._courier, self._directory, marks, gateway_url, read_ledger).add_routes(app.router)
        Health(metrics, self._what_is_missing).add_routes(app.router)
        Description().add_routes(app.router)
        Pages().add_routes(app.router)
        self._runner = web.AppRunner(app, shutdown_timeout=config.console.shutdown_ms / 1000)
        self._listener: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._listener is not None, "start() comes first"
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Begin to listen and to read the journal. Raises `BadConfig` when the address cannot be had."""
        host, port = self._config.host, self._config.port
        await self._runner.setup()
        try:
            self._listener = await asyncio.get_running_loop().create_server(self._accept, host, port, backlog=BACKLOG, reuse_address=True)
        except OSError as error:
            words = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise BadConfig(f"console.host, console.port: cannot listen on {host}:{port}: {words}") from None
        for listening in self._listener.sockets:
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # connections inherit it
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        self._reader.start()

    async def stop(self) -> None:
        """Take no more requests, finish those that are open within `console.shutdown_ms`, then stop reading."""
        self._stopping = True
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()
        await self._courier.close()
        await self._reader.stop()

    def _accept(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None or len(server.connections) >= self._config.connections_max:
            return FullConnection()
        return Connection(server, self._headers)

    @property
    def ready(self) -> bool:
        """Whether the directory holds what the journal did at the start."""
        return not self._stopping and not self._reader.behind

    def _what_is_missing(self) -> str:
        if self._stopping:
            return "this process is shutting down"
        if behind := self._reader.behind:
            return f"partitions not read yet: {', '.join(map(str, behind))}"
        return self._missing_elsewhere()
