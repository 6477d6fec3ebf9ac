"""Wires the roles of one process: journal, engine, gateway, console, in the order in which they need each other."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import re
from pathlib import Path

from liveroom.addresses import load_address_key
from liveroom.audit import LedgerReader
from liveroom.config import Config
from liveroom.console.api import ReadLedger
from liveroom.console.server import Console
from liveroom.engine.runner import Engine
from liveroom.errors import JournalDamaged
from liveroom.gateway.server import Gateway
from liveroom.journal.base import Journal
from liveroom.journal.kafka import KafkaJournal
from liveroom.journal.memory import MemoryJournal
from liveroom.journal.sqlite import SqliteJournal
from liveroom.telemetry.metrics import Metrics
from liveroom.tokens import TokenChecker, load_secret

__all__ = ["App", "instance_name"]

log = logging.getLogger("liveroom")

#: How often readiness is looked at while the engine takes over its partitions.
READY_POLL_S = 0.02


class App:
    """All roles in one process. Raises what the parts raise at start: `BadConfig`, `JournalError`, `OSError` for a port in use."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.metrics = Metrics()
        self.name = instance_name(config)
        self._journal: Journal | None = None
        self._engine: Engine | None = None
        self._gateway: Gateway | None = None
        self._console: Console | None = None

    @property
    def gateway_url(self) -> str:
        """The gateway's address as browsers reach it."""
        assert self._gateway is not None
        return self.config.console.gateway_url or _url(
            "wss" if self.config.gateway.tls_cert_file else "ws", self.config.gateway.host, self._gateway.port
        )

    @property
    def console_url(self) -> str:
        """The console's address."""
        assert self._console is not None
        return _url("http", self.config.console.host, self._console.port)

    @property
    def ready(self) -> bool:
        """Whether viewers can be served."""
        return bool(self._engine and self._engine.ready and self._gateway and self._gateway.ready and self._console and self._console.ready)

    async def start(self) -> None:
        """Start all roles; returns when the process is ready. What was started is stopped again when one fails."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        config = self.config
        checker = TokenChecker(config.auth, load_secret(config))
        address_key = load_address_key(config)
        self._journal = await _open_journal(config, self.metrics, self.name)
        self._engine = Engine(self._journal, config, name=self.name, metrics=self.metrics)
        await self._engine.start()
        origins = _console_origins(config)
        self._gateway = Gateway(
            self._journal,
            config.gateway,
            checker,
            name=f"{self.name}-gateway",
            metrics=self.metrics,
            address_key=address_key,
            console_origins=origins,
        )
        await self._gateway.start()
        self._console = Console(
            self._journal,
            config,
            checker,
            name=f"{self.name}-console",
            metrics=self.metrics,
            address_key=address_key,
            gateway_url=self.gateway_url,
            is_ready=lambda: self.ready,
            read_ledger=_ledger_reader(config),
        )
        await self._console.start()
        while not self.ready:
            if stopped := self._engine.stopped_partitions:
                raise JournalDamaged("; ".join(f"partition {p} cannot be recovered: {why}" for p, why in stopped.items()))
            await asyncio.sleep(READY_POLL_S)

    async def stop(self) -> None:
        """Drain viewers, then stop every role in the order of the data's flow."""
        if self._gateway is not None:
            await self._gateway.drain()
        if self._console is not None:
            await self._console.stop()
        if self._engine is not None:
            await self._engine.stop()
        if self._journal is not None:
            await self._journal.close()
        self._gateway = self._console = self._engine = self._journal = None


def instance_name(config: Config) -> str:
    """The process' name by the settings, or one made of the host's name and the gateway's port.

    A process that is started again has the name that it had: its count of viewers replaces the one that it left behind.
    """
    host = re.sub(r"[^A-Za-z0-9]+", "-", platform.node()).strip("-")[:32] or "host"
    return config.liveroom.instance or f"{host}-{config.gateway.port or os.getpid()}"


async def _open_journal(config: Config, metrics: Metrics, name: str) -> Journal:
    if config.journal.kind == "memory":
        return MemoryJournal(config.journal)
    if config.journal.kind == "kafka":
        return await KafkaJournal.open(config, metrics, name)
    return await SqliteJournal.open(Path(config.liveroom.data_dir), config.journal, metrics)


def _ledger_reader(config: Config) -> ReadLedger | None:
    """The embedded journal's file can be read beside the server; one in memory cannot."""
    return LedgerReader(Path(config.liveroom.data_dir), config.engine).read if config.journal.kind == "sqlite" else None


def _url(scheme: str, host: str, port: int) -> str:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{scheme}://{reachable}:{port}"


def _console_origins(config: Config) -> tuple[str, ...]:
    hosts = {config.console.host, "127.0.0.1", "localhost"}
    return tuple(_url("http", host, config.console.port) for host in sorted(hosts))
