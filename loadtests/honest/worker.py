"""The honest users of a hostile run or of a run with kills: `python -m loadtests.honest.worker`, started by `loadtests.honest.users`.

They watch, say lines, buy and grab red envelopes, and record their answers.
In come a `HonestTask`, a `SaleBegun`, then `Pause`, `SetBack`, `Resume`, `Repeat` and `Life`, and a `StormFinish`.
Out go `HonestProgress` and at last a `HonestReport`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import msgspec

from liveroom.features.chat.messages import SendChat
from liveroom.features.flash_sale.messages import CancelHold, ReserveStock
from liveroom.features.red_envelope.messages import GrabRedEnvelope
from liveroom.protocol.frames import Accepted
from loadtests.crowd.frame_audit import LatencyProbe, probe_text
from loadtests.honest.availability import AvailabilityProbe
from loadtests.honest.honest_context import HonestContext
from loadtests.honest.messages import HonestProgress, HonestReport, HonestTask, Pause, Repeat, Resume, SaleBegun, SetBack
from loadtests.lib.worker_process import orders, run, say, words_of
from loadtests.storm.customer import Customer
from loadtests.storm.payment_simulator import PaymentSimulator
from loadtests.storm.worker import Life, StormFinish

__all__ = ["HonestWorker"]

PROGRESS_S: Final = 0.1
SETTLE_POLL_S: Final = 0.05
#: Length of a line, such that its text does not end with a blank.
LINE_CHARACTERS: Final = 60
#: Share of the holds that are cancelled, among those not left to expire, and the most of one user: the room refuses users who cancel often.
CANCELLED: Final = 0.1
CANCELLED_MAX: Final = 10
ENVELOPE_OPENS_MS: Final = 1_000
ENVELOPE_OPEN_MS: Final = 3_600_000
SHARE_FEN: Final = 100


Order = SaleBegun | Pause | SetBack | Resume | Repeat | Life | StormFinish
_order: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)


class HonestWorker:
    """The users of this process."""

    def __init__(self, crowd: HonestTask) -> None:
        self._crowd = crowd
        self._context = context = HonestContext(crowd)
        self._payments = PaymentSimulator(context)
        self._customers = [Customer(context, self._payments, crowd.part.first + number) for number in range(crowd.part.viewers)]
        self._going = asyncio.Event()
        self._acts = 0
        self._joined = 0
        self._failed = ""
        self._lines = 0
        self._sale = -1
        self._repeated = False
        self._cancelled: Counter[str] = Counter()
        self._envelopes: list[tuple[int, int]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def open_all(self) -> None:
        """Let everybody in."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for customer in self._customers:
                    tasks.create_task(self._open(customer))
        except* Exception as error:
            self._failed = words_of(error)

    async def _open(self, customer: Customer) -> None:
        await customer.open()
        self._joined += 1

    # Orders

    def begin(self, begin: SaleBegun) -> None:
        """Let everybody act."""
        self._context.phases, self._sale = begin.phases, begin.sale
        self._going.set()
        pace = self._crowd.pace
        for ordinal, customer in enumerate(self._customers):
            self._start(self._often(customer, pace.chat_s, lambda ordinal=ordinal, customer=customer: self._say(customer, ordinal)))  # type: ignore[misc]
            if ordinal % pace.buyers == 0:
                self._start(self._often(customer, pace.buy_s, lambda customer=customer: self._buy(customer)))  # type: ignore[misc]
        self._start(self._often(self._customers[0], pace.envelope_s, self._drop))
        if self._crowd.watch:
            probe = AvailabilityProbe(self._context)
            self._start(probe.ring(self._going))
            self._start(probe.ask_health(self._going))

    def pause(self) -> None:
        """Begin nothing more."""
        self._going.clear()

    def resume(self) -> None:
        """Go on."""
        self._going.set()

    def set_back(self, set_back: SetBack) -> None:
        """Go on in a room that was set back to an older copy."""
        self._context.life = set_back.number
        self._context.frame_audit.forget()

    def repeat(self) -> None:
        """Ask everything again."""
        self._start(self._repeat_all())

    async def _repeat_all(self) -> None:
        await asyncio.gather(self._payments.repeat_all(), *(customer.repeat_all() for customer in self._customers))
        self._repeated = True

    def life(self, life: Life) -> None:
        """A new life of the server begins."""
        self._context.life = life.number

    def progress(self) -> HonestProgress:
        """How far it is."""
        context = self._context
        context.frame_audit.harvest(sum(len(customer.connections) for customer in self._customers))
        return HonestProgress(
            joined=self._joined,
            answered=context.answered,
            bought=context.done["purchases"],
            grabbed=context.done["grabs"],
            delivered=context.frame_audit.delivered,
            problems=len(context.problems),
            first_problem=": ".join(context.problems[0]) if context.problems else "",
            life=context.life,
            paused=not self._going.is_set() and not self._acts and all(connection.to >= 0 for c in self._customers for connection in c.connections),
            repeated=self._repeated,
            failed=self._failed,
        )

    async def finish(self, finish: StormFinish) -> HonestReport:
        """Wait for the slowest viewer, then tell."""
        context = self._context
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        connections = [connection for customer in self._customers for connection in customer.connections]
        for _ in range(int(finish.settle_s / SETTLE_POLL_S)):
            if all(connection.to >= finish.seq for connection in connections):
                break
            await asyncio.sleep(SETTLE_POLL_S)
        for connection in connections:
            if connection.to < finish.seq:
                context.end(connection.user, context.life, f"stands at {connection.to} and never came to {finish.seq}")
        self.progress()
        decided = {one.about for one in context.asked if one.command == "send_chat" and one.answer is not None}
        undecided = {one.about for one in context.asked if one.command == "send_chat"} - decided
        audit = context.frame_audit.audit(
            [connection.place for connection in connections if connection.place is not None], context.accepted, undecided
        )
        for connection in connections:
            connection.close()
        await self._payments.close()
        told = [(phase, "delivery", latency) for phase, latency in context.frame_audit.latencies.items()]
        told += [(phase, what, latency) for (phase, what), latency in context.latencies.items()]
        return HonestReport(
            transcript=context.transcript([owned for connection in connections if (owned := connection.owned) is not None]),
            audit=audit,
            latencies=[(phase, what, latency.to_plain()) for phase, what, latency in told],
            problems=context.problems,
            envelopes=self._envelopes,
            done=dict(context.done),
            back=dict(context.back),
            cpu_s=time.process_time(),
        )

    # Acts

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed = words_of(error)

    async def _often(self, customer: Customer, pace_s: float, act: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(customer.rng.random() * pace_s)
        while True:
            await self._going.wait()
            with self._acting():
                await act()
            await asyncio.sleep((0.5 + customer.rng.random()) * pace_s)

    @contextlib.contextmanager
    def _acting(self) -> Iterator[None]:
        self._acts += 1
        try:
            yield
        finally:
            self._acts -= 1

    async def _say(self, customer: Customer, ordinal: int) -> None:
        context = self._context
        number, self._lines = self._lines, self._lines + 1
        probe = LatencyProbe(number, ordinal, time.monotonic_ns())
        answer = await customer.ask(SendChat(probe_text(probe, LINE_CHARACTERS)), number)
        if not isinstance(answer, Accepted):
            return
        context.done["lines"] += 1
        if answer.result["shown"]:
            context.accepted.add(number)
        else:
            context.problem("turned_away", f"line {number} was not shown")

    async def _buy(self, customer: Customer) -> None:
        context, began_ns = self._context, time.monotonic_ns()
        answer = await customer.ask(ReserveStock(self._sale), self._sale, 1)
        if not isinstance(answer, Accepted):
            return
        hold = int(answer.result["hold"])
        if (chance := customer.rng.random()) < context.options.unpaid:
            context.done["left_to_expire"] += 1
        elif chance < context.options.unpaid + CANCELLED and self._cancelled[customer.user] < CANCELLED_MAX:
            self._cancelled[customer.user] += 1
            await customer.ask(CancelHold(hold), hold)
            context.done["given_back"] += 1
        else:
            paid_ns = time.monotonic_ns()
            receipt = await self._payments.confirm(hold, 0, 1)
            context.time("confirm_hold", paid_ns)
            context.time("purchase", began_ns)
            context.done["purchases"] += isinstance(receipt, Accepted)

    async def _drop(self) -> None:
        """Drop an envelope with a share for every second user, and let everybody grab."""
        context, count = self._context, max(1, len(self._customers) // 2)
        terms = {"total_fen": count * SHARE_FEN, "shares": count, "opens_in_ms": ENVELOPE_OPENS_MS, "open_for_ms": ENVELOPE_OPEN_MS}
        answer = await self._payments.ask(f"envelope-{len(self._envelopes)}", "drop_red_envelope", terms, count)
        if not isinstance(answer, Accepted):
            context.problem("turned_away", f"drop_red_envelope: {answer.code}: {answer.detail}")
            return
        envelope = int(answer.result["envelope"])
        self._envelopes.append((envelope, int(answer.result["opens_ms"])))
        await asyncio.gather(*(self._grab(customer, envelope) for customer in self._customers))

    async def _grab(self, customer: Customer, envelope: int) -> None:
        # By this process' own clock: that of the server may step meanwhile, and its refusal says when to come back.
        await asyncio.sleep(ENVELOPE_OPENS_MS / 1000 + customer.rng.random() * self._context.options.within_s)
        answer = await customer.ask(GrabRedEnvelope(envelope), envelope)
        self._context.done["grabs"] += isinstance(answer, Accepted)


async def _run() -> None:
    reader = await orders()
    worker = HonestWorker(msgspec.json.decode(await reader.readline(), type=HonestTask))

    async def tell() -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            say(worker.progress())

    tasks = [asyncio.create_task(tell()), asyncio.create_task(worker.open_all())]
    while line := await reader.readline():
        match _order.decode(line):
            case SaleBegun() as begin:
                worker.begin(begin)
            case Pause():
                worker.pause()
            case SetBack() as set_back:
                worker.set_back(set_back)
            case Resume():
                worker.resume()
            case Repeat():
                worker.repeat()
            case Life() as life:
                worker.life(life)
            case StormFinish() as finish:
                tasks[0].cancel()
                say(await worker.finish(finish))
                break
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    run(_run())
