"""Wires the parts of one process: journal, engine, gateway and console, in the order of their dependencies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from liveroom.accounting.audit import LedgerReader
from liveroom.auth.addresses import load_address_key
from liveroom.auth.tokens import TokenChecker, load_secret
from liveroom.config.schema import Config
from liveroom.console.console import Console
from liveroom.console.health import NotReady
from liveroom.console.ops import OpsServer
from liveroom.engine.engine import Engine
from liveroom.gateway.gateway import Gateway, tls_context
from liveroom.journal.base import STOPPED_RUNBOOK, Journal
from liveroom.journal.memory import MemoryJournal
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.messages.errors import BadConfig, JournalDamaged
from liveroom.process.roles import ProcessRole, console_url, gateway_url, local_url
from liveroom.process.workers import WorkerSlot
from liveroom.telemetry.metrics import Metrics
from liveroom.workers.workers import WorkerProcesses, open_worker_journal

if TYPE_CHECKING:
    from liveroom.journal.kafka.feed import Publisher

__all__ = ["App", "check_files", "instance_name"]

log = logging.getLogger("liveroom")

T = TypeVar("T")

#: How often the key file is checked for changes.
KEYS_LOOK_S = 2.0
#: A check that takes longer is logged.
KEYS_LATE_S = 10.0
#: How often readiness is checked while the engine takes over its partitions.
READY_POLL_S = 0.02


class App:
    """The parts of one process, by default all. A start raises `BadConfig`, `JournalError`, or `OSError` for a port in use.

    With `gateway.workers`, `worker_command` is the command of a worker for its slot. With a `slot`, this process is such a worker.
    `settings` is a digest of the settings, which must be the same in workers and their main process.
    """

    def __init__(
        self,
        config: Config,
        parts: Collection[ProcessRole] = frozenset(ProcessRole),
        *,
        worker_command: Callable[[WorkerSlot, int], Sequence[str]] | None = None,
        slot: WorkerSlot | None = None,
        settings: str = "",
    ) -> None:
        if slot is None and config.journal.kind != "kafka" and set(parts) != set(ProcessRole):
            raise BadConfig(f"journal.kind: {config.journal.kind} is for one process with all parts (`liveroom serve`); several processes need kafka")
        self.config = config
        self.metrics = Metrics()
        self.name = instance_name(config, parts)
        self._parts = frozenset(parts)
        self._slot = slot
        self._settings = settings
        self._worker_command = worker_command if config.gateway.workers and ProcessRole.gateway in parts and slot is None else None
        self._workers: WorkerProcesses | None = None
        self._journal: Journal | None = None
        self._engine: Engine | None = None
        self._publisher: Publisher | None = None
        self._gateway: Gateway | None = None
        self._console: Console | None = None
        self._ops: OpsServer | None = None
        self._ledger: LedgerReader | None = None
        self._watching_keys: asyncio.Task[None] | None = None
        self._damage: asyncio.Task[JournalDamaged] | None = None

    @property
    def gateway_url(self) -> str:
        """The gateway's address for browsers."""
        holder = self._gateway or self._workers
        return gateway_url(self.config, holder.port if holder is not None else 0)

    @property
    def console_url(self) -> str:
        """The address of the console, or of the health endpoints in a process without a console."""
        if self._console is not None:
            return console_url(self.config, self._console.port)
        assert self._ops is not None
        return local_url("http", self.config.ops.host, self._ops.port)

    @property
    def ready(self) -> bool:
        """Whether every part can do its work."""
        return not self._not_ready_reason() and (self._console is None or self._console.ready)

    def _not_ready_reason(self) -> NotReady | None:
        """The first part that is not ready; the console checks itself."""
        if self._damage is not None and self._damage.done():
            return NotReady(str(self._damage.result()), stopped=True)
        stopped = dict(self._engine.stopped_partitions) if self._engine is not None else {}
        if stopped := (dict(self._journal.damaged) if self._journal is not None else {}) | stopped:
            return NotReady(_words(stopped) + (f"; see {STOPPED_RUNBOOK}" if self.config.journal.kind == "kafka" else ""), stopped=True)
        if self._journal is not None and (away := self._journal.unreachable):
            return NotReady(f"the journal does not answer: partitions {', '.join(map(str, sorted(away)))}")
        if self._workers is not None and (missing := self._workers.missing):
            return NotReady(f"not ready: workers {', '.join(map(str, missing))}")
        waiting = [
            part
            for part, it in ((ProcessRole.engine, self._engine), (ProcessRole.gateway, self._gateway or self._workers))
            if part in self._parts and not (it and it.ready)
        ]
        return NotReady(f"not ready: {', '.join(part.value for part in waiting)}") if waiting else None

    async def start(self) -> None:
        """Start the parts; returns when the process is ready. If one fails, all that were started stop again."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        checker = TokenChecker(self.config.auth, load_secret(self.config))
        self.metrics.auth_keys.set(checker.keys.count)
        if self.config.auth.keys_file:
            self._watching_keys = asyncio.create_task(self._watch_keys(checker), name="keys")
        address_key = load_address_key(self.config)
        self._journal = await self._open_journal()
        self.metrics.journal_partitions.set(self._journal.partitions)
        self._damage = asyncio.create_task(self._journal.until_damaged())
        starting = asyncio.create_task(self._start_parts(self._journal, checker, address_key))
        try:
            await asyncio.wait((starting, self._damage), return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                raise self._damage.result()
            await starting
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    async def _open_journal(self) -> Journal:
        config = self.config
        if self._slot is not None:
            self._slot.take()
            return await open_worker_journal(config, self._settings)
        if config.journal.kind == "memory":
            return MemoryJournal(config.journal)
        if config.journal.kind == "kafka":
            from liveroom.journal.kafka.journal import KafkaJournal  # a slow import, so only processes with Kafka wait for it

            return await KafkaJournal.open(config, self.metrics, self.name)
        return await SqliteJournal.open(Path(config.liveroom.data_dir), config.journal, self.metrics)

    async def _start_parts(self, journal: Journal, checker: TokenChecker, address_key: bytes) -> None:
        if ProcessRole.engine in self._parts:
            await self._start_engine(journal)
        if self._worker_command is not None:
            self._workers = WorkerProcesses(journal, self.config, self._worker_command, self._settings)
            await self._workers.start()
        elif ProcessRole.gateway in self._parts:
            await self._start_gateway(journal, checker, address_key)
        if ProcessRole.console in self._parts:
            await self._start_console(journal, checker, address_key)
        else:
            self._ops = OpsServer(self.config.ops, self.metrics, self._not_ready_reason)
            await self._ops.start()
        while not self.ready:
            if self._engine is not None and (stopped := self._engine.stopped_partitions):
                raise JournalDamaged(_words(stopped))
            await asyncio.sleep(READY_POLL_S)

    async def _start_engine(self, journal: Journal) -> None:
        self._engine = Engine(journal, self.config, name=self.name, metrics=self.metrics)
        await self._engine.start()
        if self.config.journal.kind == "kafka":
            from liveroom.journal.kafka.feed import Publisher
            from liveroom.journal.kafka.journal import KafkaJournal

            assert isinstance(journal, KafkaJournal)
            self._publisher = Publisher(journal, self.metrics)
            self._publisher.start()

    async def _start_gateway(self, journal: Journal, checker: TokenChecker, address_key: bytes) -> None:
        self._gateway = Gateway(
            journal,
            self.config.gateway,
            checker,
            name=f"{self.name}-gateway",
            metrics=self.metrics,
            address_key=address_key,
            console_origins=_console_origins(self.config),
        )
        await self._gateway.start()

    async def _start_console(self, journal: Journal, checker: TokenChecker, address_key: bytes) -> None:
        if self.config.journal.kind != "memory":  # a journal in memory cannot be read again
            self._ledger = LedgerReader(self.config)
        self._console = Console(
            journal,
            self.config,
            checker,
            name=f"{self.name}-console",
            metrics=self.metrics,
            address_key=address_key,
            gateway_url=self.gateway_url,
            not_ready_reason=self._not_ready_reason,
            read_ledger=self._ledger.read if self._ledger is not None else None,
        )
        await self._console.start()

    async def _watch_keys(self, checker: TokenChecker) -> None:
        """Read the keys again when their file changes. Content that cannot be used is logged, and the old keys stay."""
        while True:
            await asyncio.sleep(KEYS_LOOK_S)
            look = _in_daemon_thread(checker.keys.reload)
            if not (await asyncio.wait((look,), timeout=KEYS_LATE_S))[0]:
                self.metrics.auth_key_reloads.labels("refused").inc()
                log.error("the keys' file gives no answer; until it does, the keys stay as they are", extra={"waited_s": KEYS_LATE_S})
            try:
                gone = await look
            except BadConfig as error:
                self.metrics.auth_key_reloads.labels("refused").inc()
                log.error("the keys could not be read again; those before stay valid", extra={"error": str(error)})
                continue
            except Exception:
                self.metrics.auth_key_reloads.labels("refused").inc()
                log.exception("the keys could not be read again; those before stay valid")
                continue
            if gone is not None:
                self.metrics.auth_key_reloads.labels("taken").inc()
                self.metrics.auth_keys.set(checker.keys.count)
                log.info("the keys were read again", extra={"keys": checker.keys.count, "revoked": len(gone)})
            if gone and self._gateway is not None:
                self._gateway.renew(gone)

    async def until_damaged(self) -> JournalDamaged:
        """Wait for damage of the journal, which ends the process; returns the damage."""
        assert self._damage is not None, "the app was started"
        return await asyncio.shield(self._damage)

    def reload(self) -> None:
        """Read the gateway's certificate again, for new connections. An unusable certificate is logged, and the old one stays in use."""
        if self._workers is not None:
            self._workers.reload()
            return
        if self._gateway is None or not self.config.gateway.tls_cert_file:
            log.info("there is nothing to read again: only a certificate is, and `auth.keys_file` by itself")
            return
        try:
            self._gateway.reload_certificate()
        except BadConfig as error:
            log.error("the certificate could not be read again; the one before stays in use", extra={"error": str(error)})
        except Exception:
            log.exception("the certificate could not be read again; the one before stays in use")
        else:
            log.info("the certificate was read again")

    async def stop(self) -> None:
        """Drain viewers, then stop every part in the order of the data's flow."""
        if self._watching_keys is not None:
            self._watching_keys.cancel()
        if self._gateway is not None:
            await self._gateway.drain()
        if self._workers is not None:
            await self._workers.stop()
        if self._ledger is not None:
            self._ledger.close()
        for part in (self._console, self._ops, self._publisher, self._engine):
            if part is not None:
                await part.stop()
        if self._damage is not None:
            self._damage.cancel()
        if self._journal is not None:
            await self._journal.close()
        self._workers = self._gateway = self._ledger = self._console = self._ops = self._publisher = self._engine = self._journal = None


