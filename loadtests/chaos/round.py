"""One round of chaos: rooms in which money flows, one disaster in the middle, and the audit of all answers."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from contextlib import AsyncExitStack
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from liveroom.journal.partition import partition_of
from loadtests.chaos.disasters import DISASTERS, Disaster, Scene, Struck
from loadtests.chaos.journal_history import JournalHistory
from loadtests.lib.broker import OwnBrokers
from loadtests.lib.cluster import Cluster
from loadtests.lib.findings import Findings
from loadtests.lib.latency import LatencySeries
from loadtests.lib.recorder import Recorder
from loadtests.lib.target import TargetError
from loadtests.lib.worker_pool import Workers, workers_of
from loadtests.storm.options import StormOptions, StormStart
from loadtests.storm.reply_audit import audit_answers, audit_streams
from loadtests.storm.scenario import Case
from loadtests.storm.scenarios import SCENARIOS
from loadtests.storm.storm_context import CustomerRange
from loadtests.storm.transcript import Transcript
from loadtests.storm.worker import Life, StormFinish, StormProgress, StormReport

__all__ = ["Round", "RoundOptions"]

POLL_S: Final = 0.05
JOIN_S: Final = 60.0
SETTLE_S: Final = 20.0
REPORT_S: Final = 60.0
LIFE_S: Final = 30.0
#: The blow falls when this part of what there is was granted, at random.
MIDDLE: Final = (0.05, 0.6)
#: Time for a process to hear that its customer is to begin.
ALONE_MS: Final = 500
CLOSE_TRIES: Final = 20
CLOSE_AGAIN_S: Final = 0.5


class RoundOptions(Struct, frozen=True):
    """Options of every round: customers and units of each busy room, and the time until all must have their answers."""

    viewers: int
    units: int
    within_s: float
    timeout_s: float
    weakened: str = ""


class _Stand(Struct):
    """A room with its customers, who are a process of their own."""

    options: StormOptions
    partition: int
    workers: Workers[StormProgress, StormReport]
    start: StormStart = StormStart(-1, 0)

    @property
    def progress(self) -> StormProgress:
        return self.workers.progress[0]

    @property
    def units(self) -> int:
        """How often something is granted until all is over."""
        return self.options.units * SCENARIOS[self.options.scenario].stages

    @property
    def is_over(self) -> bool:
        return self.progress.done == self.options.viewers and not self.progress.waiting


class Round:
    """One disaster while money flows. `run` plays it and gives its row of the report. It raises `TargetError`, `OSError`."""

    def __init__(
        self,
        name: str,
        kind: str,
        seed: str,
        cluster: Cluster,
        brokers: OwnBrokers | None,
        history: JournalHistory,
        options: RoundOptions,
        recorder: Recorder,
    ) -> None:
        self._name = name
        self._kind = kind
        self._disaster: Disaster = DISASTERS[kind]
        self._rng = random.Random(seed)
        self._cluster = cluster
        self._brokers = brokers
        self._history = history
        self._options = options
        self._recorder = recorder
        self._target = cluster.target
        self._stands: list[_Stand] = []
        self._findings = Findings()
        self._granted_before = 0

    async def run(self) -> dict[str, Any]:
        """Play it and give its row of the report. Raises `TargetError`, `OSError`."""
        loop = asyncio.get_running_loop()
        began_s, since = loop.time(), self._history.ends()
        async with AsyncExitStack() as stack:
            for partition in self._partitions():
                self._stands.append(await self._open(stack, partition))
            await self._joined()
            self._recorder.count("Answers", lambda: sum(stand.progress.answered for stand in self._stands))
            for stand in self._stands:
                stand.start = await SCENARIOS[stand.options.scenario].begin(self._target, stand.options)
            struck = Struck()
            try:
                struck = await self._strike()
                await self._until_over()
            except TargetError as error:
                self._findings.add("cluster_broken", str(error))
            reports = await self._finish()
        for report in reports:
            self._recorder.latencies["answers"].merge(LatencySeries.from_plain(report.latency))
        await self._history.settle()
        granted = await self._audit(reports, struck)
        return {
            "round": self._name,
            "ok": not self._findings,
            "kind": self._kind,
            "victim": struck.victim,
            "granted_before": self._granted_before,
            "takeover_ms": struck.takeover_ms,
            "landed": struck.landed,
            "skipped": dict(self._history.skipped(since)),
            "granted": granted,
            "answers": sum(len(one.told) for report in reports for one in report.transcript.asked),
            "took_s": round(loop.time() - began_s, 1),
            "wrong": self._findings.to_plain(),
        }

    # Rooms

    def _partitions(self) -> list[int]:
        """Two, of different engines when there are such."""
        chosen = self._rng.sample(range(self._history.partitions), self._history.partitions)
        first = chosen[0]
        owner = self._history.owner(first)
        others = sorted(chosen[1:], key=lambda partition: self._history.owner(partition) == owner)
        return [first, *others[:1]]

    async def _open(self, stack: AsyncExitStack, partition: int) -> _Stand:
        lonely = self._disaster.quiet and not self._stands
        number = len(self._stands)
        room = next(
            name for name in (f"chaos-{self._name}-{number}-{n}" for n in range(10_000)) if partition_of(name, self._history.partitions) == partition
        )
        options = StormOptions(
            scenario="coupon-twice" if lonely else "market",
            viewers=1 if lonely else self._options.viewers,
            units=1 if lonely else self._options.units,
            per_user=1 if lonely else 2,
            within_s=0 if lonely else self._options.within_s,
            unruly=0 if lonely else 0.1,
            unpaid=0.2,
            hold_ms=1_500,
            kills=int(self._disaster.cuts),
            processes=1,
            timeout_s=self._options.timeout_s,
            room=room,
            run=secrets.token_hex(4),
        )
        await self._target.open_room(room, "Chaos")
        part = CustomerRange(options, self._target.gateway_url, self._target.console_url, self._target.auth, 0, options.viewers, [])
        workers = await stack.enter_async_context(workers_of("loadtests.storm.worker", [part], StormProgress(), StormReport))
        return _Stand(options, partition, workers)

    async def _joined(self) -> None:
        async with asyncio.timeout(JOIN_S):
            for stand in self._stands:
                while stand.progress.joined < stand.options.viewers:
                    await self._news(stand)

    # The disaster

    async def _strike(self) -> Struck:
        scene = Scene(
            self._cluster,
            self._brokers,
            self._history,
            [stand.partition for stand in self._stands],
            self._rng,
            told=self._told,
            play=self._play_alone,
            answered=self._answered_alone,
            weakened=self._options.weakened,
        )
        waiting = 1 if self._disaster.quiet else 0
        for stand in self._stands[waiting:]:
            await self._play(stand)
        self._granted_before = await self._middle(self._stands[waiting:])
        self._recorder.mark(self._kind)
        return await self._disaster.strike(scene)

    async def _play(self, stand: _Stand) -> None:
        await stand.workers.tell(stand.start)

    async def _play_alone(self) -> float:
        """Let the one customer of a quiet room begin in a moment; in how many s."""
        stand = self._stands[0]
        stand.start = replace(stand.start, opens_ms=time.time_ns() // 1_000_000 + ALONE_MS)
        await self._play(stand)
        return stand.start.opens_ms / 1000 - time.time()

    async def _answered_alone(self, within_s: float) -> None:
        """Wait until the one customer of a quiet room has an answer; what is missing in the end is found by the audit."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not self._stands[0].progress.answered:
                    await self._news(self._stands[0])

    async def _middle(self, stands: list[_Stand]) -> int:
        """Wait for the moment."""
        moment = int(sum(stand.units for stand in stands) * self._rng.uniform(*MIDDLE)) + 1
        async with asyncio.timeout(self._options.timeout_s):
            while (granted := sum(stand.progress.granted for stand in stands)) < moment:
                await self._news(stands[0])
        return granted

    async def _told(self) -> None:
        """Announce the server's new life, so that its answers are counted apart. Customers who kept the connection repeat their answered commands."""
        for stand in self._stands:
            await stand.workers.tell(Life(1, again=True))
        async with asyncio.timeout(LIFE_S):
            for stand in self._stands:
                while not stand.progress.life:
                    await self._news(stand)

    # The end

    async def _until_over(self) -> None:
        """Until every customer has every answer, or time is over: what is missing then is found by the audit."""
        try:
            async with asyncio.timeout(self._options.timeout_s):
                for stand in self._stands:
                    while not stand.is_over:
                        await self._news(stand)
        except TimeoutError:
            self._findings.add("unanswered", f"not over within {self._options.timeout_s:g} s")

    async def _finish(self) -> list[StormReport]:
        for stand in self._stands:
            await stand.workers.tell(StormFinish(await self._close(stand.options.room), SETTLE_S))
        return [report for stand in self._stands for report in await stand.workers.reports(SETTLE_S + REPORT_S)]

    async def _close(self, room: str) -> int:
        """Close the room; the seq that every viewer has to come to."""
        words = "the cluster is broken"
        for _ in range(0 if "cluster_broken" in self._findings.counts else CLOSE_TRIES):
            try:
                return int((await self._target.command(room, "close_room"))["seq"])
            except TargetError as error:
                words = str(error)
                if not words.startswith(("unavailable", "overloaded")):
                    break
            await asyncio.sleep(CLOSE_AGAIN_S)
        self._findings.add("unanswered", f"close_room of {room}: {words}")
        return 0

    async def _news(self, stand: _Stand) -> None:
        for one in self._stands:
            if one.progress.failed:
                raise TargetError(one.progress.failed)
            one.workers.check()
        self._cluster.check()
        await stand.workers.news(POLL_S)

    # The audit

    async def _audit(self, reports: list[StormReport], struck: Struck) -> dict[str, Any]:
        findings, granted = self._findings, dict[str, Any]()
        for stand, report in zip(self._stands, reports, strict=True):
            scenario, transcript = SCENARIOS[stand.options.scenario], Transcript()
            transcript.add(report.transcript)
            audit_answers(transcript.asked, scenario.refusals, findings)
            # The next gateway that drains may send on a viewer whom the first one sent to it.
            lives, ends = (stand.options.kills + 1, ("1006", "1012")) if self._disaster.drains else (stand.options.kills, ("1006",))
            audit_streams(transcript, lives, findings, ends)
            try:
                ledger = await self._target.ledger(stand.options.room)
            except TargetError as error:
                findings.add("audit_failed", f"ledger of {stand.options.room}: {error}")
                ledger = None
            journal = self._history.events(stand.partition, stand.options.room)
            options = replace(stand.options, unpaid=0)  # so small a crowd may have no unpaid hold by chance
            granted[options.room] = scenario.audit(Case(options, stand.start, transcript, ledger, journal), findings)
        if words := self._history.audit():
            findings.add("audit_failed", words)
        if struck.untaken:
            findings.add("not_taken_over", f"{struck.untaken} partitions of {struck.victim}")
        return granted
