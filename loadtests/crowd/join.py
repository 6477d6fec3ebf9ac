"""Scenario `join`: a crowd joins one room at once, while the room goes on."""

from __future__ import annotations

import argparse
from typing import Any, Final

from msgspec import Struct

from loadtests.crowd.crowd import CrowdPlan, crowd_of
from loadtests.crowd.scenario import CrowdScenario, Phase, audit_bounds, audited, pushing, record, wait
from loadtests.crowd.steady import server_settings
from loadtests.lib.bounds import Bound, at_most, bounds_to_plain, kept
from loadtests.lib.cli import positive_float
from loadtests.lib.recorder import Recorder
from loadtests.lib.report_page import Figure, latency_figure, text_of
from loadtests.lib.target import Target

__all__ = ["JOIN", "JoinFigures", "judge_join"]

#: Frames a second that a room may send beside the announcements while it fills: its count of viewers.
COUNT_FRAMES_PER_S: Final = 2.0
#: Announcements that every viewer must get once all are in.
AFTER_S: Final = 2.0


class JoinFigures(Struct, frozen=True):
    """The figures that decide the verdict."""

    join_s: float
    cpu_us_per_join: float | None
    frames_per_viewer: float
    rate: float


def judge_join(figures: JoinFigures, within_s: float, cpu_us_max: float) -> list[Bound]:
    """Everybody is in soon and cheaply, and the crowd is not kept busy by its own arrivals."""
    return [
        at_most("Time until all are in", round(figures.join_s, 2), within_s, "s"),
        at_most("CPU time a join", figures.cpu_us_per_join, cpu_us_max, "µs"),
        at_most(
            "Frames that a viewer received while others joined",
            round(figures.frames_per_viewer, 1),
            round((figures.rate + COUNT_FRAMES_PER_S) * max(1.0, figures.join_s), 1),
        ),
    ]


async def _run(target: Target, options: argparse.Namespace, recorder: Recorder) -> dict[str, Any]:
    await target.open_room(options.room, "Load test")
    plan = CrowdPlan(viewers=options.viewers, processes=options.processes, deflate=options.deflate)
    async with pushing(target, options.room, options.rate) as pusher:
        phase = Phase(target)
        async with crowd_of(target, [options.room], plan) as crowd:
            record(recorder, target, crowd)
            recorder.level("Viewers in the room", lambda: crowd.sum("joined"))
            recorder.stage("joining", options.viewers)
            await crowd.until("joined", options.viewers, recorder.update)
            deltas, first = crowd.sum("deltas"), pusher.sent
            phase.end()
            recorder.stage("all are in", AFTER_S)
            await wait(AFTER_S, crowd, recorder, Phase(target))
            pusher.stop()
            await pusher.settle()
            report = await audited(crowd, pusher, recorder, first)
    cpu_us = round(phase.cpu_s * 1e6 / options.viewers, 1) if phase.cpu_s is not None else None
    figures = JoinFigures(report.opening_s, cpu_us, deltas / options.viewers, options.rate)
    fields = report.audit_fields
    bounds = [*judge_join(figures, options.within, options.cpu_us), *audit_bounds(fields, options.viewers, report.audit.viewers)]
    return {
        "ok": kept(bounds),
        "bounds": bounds_to_plain(bounds),
        "scenario": "join",
        "viewers": options.viewers,
        "join_s": round(figures.join_s, 2),
        "joins_per_s": round(options.viewers / figures.join_s),
        "cpu_us_per_join": cpu_us,
        "frames_per_viewer": round(figures.frames_per_viewer, 1),
        "growth_mib": phase.growth_mib,
        **fields,
        "latency_ms": report.latency.total().summary(),
        "parameters": {name: getattr(options, name) for name in ("viewers", "rate", "within", "cpu_us", "processes", "deflate", "room")},
    }


def _figures(report: dict[str, Any]) -> list[Figure]:
    return [
        Figure("All are in after", f"{text_of(report['join_s'])} s", f"{text_of(report['joins_per_s'])} viewers a second"),
        Figure("CPU time a join", f"{text_of(report['cpu_us_per_join'])} µs", "server, with the frames of those who are in"),
        Figure("Frames a viewer meanwhile", text_of(report["frames_per_viewer"]), "on average"),
        Figure("Memory", f"{text_of(report['growth_mib'])} MiB", "more than before"),
        latency_figure("Announcements", report["latency_ms"]),
    ]


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--within", type=positive_float, default=10.0, metavar="S", help="time within which all must be in (default: 10)")
    parser.add_argument("--cpu-us", type=positive_float, default=300.0, metavar="US", help="CPU time that a join may take (default: 300)")
    parser.add_argument("--deflate", action="store_true", help="viewers offer permessage-deflate")


JOIN: Final = CrowdScenario(
    words="everybody joins one room at once, while the room goes on",
    defaults={"viewers": 10_000, "rate": 2.0},
    add_options=_add_options,
    settings=lambda options: server_settings(options.viewers),
    run=_run,
    figures=_figures,
)
