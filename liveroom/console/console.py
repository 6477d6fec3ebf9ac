"""The console role of a process: it listens, reads the journal and stops gracefully."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import uuid4

from aiohttp import web

from liveroom.auth.addresses import AddressHasher
from liveroom.auth.tokens import TokenChecker
from liveroom.config.schema import Config
from liveroom.console.api import Api, ReadLedger
from liveroom.console.connection_pool import ConnectionLimits
from liveroom.console.description import Description
from liveroom.console.details import Details
from liveroom.console.directory import Directory
from liveroom.console.directory_follower import DirectoryFollower
from liveroom.console.health import Health, NotReady
from liveroom.console.listener import Listener
from liveroom.console.middleware import make_middleware
from liveroom.console.openapi import document
from liveroom.console.pages import Pages
from liveroom.console.responses import UnreadResponses
from liveroom.console.security import security_headers
from liveroom.journal.base import Journal
from liveroom.journal.command_sender import CommandSender
from liveroom.telemetry.metrics import Metrics

__all__ = ["Console"]

#: The console sends few commands, so it collects them only briefly.
BATCH_WAIT_MS: Final = 1
BATCH_COMMANDS_MAX: Final = 64


class Console:
    """The HTTP API and the pages. Raises `BadConfig` for a bad `gateway_url`.

    `not_ready_reason` returns why the rest of the process is not ready, or `None` if it is.
    `read_ledger` reads a room's accounts; without it the ledger is not available.
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
        not_ready_reason: Callable[[], NotReady | None],
        read_ledger: ReadLedger | None = None,
    ) -> None:
        self._reason_elsewhere = not_ready_reason
        self._stopping = False
        self._directory = Directory(config.console.rooms_max, config.console.closed_rooms_whole_max, config.rooms.chat_lines_kept, metrics)
        # Each start has a new source, so replies to earlier runs of this process, which the journal still holds, match no command.
        self._command_sender = CommandSender(
            journal,
            f"{name}/{uuid4().hex}",
            metrics,
            batch_commands_max=BATCH_COMMANDS_MAX,
            batch_wait_ms=BATCH_WAIT_MS,
            reply_wait_ms=config.console.reply_wait_ms,
        )
        self._follower = DirectoryFollower(journal, self._directory, self._command_sender, metrics)
        self._details = Details(journal, self._directory, self._follower.ask, config.console.reply_wait_ms)
        metrics.console_rooms.set_function(lambda: len(self._directory))
        headers = security_headers(gateway_url)
        address_hasher = AddressHasher(address_key, config.gateway.trusted_proxies)
        api = Api(config.console, checker, self._command_sender, self._directory, self._details, address_hasher, gateway_url, read_ledger)
        responses = UnreadResponses(config.console.unread_bytes_max, metrics)
        app = web.Application(middlewares=[make_middleware(headers, metrics, api.caller, responses)], client_max_size=config.console.body_bytes_max)
        api.add_routes(app.router)
        Health(metrics, self._not_ready_reason).add_routes(app.router)
        Description(document()).add_routes(app.router)
        Pages().add_routes(app.router)
        self._listener = Listener(
            app,
            metrics,
            headers,
            section="console",
            host=config.console.host,
            port=config.console.port,
            limits=ConnectionLimits(
                connections_max=config.console.connections_max,
                per_user_max=config.console.requests_per_user_max,
                per_address_max=config.console.requests_per_address_max,
            ),
            head_ms=config.console.head_ms,
            keep_alive_ms=config.console.keep_alive_ms,
            shutdown_ms=config.console.shutdown_ms,
        )

    @property
    def port(self) -> int:
        """The port that the console listens on."""
        return self._listener.port

    async def start(self) -> None:
        """Start to listen and to read the journal. Raises `BadConfig` if the address cannot be bound."""
        await self._listener.start()
        self._follower.start()

    async def stop(self) -> None:
        """Accept no more requests, finish the open ones within `console.shutdown_ms`, and stop reading."""
        self._stopping = True
        await self._listener.stop()
        await self._command_sender.close()
        await self._details.stop()
        await self._follower.stop()

    @property
    def ready(self) -> bool:
        """Whether the directory holds all that the journal held at the start."""
        return not self._stopping and not self._follower.behind

    def _not_ready_reason(self) -> NotReady | None:
        if self._stopping:
            return NotReady("this process is shutting down")
        if reason := self._reason_elsewhere():  # the cause of an unread partition is more useful than its number
            return reason
        behind = self._follower.behind
        return NotReady(f"partitions not read yet: {', '.join(map(str, behind))}") if behind else None