def check_files(config: Config) -> None:
    """Read every file that the settings name, as the parts do at their start. Raises `BadConfig` with all mistakes."""
    mistakes: list[str] = []
    for check in (_check_data_dir, _check_keys, load_address_key, _check_gateway_tls, _check_broker_tls):
        try:
            check(config)
        except BadConfig as error:
            mistakes += [words for words in error.mistakes if words not in mistakes]  # the tokens' secret is read twice
    if mistakes:
        raise BadConfig(*mistakes)


def _check_data_dir(config: Config) -> None:
    """Check that the embedded journal's directory exists or can be made, without making it."""
    if config.journal.kind != "sqlite":
        return
    path = Path(config.liveroom.data_dir).absolute()
    try:
        there = next(place for place in (path, *path.parents) if place.exists() or place.is_symlink())
        is_directory = there.is_dir()
    except OSError as error:  # for example below a directory that this user may not search
        raise BadConfig(f"liveroom.data_dir: {path}: {error.strerror}") from None
    if not is_directory:
        raise BadConfig(f"liveroom.data_dir: {path}: {there} is no directory")
    if not os.access(there, os.W_OK | os.X_OK):
        raise BadConfig(f"liveroom.data_dir: {path}: this user may not write to {there}")


def _check_keys(config: Config) -> None:
    TokenChecker(config.auth, load_secret(config))


