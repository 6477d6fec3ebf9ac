"""The console's process part: listens, reads the journal, stops gracefully."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import uuid4

from aiohttp import web

from liveroom.auth.addresses import AddressHasher
from liveroom.auth.tokens import TokenChecker
from liveroom.config.schema import Config
from liveroom.console.answers import UnreadAnswers
from liveroom.console.api import Api, ReadLedger
from liveroom.console.crowd import Limits
from liveroom.console.description import Description
from liveroom.console.details import Details
from liveroom.console.directory import Directory
from liveroom.console.health import Health, Missing
from liveroom.console.listener import Listener
from liveroom.console.middleware import guard
from liveroom.console.pages import Pages
from liveroom.console.reader import Reader
from liveroom.console.security import security_headers
from liveroom.journal.base import Journal
from liveroom.journal.command_sender import CommandSender
from liveroom.telemetry.metrics import Metrics

__all__ = ["Console"]

#: Commands are few here: hardly any time is spent on collecting them.
BATCH_WAIT_MS: Final = 1
BATCH_COMMANDS_MAX: Final = 64


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
        what_is_missing: Callable[[], Missing | None],
        read_ledger: ReadLedger | None = None,
    ) -> None:
        self._missing_elsewhere = what_is_missing
        self._stopping = False
        self._directory = Directory(config.console.rooms_max, config.console.closed_rooms_whole_max, config.rooms.chat_lines_kept, metrics)
        # The source is new at every start: answers to an earlier life of this process, read again from the journal, are nobody's here.
        self._command_sender = CommandSender(
            journal,
            f"{name}/{uuid4().hex}",
            metrics,
            batch_commands_max=BATCH_COMMANDS_MAX,
            batch_wait_ms=BATCH_WAIT_MS,
            reply_wait_ms=config.console.reply_wait_ms,
        )
        self._reader = Reader(journal, self._directory, self._command_sender, metrics)
        self._details = Details(journal, self._directory, self._reader.ask, config.console.reply_wait_ms)
        metrics.console_rooms.set_function(lambda: len(self._directory))
        headers = security_headers(gateway_url)
        marks = AddressHasher(address_key, config.gateway.trusted_proxies)
        api = Api(config.console, checker, self._command_sender, self._directory, self._details, marks, gateway_url, read_ledger)
        answers = UnreadAnswers(config.console.unread_bytes_max, metrics)
        app = web.Application(middlewares=[guard(headers, metrics, api.caller, answers)], client_max_size=config.console.body_bytes_max)
        api.add_routes(app.router)
        Health(metrics, self._what_is_missing).add_routes(app.router)
        Description().add_routes(app.router)
        Pages().add_routes(app.router)
        self._listener = Listener(
            app,
            metrics,
            headers,
            section="console",
            host=config.console.host,
            port=config.console.port,
            limits=Limits(
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
        """The port it listens on."""
        return self._listener.port

    async def start(self) -> None:
        """Begin to listen and to read the journal. Raises `BadConfig` when the address cannot be had."""
        await self._listener.start()
        self._reader.start()

    async def stop(self) -> None:
        """Take no more requests, finish those that are open within `console.shutdown_ms`, then stop reading."""
        self._stopping = True
        await self._listener.stop()
        await self._command_sender.close()
        await self._details.stop()
        await self._reader.stop()

    @property
    def ready(self) -> bool:
        """Whether the directory holds what the journal did at the start."""
        return not self._stopping and not self._reader.behind

    def _what_is_missing(self) -> Missing | None:
        if self._stopping:
            return Missing("this process is shutting down")
        if missing := self._missing_elsewhere():  # why a partition is not read comes before that it is not
            return missing
        behind = self._reader.behind
        return Missing(f"partitions not read yet: {', '.join(map(str, behind))}") if behind else None
