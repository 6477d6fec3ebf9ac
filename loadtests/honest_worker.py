"""The honest users of a hostile run or of a run with kills: `python -m loadtests.honest_worker`, started by `loadtests.honest`.

They watch, say lines, buy and grab red envelopes, and keep book of what they were told. In come a `Crowd`, a `Begin`, then `Pause`, `SetBack`,
`Resume`, `Repeat` and `Life`, and a `Finish`; out go `Progress` and at last a `Report`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from liveroom.features.flash_sale.messages import CancelHold, ReserveStock
from liveroom.features.red_envelope.messages import GrabRedEnvelope
from liveroom.protocol.commands import SendChat
from liveroom.protocol.frames import Accepted
from loadtests.cashier import Cashier
from loadtests.customer import Customer
from loadtests.doorbell import Doorbell
from loadtests.latency import Latency
from loadtests.phases import NO_PHASE, Phases
from loadtests.storm_worker import Finish, Life
from loadtests.story import PASSING, Asked, Reply, Story
from loadtests.trail import Audit, Event, Mark, mark_of, mark_text
from loadtests.venue import Part, Venue
from loadtests.worker import orders, run, say, words_of

__all__ = ["Begin", "Crowd", "Pace", "Pause", "Progress", "Repeat", "Report", "Resume", "SetBack"]

PROGRESS_S: Final = 0.1
SETTLE_POLL_S: Final = 0.05
#: An answer, or a line at a viewer, that takes longer than this came too late.
LATE_S: Final = 5.0
#: A line's text is so long that nothing at its end is blank.
LINE_CHARACTERS: Final = 60
#: Of the reservations that are not left to expire, this part is given back, and by one user no more than this: who does it often is refused.
CANCELLED: Final = 0.1
CANCELLED_MAX: Final = 10
ENVELOPE_OPENS_MS: Final = 1_000
ENVELOPE_OPEN_MS: Final = 3_600_000
SHARE_FEN: Final = 100
PROBLEMS_MAX: Final = 1_000


class Pace(Struct, frozen=True):
    """Average seconds from one act to the next: of a user's lines, of a buyer's purchases, of envelopes in the room. Every `buyers`-th user buys."""

    chat_s: float = 2.5
    buy_s: float = 5.0
    envelope_s: float = 10.0
    buyers: int = 3


class Crowd(Struct):
    """What the process is to do. `log`: a file for every reply, as it comes. `watch`: look whether newcomers get in and health is answered."""

    part: Part
    pace: Pace
    log: str = ""
    watch: bool = False


class Begin(Struct, tag="begin"):
    """The sale is there: act."""

    sale: int
    phases: Phases


class Pause(Struct, tag="pause"):
    """Begin nothing more, and say `paused` when every answer is there."""


class SetBack(Struct, tag="set_back"):
    """The server was ended, and its life `number` begins with an older copy of the journal: what was shown after it never happened."""

    number: int


class Resume(Struct, tag="resume"):
    """Go on."""


class Repeat(Struct, tag="repeat"):
    """Ask everything again that was ever asked, and say `repeated` when every reply is there."""


class Progress(Struct, tag="progress"):
    """How far it is."""

    joined: int = 0
    answered: int = 0
    bought: int = 0
    grabbed: int = 0
    delivered: int = 0
    problems: int = 0
    first_problem: str = ""
    life: int = 0
    paused: bool = False
    repeated: bool = False
    failed: str = ""


class Report(Struct, tag="report"):
    """The story, the audit of lines, times by phase and what was measured, what went wrong (code, words), and what was done how often."""

    story: Story
    audit: Audit
    latencies: list[tuple[int, str, dict[str, object]]]
    problems: list[tuple[str, str]]
    envelopes: list[tuple[int, int]]  # each, and when it opens (Unix ms)
    done: dict[str, int]
    back: dict[str, int]
    cpu_s: float


Order = Begin | Pause | SetBack | Resume | Repeat | Life | Finish
_order: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)


class Market(Venue):
    """A venue that counts times by phase, audits lines, and keeps a log of its own."""

    def __init__(self, crowd: Crowd) -> None:
        super().__init__(crowd.part, self.phase_of)
        self.phases: Phases | None = None
        self.latencies: dict[tuple[int, str], Latency] = {}
        self.problems: list[tuple[str, str]] = []
        self.done: Counter[str] = Counter()
        self.accepted: set[int] = set()
        self.hidden: set[int] = set()
        self._log = open(crowd.log, "ab", buffering=0) if crowd.log else None  # noqa: SIM115 (as long as the process)

    def phase_of(self, ns: int) -> int:
        """The phase that a time belongs to."""
        return self.phases.number(ns) if self.phases is not None else NO_PHASE

    def problem(self, code: str, words: str) -> None:
        """Somebody noticed something."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append((code, f"{words}, in phase {self.phase_of(time.monotonic_ns())}"))

    def time(self, what: str, due_ns: int) -> None:
        """Something came to its end that was due then."""
        took_ns = time.monotonic_ns() - due_ns
        self.latencies.setdefault((self.phase_of(due_ns), what), Latency()).add(took_ns // 1_000)
        if took_ns > LATE_S * 1e9 and not self.life:
            self.problem("late", f"{what} took {took_ns / 1e9:.1f} s")

    def answer(self, asked: Asked, due_ns: int) -> None:
        """A command got its answer."""
        super().answer(asked, due_ns)
        self.time(asked.command, due_ns)

    def told(self, asked: Asked, reply: Reply) -> None:
        """Write it down before anything else is done with it."""
        if self._log is not None:
            self._log.write(msgspec.json.encode([asked.user, asked.command, reply]) + b"\n")
        if not isinstance(reply, Accepted) and reply.code in PASSING and not self.life:
            self.problem("turned_away", f"{asked.command} of {asked.user}: {reply.code}: {reply.detail}")

    def heed(self, event: Event, raw: msgspec.Raw) -> Mark | None:
        """Honest lines are audited."""
        return mark_of(event.text) if event.type == "chat_sent" else super().heed(event, raw)


class Worker:
    """The users of this process."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._market = market = Market(crowd)
        market.cashier = self._cashier = Cashier(market)
        self._customers = [Customer(market, crowd.part.first + number) for number in range(crowd.part.viewers)]
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

    def begin(self, begin: Begin) -> None:
        """Let everybody act."""
        self._market.phases, self._sale = begin.phases, begin.sale
        self._going.set()
        pace = self._crowd.pace
        for ordinal, customer in enumerate(self._customers):
            self._start(self._often(customer, pace.chat_s, lambda ordinal=ordinal, customer=customer: self._say(customer, ordinal)))  # type: ignore[misc]
            if ordinal % pace.buyers == 0:
                self._start(self._often(customer, pace.buy_s, lambda customer=customer: self._buy(customer)))  # type: ignore[misc]
        self._start(self._often(self._customers[0], pace.envelope_s, self._drop))
        if self._crowd.watch:
            doorbell = Doorbell(self._market)
            self._start(doorbell.ring(self._going))
            self._start(doorbell.ask_health(self._going))

    def pause(self) -> None:
        """Begin nothing more."""
        self._going.clear()

    def resume(self) -> None:
        """Go on."""
        self._going.set()

    def set_back(self, set_back: SetBack) -> None:
        """The room's story goes on from an older copy."""
        self._market.life = set_back.number
        self._market.trail.forget()

    def repeat(self) -> None:
        """Ask everything again."""
        self._start(self._repeat_all())

    async def _repeat_all(self) -> None:
        await asyncio.gather(self._cashier.repeat_all(), *(customer.repeat_all() for customer in self._customers))
        self._repeated = True

    def life(self, life: Life) -> None:
        """A new life of the server begins."""
        self._market.life = life.number

    def progress(self) -> Progress:
        """How far it is."""
        market = self._market
        market.trail.harvest(sum(len(customer.seats) for customer in self._customers))
        return Progress(
            joined=self._joined,
            answered=market.answered,
            bought=market.done["purchases"],
            grabbed=market.done["grabs"],
            delivered=market.trail.delivered,
            problems=len(market.problems),
            first_problem=": ".join(market.problems[0]) if market.problems else "",
            life=market.life,
            paused=not self._going.is_set() and not self._acts and all(seat.to >= 0 for c in self._customers for seat in c.seats),
            repeated=self._repeated,
            failed=self._failed,
        )

    async def finish(self, finish: Finish) -> Report:
        """Wait for the slowest viewer, then tell."""
        market = self._market
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        seats = [seat for customer in self._customers for seat in customer.seats]
        for _ in range(int(finish.settle_s / SETTLE_POLL_S)):
            if all(seat.to >= finish.seq for seat in seats):
                break
            await asyncio.sleep(SETTLE_POLL_S)
        for seat in seats:
            if seat.to < finish.seq:
                market.end(seat.user, market.life, f"stands at {seat.to} and never came to {finish.seq}")
        self.progress()
        decided = {one.about for one in market.asked if one.command == "send_chat" and one.answer is not None}
        undecided = {one.about for one in market.asked if one.command == "send_chat"} - decided
        audit = market.trail.audit([seat.place for seat in seats if seat.place is not None], market.accepted, undecided)
        for seat in seats:
            seat.close()
        await market.cashier.close()
        told = [(phase, "delivery", latency) for phase, latency in market.trail.latencies.items()]
        told += [(phase, what, latency) for (phase, what), latency in market.latencies.items()]
        return Report(
            story=market.story([owned for seat in seats if (owned := seat.owned) is not None]),
            audit=audit,
            latencies=[(phase, what, latency.to_plain()) for phase, what, latency in told],
            problems=market.problems,
            envelopes=self._envelopes,
            done=dict(market.done),
            back=dict(market.back),
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
        market = self._market
        number, self._lines = self._lines, self._lines + 1
        mark = Mark(number, ordinal, time.monotonic_ns())
        answer = await customer.ask(SendChat(mark_text(mark, LINE_CHARACTERS)), number)
        if not isinstance(answer, Accepted):
            return
        market.done["lines"] += 1
        if answer.result["shown"]:
            market.accepted.add(number)
        else:
            market.problem("turned_away", f"line {number} was not shown")

    async def _buy(self, customer: Customer) -> None:
        market, began_ns = self._market, time.monotonic_ns()
        answer = await customer.ask(ReserveStock(self._sale), self._sale, 1)
        if not isinstance(answer, Accepted):
            return
        hold = int(answer.result["hold"])
        if (chance := customer.rng.random()) < market.options.unpaid:
            market.done["left_to_expire"] += 1
        elif chance < market.options.unpaid + CANCELLED and self._cancelled[customer.user] < CANCELLED_MAX:
            self._cancelled[customer.user] += 1
            await customer.ask(CancelHold(hold), hold)
            market.done["given_back"] += 1
        else:
            paid_ns = time.monotonic_ns()
            receipt = await self._cashier.confirm(hold, 0, 1)
            market.time("confirm_hold", paid_ns)
            market.time("purchase", began_ns)
            market.done["purchases"] += isinstance(receipt, Accepted)

    async def _drop(self) -> None:
        """Drop an envelope with a share for every second user, and let everybody grab."""
        market, parts = self._market, max(1, len(self._customers) // 2)
        terms = {"total_fen": parts * SHARE_FEN, "parts": parts, "opens_in_ms": ENVELOPE_OPENS_MS, "open_for_ms": ENVELOPE_OPEN_MS}
        answer = await self._cashier.ask(f"envelope-{len(self._envelopes)}", "drop_red_envelope", terms, parts)
        if not isinstance(answer, Accepted):
            market.problem("turned_away", f"drop_red_envelope: {answer.code}: {answer.detail}")
            return
        envelope = int(answer.result["envelope"])
        self._envelopes.append((envelope, int(answer.result["opens_ms"])))
        await asyncio.gather(*(self._grab(customer, envelope) for customer in self._customers))

    async def _grab(self, customer: Customer, envelope: int) -> None:
        # By this process' own clock: that of the server may step meanwhile, and its refusal says when to come back.
        await asyncio.sleep(ENVELOPE_OPENS_MS / 1000 + customer.rng.random() * self._market.options.within_s)
        answer = await customer.ask(GrabRedEnvelope(envelope), envelope)
        self._market.done["grabs"] += isinstance(answer, Accepted)


async def _run() -> None:
    reader = await orders()
    worker = Worker(msgspec.json.decode(await reader.readline(), type=Crowd))

    async def tell() -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            say(worker.progress())

    tasks = [asyncio.create_task(tell()), asyncio.create_task(worker.open_all())]
    while line := await reader.readline():
        match _order.decode(line):
            case Begin() as begin:
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
            case Finish() as finish:
                tasks[0].cancel()
                say(await worker.finish(finish))
                break
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    run(_run())