def _check_gateway_tls(config: Config) -> None:
    tls_context(config.gateway)


def _check_broker_tls(config: Config) -> None:
    if config.journal.kind == "kafka" and config.kafka.security_protocol.endswith("SSL"):
        from liveroom.journal.kafka.client import tls_context as broker_tls_context  # its client takes long to import

        broker_tls_context(config.kafka)


def _in_daemon_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """Do work that may never end, such as reading a file on a lost network. Neither the loop nor the end of the process waits for it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: Exception | None) -> None:
        if not future.done():
            future.set_exception(error) if error is not None else future.set_result(cast(T, result))

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=run, name="slow-file", daemon=True).start()
    return future


def _words(stopped: Mapping[int, str]) -> str:
    return "; ".join(f"partition {p} cannot be recovered: {why}" for p, why in stopped.items())


def instance_name(config: Config, parts: Collection[ProcessRole] = frozenset(ProcessRole)) -> str:
    """The process's name: from the settings, or made of the host's name and the process's own port.

    A restarted process has the same name, so that its count of viewers replaces the old one.
    """
    host = re.sub(r"[^A-Za-z0-9]+", "-", platform.node()).strip("-")[:32] or "host"
    own_port = ProcessRole.gateway in parts and not config.gateway.share_port
    return config.liveroom.instance or f"{host}-{(config.gateway.port if own_port else 0) or os.getpid()}"


def _console_origins(config: Config) -> tuple[str, ...]:
    hosts = {config.console.host, "127.0.0.1", "localhost"}
    return tuple(local_url("http", host, config.console.port) for host in sorted(hosts))
