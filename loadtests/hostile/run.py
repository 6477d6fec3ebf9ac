"""One hostile run: sets the scene, lets the phases pass, and audits everything."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from liveroom.journal.partition import partition_of
from loadtests.honest.messages import Pace
from loadtests.honest.users import ROOM, AuditInput, HonestUsers, audit_honest, honest_users_of, latencies_of
from loadtests.hostile import worker as attack_worker
from loadtests.hostile.attacks.front import Field
from loadtests.hostile.attacks.table import ATTACKS
from loadtests.hostile.report import compare
from loadtests.hostile.restore import restore
from loadtests.hostile.watchdog import Watchdog, log_counts
from loadtests.hostile.worker import Assault
from loadtests.lib.findings import Findings
from loadtests.lib.journal import read_journal
from loadtests.lib.latency import second_of
from loadtests.lib.meters import MachineMeter, read_process
from loadtests.lib.phases import NO_PHASE, Phases
from loadtests.lib.priority import Prioritize, lower_priority, raise_priority, set_realtime
from loadtests.lib.recorder import Recorder
from loadtests.lib.target import OwnServer, Target, TargetError, ledger_of
from loadtests.lib.worker_pool import Workers, workers_of
from loadtests.storm.flash_sale import PRICE_FEN

__all__ = ["HostileOptions", "run_hostile", "settings_of"]

Attackers = Workers[attack_worker.HostileProgress, attack_worker.HostileReport]

PARTITIONS: Final = 4
#: Longer than anybody takes to repeat a command, also by a clock that goes at twice its pace.
DEDUPE_MS: Final = 180_000
#: Nine holders who reserve and cancel all the time want more than this within the window, honest users much less.
DEDUPE_MONEY_MAX: Final = 4_000
#: The server's limits, as small as the honest users allow: attackers get there.
LIMITS: Final = {
    "gateway-connections-per-address-max": 50,
    "gateway-handshakes-waiting-max": 200,
    "gateway-handshakes-per-address-max": 60,
    "console-connections-max": 120,
}
NO_LIMITS: Final = {
    "gateway-connections-per-address-max": 100_000,
    "gateway-handshakes-waiting-max": 100_000,
    "gateway-handshakes-per-address-max": 100_000,
    "gateway-handshake-ms": 60_000,
    "console-connections-max": 100_000,
}
#: Addresses that clients come from in such a run, and files beside connections.
ADDRESSES: Final = 10
OTHER_FILES: Final = 200
#: The open files that the limits leave to clients, and some more. The server gets no more than these: one that does not count runs out of them.
FILES_MAX: Final = 200 + 120 + ADDRESSES * 50 + OTHER_FILES
DENS: Final = 4
HONEST_SOURCES: Final = ["127.0.1.1", "127.0.1.2"]
#: Honest holds outlast every step of the clock.
HOLD_MS: Final = 3_600_000
SHORT_HOLD_MS: Final = 1_000
OTHER_STOCK: Final = 100_000
OPEN_FOR_MS: Final = 86_400_000
#: By how much the clock is off, one after the other within each hostile phase.
CLOCK_MS: Final = (2_000, -2_000, 45_000, 0, -30_000, 0)
#: Ends of connections when the server is stopped.
ENDS: Final = ("1006", "1012")
LEAD_S: Final = 2.0
POLL_S: Final = 0.25
REPORT_S: Final = 30.0
METRICS: Final = ("liveroom_gateway_handshakes_refused_total", "liveroom_gateway_closes_total", "liveroom_gateway_refusals_total")


class HostileOptions(Struct, frozen=True):
    """Options of a run.

    - `limits`: the server has its limits.
    - `realtime`: server and honest users run with real-time priority.
    - `fail_fast`: end at the first problem of an honest user.
    """

    viewers: int
    pairs: int
    phase_s: float
    ratio_max: float
    rss_mib_max: float
    attacks: list[str]
    plain: bool
    limits: bool
    realtime: bool
    fail_fast: bool

    @property
    def prioritize(self) -> Prioritize:
        """The function that gives server and honest users priority on this machine."""
        return set_realtime if self.realtime else raise_priority


def settings_of(options: HostileOptions) -> list[str]:
    """The server's settings."""
    settings = {
        "journal-partitions": PARTITIONS,
        "engine-dedupe-window-ms": DEDUPE_MS,
        "engine-dedupe-money-max": DEDUPE_MONEY_MAX,
        "logs-format": "json",
        **(LIMITS if options.limits else NO_LIMITS),
    }
    return [word for name, value in settings.items() for word in (f"--{name}", str(value))]


