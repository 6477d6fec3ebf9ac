"""Scenario `reconnect`: all connections of a room break at once, and every viewer comes back to its place."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, Final

from loadtests.crowd.crowd import CrowdPlan, crowd_of
from loadtests.crowd.orders import Cut
from loadtests.crowd.scenario import CrowdScenario, Phase, audit_bounds, audited, pushing, record, wait
from loadtests.crowd.steady import server_settings
from loadtests.lib.bounds import Bound, at_least, at_most, bounds_to_plain, kept
from loadtests.lib.cli import positive_float
from loadtests.lib.recorder import Recorder
from loadtests.lib.report_page import Figure, latency_figure, text_of
from loadtests.lib.target import Target

__all__ = ["RECONNECT", "judge_reconnect"]

#: Time of announcements before the cut, and after all are back.
CALM_S: Final = 2.0
#: The run gives up then.
GIVE_UP_S: Final = 60.0


def judge_reconnect(viewers: int, back_s: float | None, kinds: Mapping[str, int], within_s: float) -> list[Bound]:
    """Every viewer is back in time, and goes on where it was."""
    return [
        at_most("Time until all are back", back_s, within_s, "s"),
        at_least("Viewers that are back with resume", kinds.get("resumed", 0), viewers),
    ]


async def _run(target: Target, options: argparse.Namespace, recorder: Recorder) -> dict[str, Any]:
    viewers = options.viewers
    await target.open_room(options.room, "Load test")
    # A connection that was reset leaves its port at once, but the new one takes another.
    plan = CrowdPlan(viewers=viewers, processes=options.processes, connections=viewers * 3)
    async with crowd_of(target, [options.room], plan) as crowd:
        record(recorder, target, crowd)
        recorder.stage("joining", viewers)
        await crowd.until("joined", viewers, recorder.update)
        recorder.level("Viewers that are back", lambda: crowd.sum("back"))
        async with pushing(target, options.room, options.rate) as pusher:
            recorder.stage("before", CALM_S)
            await wait(CALM_S, crowd, recorder, Phase(target))
            recorder.stage("cut", viewers)
            phase = Phase(target)
            await crowd.tell(Cut())
            in_time = await crowd.until("back", viewers, recorder.update, GIVE_UP_S)
            phase.end()
            recorder.stage("back", CALM_S)
            await wait(CALM_S, crowd, recorder, Phase(target))
            pusher.stop()
            await pusher.settle()
            report = await audited(crowd, pusher, recorder)
    recorder.latencies["until a viewer is back"].merge(report.back)
    back = report.back.total().summary()
    back_s = back["max"] / 1000 if in_time and back["max"] is not None else None
    fields = report.audit_fields
    bounds = [*judge_reconnect(viewers, back_s, report.back_kinds, options.within), *audit_bounds(fields, viewers, report.audit.viewers)]
    return {
        "ok": kept(bounds),
        "bounds": bounds_to_plain(bounds),
        "scenario": "reconnect",
        "viewers": viewers,
        "back_s": back_s,
        "back_ms": back,
        "back_kinds": dict(report.back_kinds),
        "cpu_us_per_return": round(phase.cpu_s * 1e6 / viewers, 1) if phase.cpu_s is not None else None,
        "growth_mib": phase.growth_mib,
        **fields,
        "latency_ms": report.latency.total().summary(),
        "parameters": {name: getattr(options, name) for name in ("viewers", "rate", "within", "processes", "room")},
    }


def _figures(report: dict[str, Any]) -> list[Figure]:
    return [
        Figure("All are back after", f"{text_of(report['back_s'])} s", f"{text_of(report['viewers'])} viewers; {text_of(report['back_kinds'])}"),
        latency_figure("Back", report["back_ms"]),
        Figure("CPU time a return", f"{text_of(report['cpu_us_per_return'])} µs", "server, with the frames of those who are back"),
        Figure("Events lost", text_of(report["lost"]), f"of {text_of(report['expected'])} expected"),
        Figure("Memory", f"{text_of(report['growth_mib'])} MiB", "more than before the cut"),
    ]


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--within", type=positive_float, default=5.0, metavar="S", help="time within which all must be back (default: 5)")


RECONNECT: Final = CrowdScenario(
    words="all connections break at once, and every viewer comes back to its place",
    defaults={"viewers": 10_000, "rate": 5.0},
    add_options=_add_options,
    settings=lambda options: server_settings(options.viewers),
    run=_run,
    figures=_figures,
)
