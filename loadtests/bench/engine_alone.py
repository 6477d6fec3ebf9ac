"""The engine on the embedded journal without gateway, console and sockets, in a process of its own: one side of `decisions`."""

from __future__ import annotations

import asyncio
import resource
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import uvloop
from msgspec import Struct

from liveroom.accounting.audit import audit
from liveroom.config.schema import Config, LiveroomConfig
from liveroom.engine.engine import Engine
from liveroom.features.flash_sale.messages import AnnounceFlashSale, ReserveStock
from liveroom.features.lifecycle.messages import OpenRoom
from liveroom.features.likes.messages import SendLikes
from liveroom.features.red_envelope.messages import DropRedEnvelope, GrabRedEnvelope
from liveroom.features.showcase.messages import AddProduct, Product
from liveroom.journal.follower import follow, newest_start
from liveroom.journal.partition import partition_of
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.journal.sqlite.reader import open_reader
from liveroom.messages.fields import Role
from liveroom.protocol.commands import Command
from liveroom.protocol.frames import Accepted
from liveroom.protocol.records import Record, Request, Sender
from liveroom.telemetry.metrics import Metrics
from loadtests.bench.claims import GRANTED, PER_USER_MAX, ClaimRound, JobKind, SampleClaim

__all__ = ["DecisionSample", "Wrong", "decide_all"]

ROOM: Final = "demo"
#: The sender's data that a gateway's command sender would add to each claim.
SOURCE: Final = "gateway-1"
#: Claims that may wait for an answer: a crowd that is always there, and half of what the journal takes before it refuses.
WAITING_MAX: Final = 10_000
TOTAL_FEN_PER_PART: Final = 100
ANCHOR: Final = Sender("anna", "Anna", Role.anchor)
PRODUCT: Final = Product("lamp", "Lamp", 9_900)
START_S: Final = 30.0


class Wrong(Exception):
    """An answer, a sum or the journal is wrong; the text says which."""


class DecisionSample(Struct, frozen=True):
    """The times of one run, from the first claim to the last durable answer, without set-up."""

    claims: int
    wall_s: float
    cpu_s: float  # the whole process
    engine_s: float  # the thread that decides and reads back
    writer_s: float  # the thread that writes to SQLite
    commits: int
    records: int
    journal_bytes: int


def decide_all(kind: JobKind, rounds: Sequence[ClaimRound], warm_up: int) -> DecisionSample:
    """Decide everything, after `warm_up` other commands, then check the file: counts, sums, `liveroom audit`. Raises `Wrong`."""
    with tempfile.TemporaryDirectory(prefix="liveroom-decisions-") as directory:
        data_dir = Path(directory)
        meter = uvloop.run(_decide_all(kind, rounds, warm_up, data_dir))  # the event loop that `liveroom serve` runs on
        _check(kind, rounds, data_dir)
        journal_bytes = sum(file.stat().st_size for file in data_dir.glob("journal.sqlite*"))
        return meter.sample(sum(len(each.claims) for each in rounds), journal_bytes)


async def _decide_all(kind: JobKind, rounds: Sequence[ClaimRound], warm_up: int, data_dir: Path) -> _Meter:
    config, metrics = Config(), Metrics()
    journal = await SqliteJournal.open(data_dir, config.journal, metrics)
    engine = Engine(journal, config, name="engine", metrics=metrics)
    try:
        await engine.start()
        async with asyncio.timeout(START_S):
            while not engine.ready:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        async with _crowd(journal, config) as crowd:
            await crowd.send(ANCHOR, OpenRoom("Demo"))
            await crowd.send(ANCHOR, AddProduct(PRODUCT))
            await crowd.hand_in(crowd.batches(SendLikes, [SampleClaim(f"fan-{n}", f"like-{n}") for n in range(warm_up)]))
            meter = _Meter(metrics)
            for each in rounds:
                batches = crowd.batches(await _offer(crowd, kind, each), each.claims)
                meter.start()
                await crowd.hand_in(batches)
                meter.stop()
    finally:
        await engine.stop()
        await journal.close()
    return meter


async def _offer(crowd: _Crowd, kind: JobKind, each: ClaimRound) -> Callable[[], Command]:
    """Drop the envelope or announce the sale; what makes a command that claims of it."""
    if kind == "grab":
        reply = await crowd.send(ANCHOR, DropRedEnvelope(each.units * TOTAL_FEN_PER_PART, each.units, opens_in_ms=0))
        return partial(GrabRedEnvelope, int(reply.result["envelope"]))
    announce = AnnounceFlashSale(PRODUCT.id, PRODUCT.price_fen, each.units, PER_USER_MAX, opens_in_ms=0, hold_ms=3_600_000)
    reply = await crowd.send(ANCHOR, announce)
    return partial(ReserveStock, int(reply.result["sale"]))


