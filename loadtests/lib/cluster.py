"""Engines, gateways and a console as processes of their own on a Kafka broker, for load tests that need many."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

from liveroom.config.schema import AuthConfig
from loadtests.lib.broker import Copies, OwnBrokers, copies_of
from loadtests.lib.target import LIVEROOM, LOG_LINES_SHOWN, Target, TargetError, free_ports

__all__ = ["Cluster", "brokers_of", "cluster_of"]

START_S: Final = 60.0
STOP_S: Final = 20.0
READY_POLL_S: Final = 0.02


class Cluster:
    """Processes by name, such as engine-1. The gateways share a port; a process that is started again has the name and the port that it had."""

    def __init__(self, directory: Path, kafka: str, copies: Copies, settings: Sequence[str], program: Sequence[str] = LIVEROOM) -> None:
        self._directory = directory
        self._program = tuple(program)
        gateway_port, console_port = islice(free_ports(), 2)
        self._flags = (
            *("--mode", "dev", "--data-dir", str(directory / "data"), "--logs-level", "info", "--ops-port", "0"),
            *("--journal-kind", "kafka", "--kafka-bootstrap-servers", kafka),
            *("--kafka-replication-factor", str(copies.replication_factor), "--kafka-min-insync-replicas", str(copies.min_insync_replicas)),
            *("--gateway-port", str(gateway_port), "--gateway-share-port", "true", "--gateway-drain-ms", "0", "--console-port", str(console_port)),
            *settings,
        )
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._ready: dict[str, dict[str, Any]] = {}
        self.gateway_url = f"ws://127.0.0.1:{gateway_port}"
        self.console_url = f"http://127.0.0.1:{console_port}"

    @property
    def names(self) -> list[str]:
        """The processes that run."""
        return sorted(self._processes)

    def pids_of(self, role: str) -> list[int]:
        """The ids of the processes of a role that run."""
        return [process.pid for name, process in list(self._processes.items()) if name.partition("-")[0] == role]

    @property
    def target(self) -> Target:
        """The addresses that clients need."""
        secret = Path(next(iter(self._ready.values()))["secret_file"]).read_text(encoding="ascii")
        return Target(self.gateway_url, self.console_url, AuthConfig(secret=secret))

    async def start(self, name: str, program: Sequence[str] = ()) -> None:
        """Start the process `name`, its part of the cluster being the word before the dash, and wait until it is ready. Raises `TargetError`."""
        ready_file, log_file = self._directory / f"{name}.ready", self._directory / f"{name}.log"
        ready_file.unlink(missing_ok=True)
        part = name.partition("-")[0]
        flags = (*self._flags, "--instance", name, "--ready-file", str(ready_file))
        environ = {variable: text for variable, text in os.environ.items() if not variable.startswith("LIVEROOM_")}
        with log_file.open("ab") as log:
            process = self._processes[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, *(program or self._program), part, *flags),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
                start_new_session=True,  # Ctrl-C is for us; we stop it when we are done with it
            )
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + START_S
        while not ready_file.exists():
            if process.returncode is not None or loop.time() > deadline_s:
                words = " | ".join(log_file.read_text(errors="replace").strip().splitlines()[-LOG_LINES_SHOWN:])
                raise TargetError(f"{name} did not start: {words or 'it said nothing'}")
            await asyncio.sleep(READY_POLL_S)
        self._ready[name] = orjson.loads(ready_file.read_bytes())

    def pause(self, name: str) -> None:
        """SIGSTOP: it stands still in the middle of whatever it does."""
        self._processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT: it goes on as if nothing had happened."""
        self._processes[name].send_signal(signal.SIGCONT)

    async def kill(self, name: str) -> None:
        """SIGKILL, and wait until it is gone."""
        process = self._processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def stop(self, name: str) -> None:
        """SIGTERM, and wait until it is gone."""
        process = self._processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise

    def check(self) -> None:
        """Raises `TargetError` when a process ended by itself."""
        for name, process in self._processes.items():
            if process.returncode is not None:
                words = " | ".join((self._directory / f"{name}.log").read_text(errors="replace").strip().splitlines()[-LOG_LINES_SHOWN:])
                raise TargetError(f"{name} ended by itself: {words}")

    async def metric(self, name: str, metric: str) -> dict[str, float]:
        """A metric of one process, by the value of its label. Raises `TargetError`."""
        return await Target(self.gateway_url, self._ready[name]["console"], self.target.auth).metric(metric)

    async def kill_all(self) -> None:
        """End everything at once."""
        await asyncio.gather(*(self.kill(name) for name in list(self._processes)))


@asynccontextmanager
async def brokers_of(address: str, count: int = 1) -> AsyncIterator[tuple[str, OwnBrokers | None]]:
    """The brokers at `address`, or `count` of our own when there are none. Raises `TargetError`."""
    if address:
        yield address, None
        return
    with tempfile.TemporaryDirectory(prefix="liveroom-load-kafka-", ignore_cleanup_errors=True) as directory:
        brokers = OwnBrokers(Path(directory), count)
        try:
            await brokers.start()
            yield brokers.address, brokers
        finally:
            with contextlib.suppress(OSError, TargetError):
                await brokers.kill()


@asynccontextmanager
async def cluster_of(kafka: str, settings: Sequence[str], names: Sequence[str], program: Sequence[str] = LIVEROOM) -> AsyncIterator[Cluster]:
    """A cluster with the processes `names`; the first one makes the secret and the topics. They are ended on the way out. Raises `TargetError`."""
    with tempfile.TemporaryDirectory(prefix="liveroom-load-") as directory:
        cluster = Cluster(Path(directory), kafka, await copies_of(kafka), settings, program)
        try:
            await cluster.start(names[0])
            await asyncio.gather(*(cluster.start(name) for name in names[1:]))
            yield cluster
        finally:
            await cluster.kill_all()
