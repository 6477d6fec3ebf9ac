"""A Kafka broker of the test's own: one node on loopback that keeps its port and its data through restarts."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

from loadtests.target import TargetError

__all__ = ["OwnBroker"]

PROGRAM: Final = Path(__file__).parent.parent / "deploy" / "kafka-local" / "broker.py"
#: Starting may mean to fetch Kafka first.
COMMAND_S: Final = 700.0
GONE_POLL_S: Final = 0.02


class OwnBroker:
    """Of one directory; `address` is where it answers once it was started."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.address = ""

    async def start(self) -> None:
        """Start, at the port that it had before. Raises `TargetError`."""
        self.address = await self._run("start")

    async def stop(self) -> None:
        """End it in an orderly way. Raises `TargetError`."""
        await self._run("stop")

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        await asyncio.to_thread(_kill, _pid(self._directory))

    async def _run(self, command: str) -> str:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(PROGRAM), command, "--data-dir", str(self._directory)), stdout=pipe, stderr=pipe, start_new_session=True
        )
        async with asyncio.timeout(COMMAND_S):
            out, words = await process.communicate()
        if process.returncode:
            raise TargetError(words.decode(errors="replace").strip())
        return out.decode().strip()


def _pid(directory: Path) -> int:
    return int((directory / "broker.pid").read_text(encoding="ascii"))


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    while _runs(pid):
        time.sleep(GONE_POLL_S)


def _runs(pid: int) -> bool:
    """One that ended, and that nobody has waited for, has no command line any more."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False