class _Crowd:
    """Hands in commands in batches, and reads their answers from accepted records alone, as a gateway does."""

    def __init__(self, journal: SqliteJournal, batch_commands_max: int) -> None:
        self._journal = journal
        self._partition = partition_of(ROOM, journal.partitions)
        self._batch_commands_max = batch_commands_max
        self._sent = 0
        self._answered = 0
        self._last: Record | None = None
        self._news = asyncio.Event()

    async def read(self) -> None:
        """Count answers, without end."""
        start = await newest_start(self._journal, self._partition)
        async with aclosing(follow(self._journal, self._partition, start, lambda verdict: None)) as items:
            async for item in items:
                if item.record.replies:
                    self._answered += len(item.record.replies)
                    self._last = item.record
                    self._news.set()

    async def send(self, sender: Sender, command: Command) -> Accepted:
        """One command and its answer. Raises `Wrong`."""
        await self.hand_in([[Request(f"a{self._sent}", ROOM, sender, command, SOURCE, self._sent)]])
        assert self._last is not None
        reply = self._last.replies[-1].reply
        if not isinstance(reply, Accepted):
            raise Wrong(f"{reply.code}: {reply.detail}")
        return reply

    def batches(self, make_command: Callable[[], Command], claims: Sequence[SampleClaim]) -> list[list[Request]]:
        """The claims as a gateway's command sender hands them in, each with a command of its own."""
        senders = {claim.user: Sender(claim.user, f"Name of {claim.user}") for claim in claims}
        requests = [Request(claim.id, ROOM, senders[claim.user], make_command(), SOURCE, ticket) for ticket, claim in enumerate(claims, self._sent)]
        return [requests[at : at + self._batch_commands_max] for at in range(0, len(requests), self._batch_commands_max)]

    async def hand_in(self, batches: list[list[Request]]) -> None:
        """Send all, never more than `WAITING_MAX` unanswered ones, and wait for the last answer."""
        for batch in batches:
            await self._until_answered(self._sent + len(batch) - WAITING_MAX)
            await self._journal.send_commands(self._partition, batch)
            self._sent += len(batch)
        await self._until_answered(self._sent)

    async def _until_answered(self, count: int) -> None:
        while self._answered < count:
            self._news.clear()
            await self._news.wait()


@asynccontextmanager
async def _crowd(journal: SqliteJournal, config: Config) -> AsyncIterator[_Crowd]:
    crowd = _Crowd(journal, config.gateway.batch_commands_max)
    reading = asyncio.create_task(crowd.read())
    try:
        yield crowd
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


class _Meter:
    """Sums time over the stretches between `start` and `stop`, in the event loop's thread."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._writer_clock = _cpu_clock("journal-writer")
        self._sums = [0.0] * 6
        self._begun: list[float] = []

    def start(self) -> None:
        self._begun = self._now()

    def stop(self) -> None:
        self._sums = [total + now - begun for total, now, begun in zip(self._sums, self._now(), self._begun, strict=True)]

    def sample(self, claims: int, journal_bytes: int) -> DecisionSample:
        wall_s, cpu_s, engine_s, writer_s, commits, records = self._sums
        return DecisionSample(claims, wall_s, cpu_s, engine_s, writer_s, round(commits), round(records), journal_bytes)

    def _now(self) -> list[float]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        sample = self._metrics.registry.get_sample_value
        return [
            time.perf_counter(),
            usage.ru_utime + usage.ru_stime,
            time.thread_time(),
            time.clock_gettime(self._writer_clock),
            sample("liveroom_journal_commit_seconds_count") or 0.0,
            sample("liveroom_engine_steps_total") or 0.0,
        ]


def _cpu_clock(thread_name: str) -> int:
    idents = [thread.ident for thread in threading.enumerate() if thread.name == thread_name]
    assert idents[0] is not None, "it runs"
    return time.pthread_getcpuclockid(idents[0])


def _check(kind: JobKind, rounds: Sequence[ClaimRound], data_dir: Path) -> None:
    """Every claim stands answered in the file, as it has to be, and the accounts that follow from it add up."""
    expected: Counter[str] = sum((each.answers for each in rounds), Counter())
    answers: Counter[str] = Counter()
    repeated = 0
    with open_reader(data_dir) as reader:
        for stored in reader.entries(partition_of(ROOM, reader.partitions)):
            for answer in stored.entry.replies if isinstance(stored.entry, Record) else ():
                if answer.user != ANCHOR.user and not answer.user.startswith("fan-"):
                    answers[GRANTED if isinstance(answer.reply, Accepted) else answer.reply.code] += 1
                    repeated += answer.repeated
    retries = sum(each.retries for each in rounds)
    if answers != expected or repeated != retries:
        raise Wrong(f"the journal holds {dict(answers)} with {repeated} repeated, not {dict(expected)} with {retries}")
    totals = next(one.rooms[ROOM] for one in audit(Config(liveroom=LiveroomConfig(data_dir=str(data_dir)))) if ROOM in one.rooms).ledger.totals()
    units = sum(each.units for each in rounds)
    found, wanted = (totals.granted_fen, units * TOTAL_FEN_PER_PART) if kind == "grab" else (totals.held, units)
    if found != wanted:
        raise Wrong(f"the accounts say {found}, not {wanted}")
