"""`make run-cluster` as a process: its words, and where its parts are."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

from tests.serving import PORTS, free_port

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "run_cluster.py"

#: Longer than the launcher waits itself, and than Maven may take to fetch Kafka.
SAY_S = 700
END_S = 90
OPS_PORTS = 5


class Launched:
    """Start, read, signal; as a context manager it never outlives the test, and so its parts do not."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.gateway_port, self.console_port, self.ops_port = free_port(), free_port(), _free_ports(OPS_PORTS)
        self.words = ""
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Launched:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end(signal.SIGINT)

    async def start(self, **environment: str) -> None:
        """Start it."""
        ports = ("--gateway-port", self.gateway_port, "--console-port", self.console_port, "--ops-port", self.ops_port)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(SCRIPT), "--data-dir", str(self.data_dir), *map(str, ports)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={k: v for k, v in os.environ.items() if not k.startswith("LIVEROOM_")} | environment,
        )

    async def says(self, pattern: str) -> re.Match[str]:
        """Wait until it has said something."""
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(SAY_S):
            while not (found := re.search(pattern, self.words)):
                line = await self._process.stdout.readline()
                assert line, f"it ended without saying {pattern!r}: {self.words}"
                self.words += line.decode()
        return found

    def pids(self) -> dict[str, int]:
        """The parts that were named, with the pid that each had last."""
        started = re.findall(r"^cluster: (\S+) +pid (\d+)", self.words, re.MULTILINE)
        again = re.findall(r"^cluster: (\S+) .* started again \(pid (\d+)\)", self.words, re.MULTILINE)
        return {name: int(pid) for name, pid in started + again}

    async def end(self, number: signal.Signals | None = None) -> int:
        """Send a signal, if any, and wait until it has ended; returns the exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if number is not None and process.returncode is None:
            process.send_signal(number)
        async with asyncio.timeout(END_S):
            rest, _ = await process.communicate()
        self.words += rest.decode()
        assert process.returncode is not None
        return process.returncode


def _free_ports(count: int) -> int:
    """The first of some ports in a row."""
    while True:
        first = free_port()
        if first + count in PORTS and all(free_port() == first + n for n in range(1, count)):
            return first
