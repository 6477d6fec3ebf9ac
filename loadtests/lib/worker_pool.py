"""Processes that carry a load, as the process that runs the test sees them: orders go in and words come out, as JSON lines."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from loadtests.lib.priority import Prioritize
from loadtests.lib.target import TargetError
from loadtests.lib.worker_process import LINE_BYTES_MAX

__all__ = ["Workers", "share_of", "workers_of"]

STOP_S: Final = 10.0

P = TypeVar("P")
R = TypeVar("R")


class Workers(Generic[P, R]):
    """Worker processes with the last report of each: its progress, and at the end its result. `workers_of` makes them."""

    def __init__(self, processes: list[asyncio.subprocess.Process], nothing: P, report: type[R], words: Any) -> None:
        self._processes = processes
        self._report = report
        self._decoder: msgspec.json.Decoder[P | R] = msgspec.json.Decoder(words)
        self.progress = [nothing] * len(processes)
        self._heard = asyncio.Event()
        self._reports: list[R | None] = [None] * len(processes)
        self._readers = [asyncio.create_task(self._read(number)) for number in range(len(processes))]

    @property
    def pids(self) -> list[int]:
        """The processes' ids."""
        return [process.pid for process in self._processes]

    def check(self) -> None:
        """Raises `TargetError` if a process ended before its report."""
        if any(reader.done() for reader in self._readers):
            raise TargetError("a process of the load generator ended early; see its words above")

    async def news(self, within_s: float) -> None:
        """Wait until any of them reports, `within_s` at most."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._heard.wait(), within_s)
        self._heard.clear()

    async def tell(self, order: Struct) -> None:
        """Give all of them an order."""
        line = msgspec.json.encode(order) + b"\n"
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(line)
            await process.stdin.drain()

    async def reports(self, within_s: float) -> list[R]:
        """The reports, once all are there. Raises `TargetError` when a process is lost."""
        await asyncio.wait(self._readers, timeout=within_s)
        found = [report for report in self._reports if report is not None]
        if len(found) < len(self._reports):
            raise TargetError("a process of the load generator ended without its report")
        return found

    async def stop(self) -> None:
        """End all processes."""
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        waiting = [asyncio.create_task(process.wait()) for process in self._processes]
        try:
            await asyncio.wait(waiting, timeout=STOP_S)
        finally:
            for process in self._processes:
                if process.returncode is None:
                    process.kill()
            for task in (*waiting, *self._readers):
                task.cancel()
            await asyncio.gather(*waiting, *self._readers, return_exceptions=True)

    async def _read(self, number: int) -> None:
        stdout = self._processes[number].stdout
        assert stdout is not None
        while line := await stdout.readline():
            words = self._decoder.decode(line)
            self._heard.set()
            if isinstance(words, self._report):
                self._reports[number] = words
                return
            self.progress[number] = words  # type: ignore[assignment]  # what is no report is progress


@asynccontextmanager
async def workers_of(
    module: str,
    parts: Sequence[Struct],
    nothing: P,
    report: type[R],
    *,
    environ: Mapping[str, str] | None = None,
    prioritize: Prioritize | None = None,
) -> AsyncIterator[Workers[P, R]]:
    """Start a process of `module` for each part; `nothing` is the progress of one that said nothing yet. They are ended on the way out.

    `environ` is added to their environment; `prioritize` gives each its part of the machine, see `loadtests.lib.priority`.
    """
    started: list[asyncio.subprocess.Process] = []
    words = type(nothing) | report  # both are structs with a tag
    workers: Workers[P, R] | None = None
    try:
        for part in parts:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LINE_BYTES_MAX,
                env={**os.environ, **(environ or {})},
                start_new_session=True,  # Ctrl-C is for us; their input ends when we do
            )
            started.append(process)
            if prioritize is not None:
                prioritize(process.pid)
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(part) + b"\n")
            await process.stdin.drain()
        workers = Workers(started, nothing, report, words)
        yield workers
    finally:
        await (workers or Workers(started, nothing, report, words)).stop()


def share_of(total: int, processes: int, number: int) -> int:
    """The part of process `number` when `total` is shared evenly."""
    return total // processes + (number < total % processes)
