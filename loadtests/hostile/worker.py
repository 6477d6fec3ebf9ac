"""A process of attackers: `python -m loadtests.hostile.worker`, started by `loadtests.hostile.hostile`.

It reads an `Assault`, and writes `HostileProgress` and, after the last phase, a `HostileReport`.
In a quiet phase it keeps a core as busy as in the hostile phase before it.
So the load on the machine stays the same for honest users, and only the load on the server differs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Final

import msgspec
from msgspec import Struct

from loadtests.hostile.attacks.front import Field, Front
from loadtests.hostile.attacks.table import ATTACKS
from loadtests.lib.phases import Phases
from loadtests.lib.worker_process import orders, run, say, words_of

__all__ = ["AFTERMATH_S", "Assault", "HostileProgress", "HostileReport"]

#: A hostile phase ends with some quiet in which the server tidies up: the next phase begins without a trace of this one.
AFTERMATH_S: Final = 2.0
PROGRESS_S: Final = 1.0
#: A part of a quiet phase's load, and the rest that follows it, take this long together.
SLICE_S: Final = 0.02


class Assault(Struct):
    """The process's attacks and their phases."""

    field: Field
    attacks: list[str]
    phases: Phases


class HostileProgress(Struct, tag="progress"):
    """The number of acts so far in all attacks together; `failed` is the error of an attack that broke by itself."""

    acts: int = 0
    failed: str = ""


class HostileReport(Struct, tag="report"):
    """The outcomes by attack, and the CPU time in hostile and in quiet phases."""

    outcomes: dict[str, dict[str, int]]
    hostile_cpu_s: float
    quiet_cpu_s: float


class HostileWorker:
    """The attackers of this process."""

    def __init__(self, assault: Assault) -> None:
        self._phases = assault.phases
        self.fronts = {name: Front(assault.field, name, ATTACKS[name].sources) for name in assault.attacks}
        self.failed = ""
        self._share = 0.0  # the part of a core that was used in the last hostile phase
        self._cpu_s = {True: 0.0, False: 0.0}

    async def run(self) -> HostileReport:
        """Attack and rest by turns."""
        for number in range(self._phases.count):
            await _until(self._phases.begin_ns(number))
            began_s, hostile = time.process_time(), self._phases.hostile(number)
            end_ns = self._phases.begin_ns(number + 1)
            if hostile:
                await self._attack(end_ns - int(AFTERMATH_S * 1e9))
            else:
                await self._burn(end_ns)
            used_s = time.process_time() - began_s
            self._cpu_s[hostile] += used_s
            if hostile:
                self._share = used_s / (self._phases.phase_ns / 1e9)
        await _until(self._phases.end_ns)
        return HostileReport({name: dict(front.outcomes) for name, front in self.fronts.items()}, self._cpu_s[True], self._cpu_s[False])

    async def _attack(self, end_ns: int) -> None:
        tasks = [asyncio.create_task(self._one(ATTACKS[name].run(front))) for name, front in self.fronts.items()]
        await _until(end_ns)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, attack: Awaitable[None]) -> None:
        try:
            await attack
        except Exception as error:
            self.failed = self.failed or words_of(error)
            raise

    async def _burn(self, end_ns: int) -> None:
        while (now_ns := time.monotonic_ns()) < end_ns:
            busy_s = self._share * SLICE_S
            stop_s = time.process_time() + busy_s
            while time.process_time() < stop_s:
                pass
            await asyncio.sleep(max(0.0, SLICE_S - (time.monotonic_ns() - now_ns) / 1e9))


async def _until(ns: int) -> None:
    await asyncio.sleep(max(0.0, (ns - time.monotonic_ns()) / 1e9))


async def _run() -> None:
    # The loop's messages about dropped TLS connections are the attackers' own doing; an attack that breaks reports it itself.
    asyncio.get_running_loop().set_exception_handler(lambda _, __: None)
    reader = await orders()
    worker = HostileWorker(msgspec.json.decode(await reader.readline(), type=Assault))

    async def tell() -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            say(HostileProgress(sum(front.outcomes.total() for front in worker.fronts.values()), worker.failed))

    telling = asyncio.create_task(tell())
    working = asyncio.create_task(worker.run())
    ended = asyncio.create_task(reader.read())  # the input ends when the test does
    await asyncio.wait([working, ended], return_when=asyncio.FIRST_COMPLETED)
    telling.cancel()
    if working.done():
        say(working.result())
        await ended
    else:
        working.cancel()


if __name__ == "__main__":
    run(_run())
