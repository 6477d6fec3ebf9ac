"""Kafka brokers of the test's own on loopback, which keep their ports and their data through restarts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from msgspec import Struct

from liveroom.config.schema import KafkaConfig
from loadtests.lib.target import TargetError

__all__ = ["Copies", "OwnBrokers", "PartitionCopies", "copies_of"]

PROGRAM: Final = Path(__file__).parents[2] / "deploy" / "kafka-local" / "broker.py"
#: Starting may mean to fetch Kafka first.
COMMAND_S: Final = 700.0
GONE_POLL_S: Final = 0.02
#: Time for brokers to know a partition, and the pause before they are asked again.
KNOWN_S: Final = 60.0
AGAIN_S: Final = 0.1
ASK_MS: Final = 2_000


class Copies(Struct, frozen=True):
    """How many copies of a partition a cluster can have, and how many must have a write before it counts."""

    replication_factor: int
    min_insync_replicas: int


async def copies_of(address: str) -> Copies:
    """The replication that these brokers allow, at most liveroom's default. Raises `TargetError`."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address.split(","))
    try:
        await admin.start()
        brokers = len((await admin.describe_cluster())["brokers"])
    except KafkaError as error:
        raise TargetError(f"no Kafka broker answers at {address}: {error}") from None
    finally:
        await admin.close()
    return Copies(min(KafkaConfig().replication_factor, brokers), min(KafkaConfig().min_insync_replicas, brokers))


class PartitionCopies(Struct, frozen=True):
    """Which brokers have a partition, by their numbers: the leader (-1 = there is none), those in sync, all."""

    leader: int
    in_sync: tuple[int, ...]
    replicas: tuple[int, ...]

    @property
    def followers(self) -> tuple[int, ...]:
        """All but the leader."""
        return tuple(number for number in self.replicas if number != self.leader)


class OwnBrokers:
    """The brokers of one directory, numbered from 1. Once they were started, `address` has all of them."""

    def __init__(self, directory: Path, count: int = 1, settings: str = "") -> None:
        """`settings` are lines for every broker's settings."""
        self._directory = directory
        self._settings = settings
        self.count = count
        self.address = ""

    @property
    def numbers(self) -> range:
        """The numbers of all brokers."""
        return range(1, self.count + 1)

    async def start(self, number: int = 0) -> None:
        """Start all, or one, at the ports that they had before. Raises `TargetError`."""
        more: tuple[str, ...] = ()
        if self._settings and not self.address:
            self._directory.mkdir(parents=True, exist_ok=True)
            (self._directory / "more.properties").write_text(self._settings, encoding="utf-8")
            more = ("--settings", str(self._directory / "more.properties"))
        self.address = await self._run("start", number, *more)

    async def stop(self, number: int = 0) -> None:
        """End all, or one, in an orderly way. Raises `TargetError`."""
        await self._run("stop", number)

    async def kill(self, number: int = 0) -> None:
        """SIGKILL to all, or one, and wait until it is gone."""
        for one in [number] if number else self.numbers:
            await asyncio.to_thread(_kill, self._pid(one))

    def pause(self, number: int = 1) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        os.kill(self._pid(number), signal.SIGSTOP)

    def resume(self, number: int = 1) -> None:
        """SIGCONT."""
        os.kill(self._pid(number), signal.SIGCONT)

    async def copies(self, topic: str, partition: int) -> PartitionCopies:
        """A partition's leader and replicas, asked for until a running broker knows them. Raises `TimeoutError`."""
        async with asyncio.timeout(KNOWN_S):
            while True:
                with contextlib.suppress(KafkaError):  # one that is down may be asked
                    if (found := await self._ask(topic, partition)) is not None:
                        return found
                await asyncio.sleep(AGAIN_S)

    async def _ask(self, topic: str, partition: int) -> PartitionCopies | None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address.split(","), request_timeout_ms=ASK_MS)
        await admin.start()
        try:
            for found in (await admin.describe_topics([topic]))[0]["partitions"]:
                if found["partition"] == partition:
                    return PartitionCopies(found["leader"], tuple(found["isr"]), tuple(found["replicas"]))
        finally:
            await admin.close()
        return None

    def _pid(self, number: int) -> int:
        return int((self._directory / f"broker-{number}" / "broker.pid").read_text(encoding="ascii"))

    async def _run(self, command: str, number: int, *more: str) -> str:
        pipe = asyncio.subprocess.PIPE
        which = ("--only", str(number)) if number else ()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(PROGRAM), command, "--data-dir", str(self._directory), "--brokers", str(self.count), *which, *more),
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )
        async with asyncio.timeout(COMMAND_S):
            out, words = await process.communicate()
        if process.returncode:
            raise TargetError(words.decode(errors="replace").strip())
        return out.decode().strip()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    while _runs(pid):
        time.sleep(GONE_POLL_S)


def _runs(pid: int) -> bool:
    """One that ended, and that nobody has waited for, has no command line any more."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False
