"""A real server as a process of its own: `liveroom serve` on free ports with a data directory that outlives it."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import aiohttp
import orjson
from msgspec import structs

from liveroom.auth.tokens import make_token
from liveroom.config.schema import AuthConfig, Config, JournalConfig, LiveroomConfig
from liveroom.journal.base import Journal
from liveroom.journal.kafka.journal import KafkaJournal
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.messages.fields import Role
from liveroom.process.workers import WorkerSlot
from liveroom.telemetry.metrics import Metrics
from tests.broker import kafka_config, kafka_flags

#: On three brokers and a busy machine. The wait ends with the start.
START_S = 90
STOP_S = 30


#: Ports below those that Linux gives to clients and to port 0, so that no other program takes one by chance.
#: Parallel workers of one run have a part of them each.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = range(16_000 + _WORKER % 4 * 4_000, 20_000 + _WORKER % 4 * 4_000)
_ports = itertools.cycle(PORTS)
for _ in range(os.getpid() * 7 % len(PORTS)):  # runs side by side begin apart
    next(_ports)


def free_port() -> int:
    """A port that nobody listens on now, and that this process does not hand out again soon."""
    for port in itertools.islice(_ports, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # like the server: ignore connections in TIME_WAIT
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no port in {PORTS} is free")


#: The store of the journal for servers that are made now; `workers` is an embedded one whose viewers other processes hold.
JournalKind = Literal["embedded", "workers", "kafka"]
_kept_in: JournalKind = "embedded"
WORKERS = 2


@contextmanager
def journal_kept_in(kind: JournalKind) -> Iterator[None]:
    """Servers that are made meanwhile have their journal there."""
    global _kept_in
    before, _kept_in = _kept_in, kind
    try:
        yield
    finally:
        _kept_in = before


def journal_config(data_dir: Path) -> Config:
    """Where a server keeps its journal: in the directory, or in topics of its own in the tests' broker."""
    here = LiveroomConfig(data_dir=str(data_dir))
    if _kept_in != "kafka":
        return Config(liveroom=here)
    return structs.replace(kafka_config(JournalConfig(kind="kafka"), session_ms=1_000), liveroom=here)


def journal_flags(config: Config) -> tuple[str, ...]:
    """The same for a command of its own."""
    where = ("--data-dir", config.liveroom.data_dir)
    return (*where, *kafka_flags(config.kafka)) if config.journal.kind == "kafka" else where


async def open_journal(config: Config) -> Journal:
    """The journal that these settings name; of the embedded one, its server must have ended."""
    if config.journal.kind == "kafka":
        return await KafkaJournal.open(config, Metrics(), "test")
    return await SqliteJournal.open(Path(config.liveroom.data_dir), config.journal, Metrics())


class Server:
    """Start, kill and start again on the same ports and data; as a context manager it never outlives the test."""

    def __init__(self, data_dir: Path, *flags: str, within: tuple[str, ...] = ()) -> None:
        """`within`: a command that runs the server's own, which follows it, such as one that mounts its disk first."""
        self.data_dir = data_dir
        self._within = within
        self.gateway_url = f"ws://127.0.0.1:{free_port()}"
        self.console_url = f"http://127.0.0.1:{free_port()}"
        #: Settings by which its journal is found.
        self.config = journal_config(data_dir)
        workers = ("--workers", str(WORKERS), "--ops-port", "0") if _kept_in == "workers" else ()
        self._flags = (*journal_flags(self.config), *workers, *flags)
        self._process: asyncio.subprocess.Process | None = None
        self.log = data_dir.parent / f"{data_dir.name}.log"

    @property
    def pid(self) -> int:
        """The process' id while it runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether `kill` or `stop` ended it, or it was never started; a process that ended by itself does not count."""
        return self._process is None

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
        for pid in self.worker_pids:  # they outlive a killed server for a while
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @property
    def worker_pids(self) -> list[int]:
        """The process ids of the living workers, by their numbers."""
        return [pid for number in range(1, WORKERS + 1) if (pid := WorkerSlot(self.data_dir, number).holder())]

    async def start(self) -> None:
        """Start and wait until it is ready; raises with its words when it ends instead."""
        ready_file = self.data_dir.parent / f"{self.data_dir.name}.ready"
        ready_file.unlink(missing_ok=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LIVEROOM_")}
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(*self._within, sys.executable, "-m", "liveroom", "serve", "--mode", "dev"),
                *("--gateway-port", self.gateway_url.rpartition(":")[2], "--console-port", self.console_url.rpartition(":")[2]),
                *("--ready-file", str(ready_file), *self._flags),
                stdout=log,
                stderr=log,
                env=environment,
            )
        try:
            async with asyncio.timeout(START_S):
                while not ready_file.exists():
                    if self._process.returncode is not None:
                        raise RuntimeError(f"the server ended with {self._process.returncode}: {self.log.read_text()[-2000:]}")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise TimeoutError(f"the server was not ready within {START_S} s: {self.log.read_text()[-2000:]}") from None
        finally:
            if not ready_file.exists():
                await self.kill()  # nothing else kills it, and a run of tests does not end before its processes

    @property
    def pids(self) -> list[int]:
        """The process ids of the server and of its workers."""
        return [self.pid, *self.worker_pids]

    async def metric(self, name: str) -> float:
        """A metric without labels, summed over the server and its workers."""
        ready_files = [WorkerSlot(self.data_dir, number).ready_file for number in range(1, WORKERS + 1)]
        urls = [self.console_url, *(orjson.loads(file.read_bytes())["console"] for file in ready_files if file.exists())]
        found = 0.0
        async with aiohttp.ClientSession() as session:
            for url in urls:
                async with session.get(f"{url}/metrics") as response:
                    found += next(float(line.split()[1]) for line in (await response.text()).splitlines() if line.startswith(f"{name} "))
        return found

    async def kill(self) -> None:
        """SIGKILL: no goodbye of any kind."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(number)
        async with asyncio.timeout(STOP_S):
            return await process.wait()

    def token(self, room: str, user: str, role: Role = Role.viewer, **more: Any) -> str:
        """A token signed with the server's own secret."""
        secret = (self.data_dir / "dev-secret").read_text()
        return make_token(secret, AuthConfig(), user=user, room=room, role=role, lifetime_s=3_600, **more)

    async def command(self, room: str, command: str, body: dict[str, Any], *, user: str = "anna", role: Role = Role.anchor) -> dict[str, Any]:
        """One command over HTTP; returns the parsed answer with its `http_status`."""
        headers = {"Authorization": f"Bearer {self.token(room, user, role)}"}
        url = f"{self.console_url}/v1/rooms/{room}/commands/{command}"
        async with aiohttp.ClientSession() as session, session.post(url, data=orjson.dumps(body), headers=headers) as response:
            answer: dict[str, Any] = {**orjson.loads(await response.read()), "http_status": response.status}
            return answer


def unheard(server: Server) -> list[str]:
    """Lines of a server's log that tell of a future or task whose error nobody looked at: each is a failure that went unnoticed."""
    return re.findall(r"[^\n]*was never retrieved[^\n]*", server.log.read_text(errors="replace"))
