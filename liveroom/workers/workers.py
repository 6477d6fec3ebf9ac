"""Both sides of `gateway.workers`: the main process serves its journal and keeps the workers; a worker opens that journal.

The workers share the gateway's port, and the kernel distributes connections among them.
docs/decisions/0017-workers.md gives the reasons.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from liveroom.config.schema import Config
from liveroom.journal.base import Journal
from liveroom.journal.socket.journal import SocketJournal
from liveroom.journal.socket.server import JournalServer
from liveroom.process.workers import Supervisor, WorkerSlot
from liveroom.protocol.codec import encode

__all__ = ["WorkerProcesses", "open_worker_journal", "settings_digest", "worker_config"]

SOCKET_FILE: Final = "journal.sock"
#: Time for a new worker to reach the process with the journal.
START_S: Final = 30.0
#: Time for a worker to end beyond `gateway.drain_ms`: closes, and the last reports.
END_S: Final = 10.0


class WorkerProcesses:
    """The workers of this process, and the journal that it serves to them."""

    def __init__(self, journal: Journal, config: Config, command: Callable[[WorkerSlot, int], Sequence[str]], settings: str) -> None:
        data_dir = Path(config.liveroom.data_dir)
        self._gateway = config.gateway
        self._journal, self._path, self._settings = journal, data_dir / SOCKET_FILE, settings
        self._server: JournalServer | None = None
        stop_s = config.gateway.drain_ms / 1000 + END_S
        self._supervisor = Supervisor(data_dir, config.gateway.workers, lambda slot: command(slot, self.port), stop_s=stop_s)
        self._reserved: socket.socket | None = None
        self.port = config.gateway.port

    async def start(self) -> None:
        """Serve the journal and start the workers. Returns at once; see `missing`. Raises `OSError`, `BadConfig`."""
        if not self.port:  # any free port: it stays reserved by a socket that does not listen
            self._reserved = socket.socket(socket.AF_INET6 if ":" in self._gateway.host else socket.AF_INET)
            self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._reserved.bind((self._gateway.host, 0))
            self.port = self._reserved.getsockname()[1]
        self._server = JournalServer(self._journal, self._path, self._journal.identity, _shared_settings(self._settings, self.port))
        await self._server.start()
        self._supervisor.start()

    @property
    def missing(self) -> list[int]:
        """The numbers of the workers that are not ready."""
        return self._supervisor.missing

    @property
    def ready(self) -> bool:
        """Whether all workers are ready."""
        return not self.missing

    def reload(self) -> None:
        """Let the workers read the certificate again."""
        self._supervisor.reload()

    async def stop(self) -> None:
        """Let the workers drain, and serve the journal no longer."""
        await self._supervisor.stop()
        if self._server is not None:
            await self._server.close()
        if self._reserved is not None:
            self._reserved.close()


def settings_digest(config: Config) -> str:
    """A digest of all settings. Workers and their main process read the same ones."""
    return sha256(encode(config)).hexdigest()


def worker_config(config: Config, slot: WorkerSlot, port: int) -> Config:
    """The settings of one worker: those of the main process, with a name and a port for health and metrics of its own."""
    ops_port = config.ops.port + slot.number if config.ops.port else 0
    return replace(
        config,
        liveroom=replace(config.liveroom, instance=f"{config.liveroom.instance or 'worker'}-{slot.number}"),
        gateway=replace(config.gateway, port=port, share_port=True),
        ops=replace(config.ops, port=ops_port),
    )


async def open_worker_journal(config: Config, settings: str) -> Journal:
    """The journal of the main process. Raises `JournalUnavailable`, `JournalDamaged`."""
    path = Path(config.liveroom.data_dir) / SOCKET_FILE
    shared = _shared_settings(settings, config.gateway.port)
    return await SocketJournal.open(path, wait_s=START_S, settings=shared, alone_s=config.gateway.workers_alone_ms / 1000)


def _shared_settings(settings: str, port: int) -> str:
    """The text that workers and their main process must have in common. With `gateway.port` 0, each main process finds another port."""
    return f"{settings}:{port}"
