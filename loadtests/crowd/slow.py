"""Scenario `slow`: a quarter of the viewers stops reading for a while; the others notice nothing, and the slow ones catch up."""

from __future__ import annotations

import argparse
from typing import Any, Final

from msgspec import Struct

from loadtests.crowd.crowd import CrowdPlan, CrowdReport, crowd_of
from loadtests.crowd.orders import ReadAgain, Stall
from loadtests.crowd.scenario import CrowdScenario, Phase, audit_bounds, audited, pushing, record, wait
from loadtests.crowd.steady import server_settings
from loadtests.lib.bounds import Bound, at_least, at_most, bounds_to_plain, kept
from loadtests.lib.cli import UsageError, positive_float
from loadtests.lib.recorder import Recorder
from loadtests.lib.report_page import Figure, text_of
from loadtests.lib.target import Target

__all__ = ["SLOW", "SlowFigures", "judge_slow"]

#: The readers' p99 may be this many times that of before, and so much more: a tick.
RATIO_MAX: Final = 2.0
SPARE_MS: Final = 50.0
#: Memory that the server may take for its ring and its own work, and for each viewer that does not read.
GROWTH_MIB: Final = 32.0
GROWTH_KIB_PER_SLOW: Final = 16.0
#: Time for the room to come to rest after the joins.
WARM_UP_S: Final = 2.0
#: A small ring, so that viewers fall off it within seconds.
RING_BYTES: Final = 131_072
#: Length of an announcement, so that sockets fill within seconds.
CHARACTERS: Final = 900


class SlowFigures(Struct, frozen=True):
    """The figures that decide the verdict."""

    slow: int
    p99_before_ms: float | None
    p99_ms: float | None
    growth_mib: float | None
    #: Slow viewers that were told `skipped`; that did not come to the end; that lost their connection; events that those without a skip lost.
    skipped: int
    behind: int
    disconnected: int
    lost: int


def judge_slow(figures: SlowFigures) -> list[Bound]:
    """Readers' latency and the server's memory stay bounded, and every slow viewer comes to the end with frames or with a keyframe."""
    p99_max = figures.p99_before_ms * RATIO_MAX + SPARE_MS if figures.p99_before_ms is not None else 0.0
    growth_max = GROWTH_MIB + figures.slow * GROWTH_KIB_PER_SLOW / 1024
    return [
        at_most("Latency p99 of the readers while others do not read", figures.p99_ms, round(p99_max, 1), "ms"),
        at_most("Growth of the server's memory", figures.growth_mib, round(growth_max, 1), "MiB"),
        at_least("Slow viewers that fell off the ring", figures.skipped, 1),
        at_most("Slow viewers that did not catch up", figures.behind, 0),
        at_most("Slow viewers disconnected", figures.disconnected, 0),
        at_most("Events lost by slow viewers without `skipped`", figures.lost, 0),
    ]


async def _run(target: Target, options: argparse.Namespace, recorder: Recorder) -> dict[str, Any]:
    slow = int(options.viewers * options.part)
    if not 0 < slow < options.viewers:
        raise UsageError("--part: some viewers have to be slow, and some have to read")
    await target.open_room(options.room, "Load test")
    plan = CrowdPlan(viewers=options.viewers, processes=options.processes, slow=slow)
    async with crowd_of(target, [options.room], plan) as crowd:
        record(recorder, target, crowd)
        recorder.stage("joining", options.viewers)
        await crowd.until("joined", options.viewers, recorder.update)
        async with pushing(target, options.room, options.rate, CHARACTERS) as pusher:
            recorder.stage("warm-up", WARM_UP_S)
            await wait(WARM_UP_S, crowd, recorder, Phase(target))
            recorder.stage("all read", options.seconds)
            before = await wait(options.seconds, crowd, recorder, Phase(target))
            await crowd.tell(Stall())
            recorder.stage("some do not read", options.seconds)
            stalled = await wait(options.seconds, crowd, recorder, Phase(target))
            await crowd.tell(ReadAgain())
            recorder.stage("all read again", options.seconds)
            again = await wait(options.seconds, crowd, recorder, Phase(target))
            pusher.stop()
            await pusher.settle()
            report = await audited(crowd, pusher, recorder)
    return _report(options, slow, report, before, stalled, again)


def _report(options: argparse.Namespace, slow: int, report: CrowdReport, before: Phase, stalled: Phase, again: Phase) -> dict[str, Any]:
    phases = {"before": before, "stalled": stalled, "again": again}
    latencies = {name: report.latency.total(phase.clock_seconds).summary() for name, phase in phases.items()}
    growth = [phase.growth_mib for phase in (stalled, again) if phase.growth_mib is not None]
    figures = SlowFigures(
        slow=slow,
        p99_before_ms=latencies["before"]["p99"],
        p99_ms=latencies["stalled"]["p99"],
        growth_mib=round(sum(growth), 1) if growth else None,
        skipped=report.slow_skipped,
        behind=report.slow_behind,
        disconnected=report.slow_disconnected,
        lost=report.slow_audit.lost,
    )
    fields = report.audit_fields
    bounds = [*judge_slow(figures), *audit_bounds(fields, options.viewers - slow, report.audit.viewers)]
    return {
        "ok": kept(bounds),
        "bounds": bounds_to_plain(bounds),
        "scenario": "slow",
        "viewers": options.viewers,
        "slow": {"viewers": slow, "skipped": figures.skipped, "behind": figures.behind, "disconnected": figures.disconnected, "lost": figures.lost},
        "growth_mib": figures.growth_mib,
        **fields,
        "latency_ms": report.latency.total().summary(),
        "latency_by_phase": latencies,
        "core_percent": {name: phase.core_percent for name, phase in phases.items()},
        "parameters": {name: getattr(options, name) for name in ("viewers", "rate", "seconds", "part", "processes", "room")},
    }


def _figures(report: dict[str, Any]) -> list[Figure]:
    phases, slow = report["latency_by_phase"], report["slow"]
    return [
        Figure("Readers' p99 beside slow ones", f"{text_of(phases['stalled']['p99'])} ms", f"{text_of(phases['before']['p99'])} ms before"),
        Figure("Memory", f"{text_of(report['growth_mib'])} MiB", "more than before"),
        Figure("Slow viewers", text_of(slow["viewers"]), f"of {text_of(report['viewers'])}"),
        Figure("Fell off the ring", text_of(slow["skipped"]), "got `skipped` and a keyframe; the others got every frame"),
        Figure("Did not catch up", text_of(slow["behind"])),
        Figure("Events lost by readers", text_of(report["lost"]), f"of {text_of(report['expected'])} expected"),
    ]


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=positive_float, default=15.0, metavar="S", help="length of each of the three parts (default: 15)")
    parser.add_argument("--part", type=positive_float, default=0.25, metavar="PART", help="the part of the viewers that is slow (default: 0.25)")


SLOW: Final = CrowdScenario(
    words="a quarter of the viewers stops reading, and reads again later",
    defaults={"viewers": 2_000, "rate": 40.0},
    add_options=_add_options,
    settings=lambda options: [*server_settings(options.viewers), "--gateway-ring-bytes-max", str(RING_BYTES)],
    run=_run,
    figures=_figures,
)