class _Run:
    """One run."""

    def __init__(self, target: Target, options: HostileOptions, clock: Path, honest: HonestUsers, recorder: Recorder) -> None:
        assert target.own is not None
        self._target = target
        self._own: OwnServer = target.own
        self._options = options
        self._clock = clock
        self._honest = honest
        self._recorder = recorder
        self._steps = 0

    async def run(self, *, standing_out: bool) -> dict[str, Any]:
        """Everything; `standing_out`: whether server and honest users come before others on this machine. Raises `TargetError`, `OSError`."""
        target, options, honest, findings = self._target, self._options, self._honest, Findings()
        recorder = self._recorder
        recorder.watch("server", lambda: [self._own.pid])
        recorder.count("Lines delivered", lambda: honest.progress.delivered)
        recorder.stage("joining", options.viewers)
        await honest.join()
        field = await _field_of(target)
        phases = Phases(time.monotonic_ns() + int(LEAD_S * 1e9), int(options.phase_s * 1e9), options.pairs)
        await honest.begin(phases)
        assert target.pid is not None
        watchdog, machine = Watchdog(partial(read_process, target.pid), phases, DEDUPE_MS / 1_000), MachineMeter()
        part = None if standing_out else lower_priority  # attackers must neither win by taking the server's core, nor starve
        async with workers_of(
            "loadtests.hostile.worker", _parts(field, options, phases), attack_worker.HostileProgress(), attack_worker.HostileReport, prioritize=part
        ) as them:
            recorder.count("Attacks", lambda: sum(one.acts for one in them.progress))
            await self._pass(phases, watchdog, them)
            attacks = await them.reports(REPORT_S)
        measured = {"busy_s": machine.busy_s(), "idle_s": machine.idle_s(), "attackers_cpu_s": _cpu_of(attacks), "standing_out": standing_out}
        self._recorder.stage("audit", 1)
        metrics = {name: await target.metric(name) for name in METRICS}
        restored = await restore(self._own, target, honest, options.prioritize)
        await honest.pause()
        report = await honest.finish()
        ledger, broken = await ledger_of(target, ROOM)
        await self._own.stop()
        journal = await read_journal(self._own.data_dir, ROOM, ("--engine-dedupe-window-ms", str(DEDUPE_MS)))
        granted = audit_honest(honest.options, AuditInput(report, honest.sale, 1, ledger, broken, journal, ENDS), findings)
        for what, by_phase in latencies_of(report).items():
            for number, times in by_phase.items():
                if number != NO_PHASE:
                    self._recorder.latencies[what].by_second[second_of(phases.begin_ns(number) + phases.phase_ns // 2)].merge(times)
        latency = compare(report, phases, options.ratio_max, findings)
        server = watchdog.judge(int(options.rss_mib_max * 2**20), FILES_MAX, findings)
        log = log_counts(self._own.log_file, findings)
        return {
            "ok": not findings,
            "wrong": findings.to_plain(),
            "latency": latency,
            "honest": {**report.done, **granted, "lines_delivered": report.audit.delivered, "lines_expected": report.audit.expected},
            "attacks": {name: outcomes for one in attacks for name, outcomes in one.outcomes.items()},
            "server": server,
            "refused": metrics,
            "log": log,
            "clock_steps": self._steps,
            "restored": restored,
            "journal": {"events": len(journal.events), "answers": journal.replies, "audit": journal.audit},
            "machine": measured,
            "parameters": {**{name: getattr(options, name) for name in options.__struct_fields__}, "phases": phases.count},
        }

    async def _pass(self, phases: Phases, watchdog: Watchdog, attackers: Attackers) -> None:
        """Let the phases pass."""
        honest = self._honest
        self._recorder.stage("phases", phases.count)
        while (now_ns := time.monotonic_ns()) < phases.end_ns:
            if not self._own.running:
                raise TargetError(f"the server ended: {self._own.last_words()}")
            honest.check()
            attackers.check()
            if self._options.fail_fast and honest.progress.problems:
                raise TargetError(f"an honest user noticed something: {honest.progress.first_problem}")
            if failed := next((progress.failed for progress in attackers.progress if progress.failed), ""):
                raise TargetError(f"an attacker broke: {failed}")
            watchdog.sample(now_ns)
            self._step_clock(phases, now_ns)
            number, progress = phases.number(now_ns), honest.progress
            words = f"{'hostile' if phases.hostile(number) else 'quiet'}; {sum(one.acts for one in attackers.progress)} attacks, "
            words += f"{progress.delivered} lines delivered, {progress.bought} bought, {progress.problems} problems"
            self._recorder.update(max(0, now_ns - phases.start_ns) / phases.phase_ns, words)
            await asyncio.sleep(POLL_S)

    def _step_clock(self, phases: Phases, now_ns: int) -> None:
        """In hostile phases the clock is off by each of `CLOCK_MS` for a while; in quiet ones it is right."""
        number, off_ms = phases.number(now_ns), 0
        if phases.hostile(number):
            part = (now_ns - phases.begin_ns(number)) / phases.phase_ns
            off_ms = CLOCK_MS[int(part * len(CLOCK_MS))]
        if self._clock.read_text(encoding="ascii") != str(off_ms):
            self._clock.write_text(str(off_ms), encoding="ascii")
            self._steps += 1


async def run_hostile(target: Target, options: HostileOptions, clock: Path, environ: Mapping[str, str], recorder: Recorder) -> dict[str, Any]:
    """Run it and report. `environ` is for clients, who have to trust the server's certificate. Raises `TargetError`, `OSError`."""
    users = honest_users_of(
        target,
        viewers=options.viewers,
        hold_ms=HOLD_MS,
        unpaid=0.0,
        pace=Pace(),
        sources=HONEST_SOURCES,
        watch=True,
        environ=environ,
        prioritize=options.prioritize,
    )
    assert target.pid is not None
    resource.prlimit(target.pid, resource.RLIMIT_NOFILE, (FILES_MAX, FILES_MAX))  # after its start: it fits its own limits into what it finds
    standing_out = options.prioritize(target.pid)
    if options.realtime and not standing_out:
        raise TargetError("--realtime: the system does not allow it; root and CAP_SYS_NICE may")
    async with users as honest:
        return await _Run(target, options, clock, honest, recorder).run(standing_out=standing_out)


async def _field_of(target: Target) -> Field:
    """Open the attackers' rooms, in the honest users' partition, and announce the sales that they take from."""
    partition = partition_of(ROOM, PARTITIONS)
    names = (f"den-{number}" for number in range(10_000))
    dens = [name for name in names if partition_of(name, PARTITIONS) == partition][:DENS]
    for den in dens:
        await target.open_room(den, "Den")
    await target.command(ROOM, "add_product", product={"id": "other", "title": "Other", "price_fen": PRICE_FEN})
    sales = []
    for stock, hold_ms in ((OTHER_STOCK, HOLD_MS), (1, SHORT_HOLD_MS)):
        terms = {"product": "other", "price_fen": PRICE_FEN, "stock": stock, "per_user_max": 1_000, "hold_ms": hold_ms}
        answer = await target.command(ROOM, "announce_flash_sale", **terms, opens_in_ms=0, open_for_ms=OPEN_FOR_MS)
        sales.append(int(answer["result"]["sale"]))
    return Field(target.gateway_url, target.console_url, target.auth, ROOM, sales[0], sales[1], dens)


def _parts(field: Field, options: HostileOptions, phases: Phases) -> list[Assault]:
    """A process for each group that has something to do."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in options.attacks:
        groups[ATTACKS[name].group].append(name)
    return [Assault(field, names, phases) for names in groups.values()]


def _cpu_of(attacks: list[attack_worker.HostileReport]) -> dict[str, float]:
    return {"hostile": round(sum(one.hostile_cpu_s for one in attacks), 1), "quiet": round(sum(one.quiet_cpu_s for one in attacks), 1)}
