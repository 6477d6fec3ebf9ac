"""One process of a storm: `python -m loadtests.storm.worker`, started by `loadtests.storm.run`.

In come its `CustomerRange`, a `StormStart`, a `Life` whenever the server was killed, and a `StormFinish`.
Out go `StormProgress` and at last a `StormReport`.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Final

import msgspec
from msgspec import Struct

from loadtests.lib.worker_process import orders, run, say, words_of
from loadtests.storm.customer import Customer
from loadtests.storm.options import StormStart
from loadtests.storm.payment_simulator import PaymentSimulator
from loadtests.storm.scenarios import SCENARIOS
from loadtests.storm.storm_context import CustomerRange, StormContext
from loadtests.storm.transcript import Transcript

__all__ = ["Life", "StormFinish", "StormProgress", "StormReport"]

PROGRESS_S: Final = 0.25
NEWS_S: Final = 0.005
SETTLE_POLL_S: Final = 0.05


class Life(Struct, tag="life"):
    """The server was killed; what comes next comes from its life `number`. `again`: who kept its connection asks again for what was answered."""

    number: int
    again: bool = False


class StormFinish(Struct, tag="finish"):
    """Wait until all viewers are at `seq`, for `settle_s` at most, then report."""

    seq: int
    settle_s: float


class StormProgress(Struct, tag="progress"):
    """How far it is. `waiting` is what has to come to an end before all is over, once all are `done`."""

    joined: int = 0
    sent: int = 0
    answered: int = 0
    granted: int = 0
    done: int = 0
    waiting: int = 0
    life: int = 0
    failed: str = ""


class StormReport(Struct, tag="report"):
    """The transcript, and the measured figures."""

    transcript: Transcript
    latency: dict[str, dict[str, object]]
    latency_granted: dict[str, dict[str, object]]
    back: dict[str, int]
    failed_attempts: dict[str, int]
    habits: dict[str, int]
    connections: int
    sent: int
    queued: int
    cpu_s: float


_order: msgspec.json.Decoder[StormStart | Life | StormFinish] = msgspec.json.Decoder(StormStart | Life | StormFinish)


class StormWorker:
    """The customers of this process."""

    def __init__(self, part: CustomerRange) -> None:
        self._part = part
        self._context = StormContext(part)
        self._payments = PaymentSimulator(self._context)
        self._play = SCENARIOS[part.options.scenario].play
        self._customers = [Customer(self._context, self._payments, part.first + number) for number in range(part.viewers)]
        self._joined = 0
        self._done = 0
        self._failed = ""
        self._plays: list[asyncio.Task[None]] = []

    async def open_all(self) -> None:
        """Let everybody in."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for customer in self._customers:
                    tasks.create_task(self._open(customer))
        except* Exception as error:
            self._failed = words_of(error)
        gc.collect()
        gc.freeze()  # the customers are there to stay: nothing to collect among them

    async def _open(self, customer: Customer) -> None:
        await customer.open()
        self._joined += 1

    def start(self, start: StormStart) -> None:
        """Let everybody play."""
        self._plays = [asyncio.create_task(self._one(customer, start)) for customer in self._customers]

    async def _one(self, customer: Customer, start: StormStart) -> None:
        try:
            await self._play(customer, start)
        except Exception as error:
            self._failed = words_of(error)
            raise
        self._done += 1

    def killed(self, life: Life) -> None:
        """A new life of the server begins."""
        self._context.life = life.number
        if life.again:
            for customer in self._customers:
                customer.ask_again()

    def progress(self) -> StormProgress:
        """How far it is."""
        context = self._context
        return StormProgress(self._joined, context.sent, context.answered, context.granted, self._done, context.waiting, context.life, self._failed)

    async def finish(self, finish: StormFinish) -> StormReport:
        """Wait for the slowest viewer, then tell."""
        context = self._context
        for play in self._plays:
            play.cancel()
        await asyncio.gather(*self._plays, return_exceptions=True)
        connections = [connection for customer in self._customers for connection in customer.connections]
        for _ in range(int(finish.settle_s / SETTLE_POLL_S)):
            if all(connection.to >= finish.seq for connection in connections):
                break
            await asyncio.sleep(SETTLE_POLL_S)
        for connection in connections:
            if connection.to < finish.seq:
                context.end(connection.user, context.life, f"stands at {connection.to} and never came to {finish.seq}")
        for connection in connections:
            connection.close()
        await self._payments.close()
        return StormReport(
            transcript=context.transcript([owned for connection in connections if (owned := connection.owned) is not None]),
            latency=context.latency.to_plain(),
            latency_granted=context.latency_granted.to_plain(),
            back=dict(context.back),
            failed_attempts=dict(context.failed_attempts),
            habits=dict(context.habits),
            connections=len(connections),
            sent=context.sent,
            queued=context.queued,
            cpu_s=time.process_time(),
        )


async def _run() -> None:
    reader = await orders()
    worker = StormWorker(msgspec.json.decode(await reader.readline(), type=CustomerRange))

    async def tell() -> None:
        """Now and then, and soon after something was granted: a kill is to fall in the middle."""
        said = StormProgress()
        while True:
            for _ in range(round(PROGRESS_S / NEWS_S)):
                await asyncio.sleep(NEWS_S)
                if worker.progress().granted != said.granted:
                    break
            say(said := worker.progress())

    tasks = [asyncio.create_task(tell()), asyncio.create_task(worker.open_all())]
    while line := await reader.readline():
        order = _order.decode(line)
        if isinstance(order, StormStart):
            worker.start(order)
        elif isinstance(order, Life):
            worker.killed(order)
        else:
            tasks[0].cancel()
            say(await worker.finish(order))
            break
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    run(_run())
