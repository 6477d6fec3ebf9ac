"""A storm: a crowd claims something scarce at once, as often as it likes, while the server may be killed; then its transcript is audited."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Final

from loadtests.crowd.crowd import sources_for
from loadtests.lib.journal import read_journal
from loadtests.lib.meters import MachineMeter, ProcessMeter
from loadtests.lib.recorder import Recorder
from loadtests.lib.target import OwnServer, Target, TargetError, ledger_of
from loadtests.lib.worker_pool import Workers, share_of, workers_of
from loadtests.storm.audit import Course, Kill
from loadtests.storm.options import StormOptions
from loadtests.storm.report import Measured, report_of
from loadtests.storm.scenario import Case, Scenario
from loadtests.storm.scenarios import SCENARIOS
from loadtests.storm.storm_context import CustomerRange
from loadtests.storm.transcript import Transcript
from loadtests.storm.worker import Life, StormFinish, StormProgress, StormReport

__all__ = ["run_storm", "storm_settings"]

POLL_S: Final = 0.1
#: Time for the slowest viewer to see the room close, and for the reports.
SETTLE_S: Final = 20.0
REPORT_S: Final = 60.0
KILLED_S: Final = 30.0
COMMANDS_METRIC: Final = "liveroom_engine_commands_total"


def storm_settings(viewers: int) -> list[str]:
    """Settings of an own server that allow so many customers, and a platform, from this machine."""
    room_for = str(viewers * 2 + 1_000)
    connections = ["--gateway-connections-max", room_for, "--gateway-connections-per-address-max", room_for]
    return [*connections, "--console-requests-per-s", "10000", "--console-requests-burst", "10000"]


class Storm:
    """One run."""

    def __init__(self, target: Target, options: StormOptions, recorder: Recorder, workers: Workers[StormProgress, StormReport]) -> None:
        self._target = target
        self._options = options
        self._scenario: Scenario = SCENARIOS[options.scenario]
        self._recorder = recorder
        self._workers = workers
        self._kills: list[Kill] = []
        self._cpu_s = 0.0

    async def run(self) -> dict[str, Any]:
        """Let everybody in, begin, wait for the end, and report. Raises `TargetError`, `OSError`."""
        target, options, recorder = self._target, self._options, self._recorder
        recorder.watch("server", lambda: [target.pid])
        recorder.watch("crowd", lambda: self._workers.pids)
        recorder.count("Answers", lambda: self._sum("answered"))
        recorder.count("Units granted", lambda: self._sum("granted"))
        recorder.level("Users who are done", lambda: self._sum("done"))
        await self._join()
        commands = Counter(await target.metric(COMMANDS_METRIC))
        machine, self._meter = MachineMeter(), ProcessMeter(target.pid)
        start = await self._scenario.begin(target, options)
        await self._workers.tell(start)
        took_s = await self._until_over()
        closed = await target.command(options.room, "close_room")
        self._cpu_s += self._meter.cpu_s() or 0.0
        measured = Measured(
            took_s=took_s,
            cpu_s=self._cpu_s if target.pid is not None else None,
            rss_bytes_start=self._meter.rss_bytes_start,
            rss_bytes_max=self._meter.rss_bytes_max,
            busy_s=machine.busy_s(),
            idle_s=machine.idle_s(),
        )
        commands = Counter(await target.metric(COMMANDS_METRIC)) - commands

        self._recorder.stage("audit", 1)
        await self._workers.tell(StormFinish(closed["seq"], SETTLE_S))
        reports = await self._workers.reports(SETTLE_S + REPORT_S)
        transcript = Transcript()
        for report in reports:
            transcript.add(report.transcript)
        journal = await read_journal(target.own.data_dir, options.room) if target.own is not None else None
        if self._kills and journal is not None:
            commands = Counter(journal.replies)  # counters begin again with each life
        ledger, ledger_broken = await ledger_of(self._target, options.room)
        course = Course(self._kills, {outcome: int(count) for outcome, count in commands.items()}, ledger_broken, journal)
        case = Case(options, start, transcript, ledger, journal.events if journal is not None else None)
        return report_of(case, course, reports, measured, self._recorder)

    async def _join(self) -> None:
        viewers = self._options.viewers
        self._recorder.stage("joining", viewers)
        while (joined := self._sum("joined")) < viewers:
            self._check(f"{joined} of {viewers} customers got in, then: ")
            self._recorder.update(joined)
            await self._workers.news(POLL_S)

    async def _until_over(self) -> float:
        """Until every customer has every answer, or time is over; gives how long it took. On the way the server is killed."""
        options, loop = self._options, asyncio.get_running_loop()
        self._recorder.stage("storm", options.viewers)
        began_s = loop.time()
        whole = options.units * self._scenario.stages
        while loop.time() < began_s + options.timeout_s:
            self._check("")
            self._meter.sample()
            granted, done = self._sum("granted"), self._sum("done")
            self._recorder.update(done, f"done, {granted} granted, {self._sum('answered')} answers of {self._sum('sent')} sends")
            if done == options.viewers and not self._sum("waiting"):
                break
            if len(self._kills) < options.kills and granted >= whole * (len(self._kills) + 1) // (options.kills + 1):
                await self._kill(Kill(granted, self._sum("answered"), options.viewers - done))
            await self._workers.news(POLL_S)
        return loop.time() - began_s

    async def _kill(self, kill: Kill) -> None:
        server = self._target.own
        assert isinstance(server, OwnServer), "only a server of our own is killed"
        self._cpu_s += self._meter.cpu_s() or 0.0
        await server.kill()
        self._kills.append(kill)
        self._recorder.mark("killed")
        await self._workers.tell(Life(len(self._kills)))
        async with asyncio.timeout(KILLED_S):  # nothing of the next life may be taken for one of this
            while any(progress.life < len(self._kills) for progress in self._workers.progress):
                self._check("")
                await self._workers.news(POLL_S)
        self._target.pid = (await server.start()).pid
        self._meter = ProcessMeter(self._target.pid)

    def _check(self, words: str) -> None:
        if failed := next((p.failed for p in self._workers.progress if p.failed), ""):
            raise TargetError(words + failed)
        self._workers.check()

    def _sum(self, name: str) -> int:
        return sum(getattr(progress, name) for progress in self._workers.progress)


async def run_storm(target: Target, options: StormOptions, recorder: Recorder) -> dict[str, Any]:
    """Run it and report. Raises `TargetError`, `OSError`."""
    await target.open_room(options.room, "Load test")
    parts: list[CustomerRange] = []
    for number in range(options.processes):
        part = CustomerRange(
            options=options,
            gateway_url=target.gateway_url,
            console_url=target.console_url,
            auth=target.auth,
            first=sum(before.viewers for before in parts),
            viewers=share_of(options.viewers, options.processes, number),
            # A reconnect takes another port, because the port of the lost connection may not be free yet.
            sources=sources_for(options.viewers * 2 * (options.kills + 1), target.gateway_url),
        )
        parts.append(part)
    async with workers_of("loadtests.storm.worker", parts, StormProgress(), StormReport) as workers:
        return await Storm(target, options, recorder, workers).run()
