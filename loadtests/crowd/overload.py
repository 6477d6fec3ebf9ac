"""Scenario `overload`: twice as many commands as the server can take, for a minute; what must arrive arrives, and the server recovers.

First a ramp finds the saturation: the most lines of chat that the server decides in a second.
Announcements, which every viewer must get, go on all the time.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from loadtests.crowd.crowd import Crowd, CrowdPlan, CrowdReport, crowd_of
from loadtests.crowd.orders import Talk
from loadtests.crowd.scenario import CrowdScenario, Phase, audit_bounds, audited, pushing, record, wait
from loadtests.crowd.steady import server_settings
from loadtests.lib.bounds import Bound, at_least, at_most, bounds_to_plain, kept
from loadtests.lib.cli import positive_float, positive_int
from loadtests.lib.latency import LatencySeries
from loadtests.lib.recorder import Recorder
from loadtests.lib.report_page import Figure, text_of
from loadtests.lib.target import Target, TargetError

__all__ = ["OVERLOAD", "OverloadFigures", "RampStep", "is_full", "judge_overload", "recovery_s"]

#: The ramp: its first rate (lines a second), its factor, its longest, and how long a step lasts.
RAMP_FIRST: Final = 250.0
RAMP_FACTOR: Final = 1.6
RAMP_STEPS_MAX: Final = 16
RAMP_STEP_S: Final = 3.0
#: A server is full when it decides less than this part of the lines; it refuses the others, or answers them late.
DECIDED_MIN: Final = 0.9
#: Times the saturation.
TIMES: Final = 2.0
#: Time before the load, in which the calm latency is measured, and after it, in which the server has to recover.
CALM_S: Final = 10.0
#: Bounds: the load really was above saturation; latency of what must arrive; memory; recovery.
LOAD_MIN: Final = 1.5
BUSY_PERCENT_MIN: Final = 80.0
P99_MS_MAX: Final = 5_000.0
GROWTH_MIB_MAX: Final = 128.0
RECOVERY_S_MAX: Final = 5.0
#: A second is as good as before when its p99 is at most this many times the calm p99, and so much more.
RECOVERED_RATIO: Final = 2.0
RECOVERED_SPARE_MS: Final = 100.0


class RampStep(Struct, frozen=True):
    """One step of the ramp, in lines a second and percent of a core."""

    rate: float
    sent_per_s: float
    decided_per_s: float
    core_percent: float


class OverloadFigures(Struct, frozen=True):
    """The figures that decide the verdict."""

    saturation: float
    sent_per_s: float
    core_percent: float | None
    p99_ms: float | None
    growth_mib: float | None
    recovery_s: float | None
    unanswered: int


def is_full(step: RampStep) -> bool:
    """Whether a step of the ramp was as much as the server can take."""
    return step.decided_per_s < step.sent_per_s * DECIDED_MIN


def judge_overload(figures: OverloadFigures) -> list[Bound]:
    """The load was more than the server can take, and latency, memory and recovery stayed within their bounds."""
    load = round(figures.sent_per_s / figures.saturation, 2) if figures.saturation else None
    return [
        at_least("Load beside saturation", load, LOAD_MIN, "times"),
        at_least("The server's core under load", figures.core_percent, BUSY_PERCENT_MIN, "%"),
        at_most("Latency p99 of announcements under load", figures.p99_ms, P99_MS_MAX, "ms"),
        at_most("Growth of the server's memory", figures.growth_mib, GROWTH_MIB_MAX, "MiB"),
        at_most("Recovery after the load", figures.recovery_s, RECOVERY_S_MAX, "s"),
        at_most("Lines without an answer", figures.unanswered, 0),
    ]


def recovery_s(latency: LatencySeries, calm: Sequence[int], ended_ns: int, until_ns: int) -> float | None:
    """Time from the end of the load to the second from which every second is as good as a calm one; `None` if there is none."""
    calm_ms = latency.total(calm).percentile_ms(99)
    if calm_ms is None:
        return None
    good_ms = calm_ms * RECOVERED_RATIO + RECOVERED_SPARE_MS
    last_bad, last = ended_ns // 10**9 - 1, until_ns // 10**9
    for second in range(ended_ns // 10**9, last):
        p99_ms = latency.total([second]).percentile_ms(99)
        if p99_ms is None or p99_ms > good_ms:
            last_bad = second
    if last_bad >= last - 1:
        return None
    return max(0.0, last_bad + 1 - ended_ns / 1e9)


async def _run(target: Target, options: argparse.Namespace, recorder: Recorder) -> dict[str, Any]:
    if target.pid is None:
        raise TargetError("the server's CPU time has to be seen: give --server-pid")
    await target.open_room(options.room, "Load test")
    # Viewers have a process of their own, because one that sends thousands of lines a second would read late.
    plan = CrowdPlan(viewers=options.viewers, processes=1, first=options.talkers)
    talking = CrowdPlan(viewers=options.talkers, processes=min(options.processes, options.talkers), talkers=options.talkers)
    async with crowd_of(target, [options.room], plan) as viewers, crowd_of(target, [options.room], talking) as crowd:
        record(recorder, target, viewers)
        recorder.watch("talkers", lambda: crowd.pids)
        recorder.count("Lines sent", lambda: crowd.sum("talked"))
        recorder.count("Lines answered", lambda: crowd.sum("answered"))
        recorder.count("Lines decided", lambda: crowd.sum("decided"))
        recorder.stage("joining", options.viewers + options.talkers)
        await viewers.until("joined", options.viewers, recorder.update)
        await crowd.until("joined", options.talkers, recorder.update)
        async with pushing(target, options.room, options.rate) as pusher:
            steps = await _ramp(target, crowd, options.step, recorder)
            saturation = max(step.decided_per_s for step in steps)
            recorder.stage("calm", options.calm)
            await wait(options.calm / 2, crowd, recorder, Phase(target))
            calm = await wait(options.calm / 2, crowd, recorder, Phase(target))
            recorder.stage("overload", options.seconds)
            sent = crowd.sum("talked")
            phase = Phase(target)
            await crowd.tell(Talk(saturation * TIMES))
            load = await wait(options.seconds, crowd, recorder, phase, lambda: f"{crowd.sum('talked')} lines, {crowd.sum('answered')} answered")
            await crowd.tell(Talk(0))
            sent_per_s = (crowd.sum("talked") - sent) / load.seconds
            recorder.stage("recovery", options.calm)
            after = await wait(options.calm, crowd, recorder, Phase(target))
            pusher.stop()
            await pusher.settle()
            report = await audited(viewers, pusher, recorder)
            talked = await audited(crowd, pusher, recorder)
    recorder.latencies["answer to a line"].merge(talked.answer_latency)
    figures = OverloadFigures(
        saturation=saturation,
        sent_per_s=sent_per_s,
        core_percent=load.core_percent,
        p99_ms=report.latency.total(load.clock_seconds).percentile_ms(99),
        growth_mib=load.growth_mib,
        recovery_s=recovery_s(report.latency, calm.clock_seconds, load.ended_ns, after.ended_ns),
        unanswered=talked.answers["unanswered"],
    )
    return _report(options, report, talked, figures, steps, {"calm": calm, "overload": load, "recovery": after})


async def _ramp(target: Target, crowd: Crowd, step_s: float, recorder: Recorder) -> list[RampStep]:
    """Steps of growing rates until one is full. Raises `TargetError` when the clients are full before the server."""
    recorder.stage("ramp", RAMP_STEPS_MAX * step_s)
    steps: list[RampStep] = []
    rate = RAMP_FIRST
    while len(steps) < RAMP_STEPS_MAX:
        sent, decided, phase = crowd.sum("talked"), crowd.sum("decided"), Phase(target)
        await crowd.tell(Talk(rate))
        await wait(step_s, crowd, recorder, phase, lambda: f"{crowd.sum('decided')} lines decided")
        seconds = phase.seconds
        sent_per_s, decided_per_s = (crowd.sum("talked") - sent) / seconds, (crowd.sum("decided") - decided) / seconds
        steps.append(RampStep(round(rate, 1), round(sent_per_s, 1), round(decided_per_s, 1), phase.core_percent or 0.0))
        if is_full(steps[-1]):
            await crowd.tell(Talk(0))
            return steps
        rate *= RAMP_FACTOR
    await crowd.tell(Talk(0))
    raise TargetError(f"the server was never full: {steps[-1]}")


def _report(
    options: argparse.Namespace, report: CrowdReport, talked: CrowdReport, figures: OverloadFigures, steps: list[RampStep], phases: dict[str, Phase]
) -> dict[str, Any]:
    fields = {name: number + talked.audit_fields[name] for name, number in report.audit_fields.items()}
    connected = report.audit.viewers + talked.audit.viewers
    bounds = [*judge_overload(figures), *audit_bounds(fields, options.viewers + options.talkers, connected)]
    return {
        "ok": kept(bounds),
        "bounds": bounds_to_plain(bounds),
        "scenario": "overload",
        "viewers": options.viewers,
        "saturation_per_s": round(figures.saturation),
        "load_per_s": round(figures.sent_per_s),
        "ramp": [{name: getattr(step, name) for name in step.__struct_fields__} for step in steps],
        "recovery_s": round(figures.recovery_s, 2) if figures.recovery_s is not None else None,
        "growth_mib": figures.growth_mib,
        "core_percent": {name: phase.core_percent for name, phase in phases.items()},
        "lines": dict(talked.answers),
        "answers_ms": talked.answer_latency.total().summary(),
        **fields,
        "latency_ms": report.latency.total().summary(),
        "latency_by_phase": {name: report.latency.total(phase.clock_seconds).summary() for name, phase in phases.items()},
        "parameters": {name: getattr(options, name) for name in ("viewers", "talkers", "rate", "seconds", "calm", "step", "processes", "room")},
    }


def _figures(report: dict[str, Any]) -> list[Figure]:
    phases = report["latency_by_phase"]
    return [
        Figure("Saturation", f"{text_of(report['saturation_per_s'])}/s", f"lines of chat; then {text_of(report['load_per_s'])}/s"),
        Figure("Announcements lost", text_of(report["lost"]), f"of {text_of(report['expected'])} deliveries"),
        Figure("Announcements p99 under load", f"{text_of(phases['overload']['p99'])} ms", f"{text_of(phases['calm']['p99'])} ms when it is calm"),
        Figure("Recovery", f"{text_of(report['recovery_s'])} s", "after the load stopped"),
        Figure("Memory", f"{text_of(report['growth_mib'])} MiB", "more than before the load"),
        Figure("Answers p99", f"{text_of(report['answers_ms']['p99'])} ms", text_of(report["lines"])),
    ]


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--talkers", type=positive_int, default=1_000, metavar="N", help="users who send the lines (default: 1000)")
    parser.add_argument("--seconds", type=positive_float, default=60.0, metavar="S", help="how long the overload lasts (default: 60)")
    parser.add_argument("--calm", type=positive_float, default=CALM_S, metavar="S", help=f"time before and after the load (default: {CALM_S:g})")
    parser.add_argument("--step", type=positive_float, default=RAMP_STEP_S, metavar="S", help=f"a step of the ramp (default: {RAMP_STEP_S:g})")


def _settings(options: argparse.Namespace) -> list[str]:
    """No limit of one viewer or one room refuses a line: the server has to decide every one of them."""
    return [
        *server_settings(options.viewers + options.talkers),
        *("--gateway-commands-per-s", "1000", "--gateway-commands-burst", "10000"),
        *("--rooms-chat-interval-ms", "0", "--rooms-chat-burst", "100"),
    ]


OVERLOAD: Final = CrowdScenario(
    words="twice as many commands as the server can take; what must arrive arrives, and the server recovers",
    defaults={"viewers": 500, "rate": 5.0},
    add_options=_add_options,
    settings=_settings,
    run=_run,
    figures=_figures,
)
