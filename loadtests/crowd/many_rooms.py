"""Scenario `many-rooms`: many small rooms beside one room with as many viewers, each with the same number of frames a second.

A system often allows fewer open files than both need at once, so one follows the other on the same server.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any, Final

from msgspec import Struct

from loadtests.crowd.crowd import CrowdPlan, CrowdReport, crowd_of
from loadtests.crowd.orders import CrowdFinish, Talk
from loadtests.crowd.scenario import SETTLE_S, CrowdScenario, Phase, audit_bounds, record, wait
from loadtests.crowd.steady import server_settings
from loadtests.lib.bounds import Bound, at_least, at_most, bounds_to_plain, kept
from loadtests.lib.cli import UsageError, positive_float, positive_int
from loadtests.lib.recorder import Recorder
from loadtests.lib.report_page import Figure, latency_figure, text_of
from loadtests.lib.target import Target

__all__ = ["MANY_ROOMS", "RoomsFigures", "judge_many_rooms"]

#: Rooms that are opened at once.
OPENED_AT_ONCE: Final = 16
#: Time for the counts of viewers to come to rest after the last join.
REST_S: Final = 4.0
#: Time for the last line to be shown.
LAST_S: Final = 1.0
#: Every viewer gets each line in a frame; fewer frames mean that lines shared a tick, and then the comparison is not fair.
FRAMES_MIN: Final = 0.9


class RoomsFigures(Struct, frozen=True):
    """One half of the comparison: frames of the stream that its viewers received, and the server's CPU time."""

    frames: int
    lines: int
    viewers: int
    cpu_s: float | None
    refused: int

    @property
    def cpu_us_per_frame(self) -> float | None:
        """CPU time of the server for one frame at one viewer."""
        return None if self.cpu_s is None or not self.frames else round(self.cpu_s * 1e6 / self.frames, 2)


def judge_many_rooms(many: RoomsFigures, one: RoomsFigures, ratio_max: float) -> list[Bound]:
    """A frame in a small room costs little more than one in a large room."""
    small, large = many.cpu_us_per_frame, one.cpu_us_per_frame
    ratio = round(small / large, 2) if small is not None and large else None
    return [
        at_most("CPU time a frame in many rooms, in times that of one room", ratio, ratio_max),
        at_least("Frames in many rooms, of the lines at all viewers", _part(many), FRAMES_MIN),
        at_least("Frames in one room, of the lines at all viewers", _part(one), FRAMES_MIN),
        at_most("Lines refused or not shown", many.refused + one.refused, 0),
    ]


def _part(figures: RoomsFigures) -> float:
    return round(figures.frames / (figures.lines * figures.viewers), 3) if figures.lines and figures.viewers else 0.0


async def _run(target: Target, options: argparse.Namespace, recorder: Recorder) -> dict[str, Any]:
    if options.viewers < options.rooms:
        raise UsageError("--viewers: at least one for each of the --rooms")
    names = [f"{options.room}-{number}" for number in range(options.rooms)]
    await _open_rooms(target, [*names, options.room], recorder)
    many, many_report, per_room = await _half(target, names, options, recorder, "many rooms")
    one, one_report, _ = await _half(target, [options.room], options, recorder, "one room")
    halves = {"many": many, "one": one}
    fields = {name: many_report.audit_fields[name] + one_report.audit_fields[name] for name in many_report.audit_fields}
    bounds = [
        *judge_many_rooms(many, one, options.ratio),
        *audit_bounds(fields, 2 * options.viewers, many_report.audit.viewers + one_report.audit.viewers),
    ]
    return {
        "ok": kept(bounds),
        "bounds": bounds_to_plain(bounds),
        "scenario": "many-rooms",
        "viewers": options.viewers,
        "rooms": options.rooms,
        "ratio": bounds[0].value,
        "cpu_us_per_frame": {name: half.cpu_us_per_frame for name, half in halves.items()},
        "frames": {name: half.frames for name, half in halves.items()},
        "viewers_per_room": per_room,
        **fields,
        "latency_by_phase": {"many": many_report.latency.total().summary(), "one": one_report.latency.total().summary()},
        "parameters": {name: getattr(options, name) for name in ("viewers", "rooms", "rate", "seconds", "rest", "ratio", "processes", "room")},
    }


async def _open_rooms(target: Target, names: list[str], recorder: Recorder) -> None:
    recorder.stage("opening", len(names))
    for first in range(0, len(names), OPENED_AT_ONCE):
        await asyncio.gather(*(target.open_room(name, "Load test") for name in names[first : first + OPENED_AT_ONCE]))
        recorder.update(first)


async def _half(
    target: Target, rooms: list[str], options: argparse.Namespace, recorder: Recorder, stage: str
) -> tuple[RoomsFigures, CrowdReport, float]:
    """All viewers in these rooms, `rate` lines a second in each, and the same number of lines in all."""
    lines = max(1, round(options.rate * options.seconds))
    plan = CrowdPlan(viewers=options.viewers, processes=options.processes, talkers=len(rooms), audits_chat=True, connections=2 * options.viewers)
    async with crowd_of(target, rooms, plan) as crowd:
        record(recorder, target, crowd)
        recorder.stage("joining", options.viewers)
        await crowd.until("joined", options.viewers, recorder.update)
        recorder.stage("rest", options.rest)
        await wait(options.rest, crowd, recorder, Phase(target))
        before = crowd.sum("deltas")
        recorder.stage(stage, options.seconds)
        phase = Phase(target)
        await crowd.tell(Talk(options.rate * len(rooms), lines))
        await wait(options.seconds + LAST_S, crowd, recorder, phase)
        frames = crowd.sum("deltas") - before
        report = await crowd.finish(CrowdFinish(0, list(range(lines)), [], SETTLE_S))
    recorder.latencies[f"line, {stage}"].merge(report.latency)
    refused = report.answers.total() - report.answers["shown"]
    return RoomsFigures(frames, lines, options.viewers, phase.cpu_s, refused), report, options.viewers / len(rooms)


def _figures(report: dict[str, Any]) -> list[Figure]:
    cpu_us, latencies = report["cpu_us_per_frame"], report["latency_by_phase"]
    return [
        Figure("CPU time a frame, ratio", f"{text_of(report['ratio'])} times", "many rooms beside one room"),
        Figure(
            "CPU time a frame, many rooms",
            f"{text_of(cpu_us['many'])} µs",
            f"rooms of {text_of(report['viewers_per_room'])} viewers",
        ),
        Figure("CPU time a frame, one room", f"{text_of(cpu_us['one'])} µs", f"a room of {text_of(report['viewers'])}"),
        latency_figure("Many rooms", latencies["many"]),
        latency_figure("One room", latencies["one"]),
    ]


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rooms", type=positive_int, default=1_500, metavar="N", help="small rooms that share the viewers (default: 1500)")
    parser.add_argument("--seconds", type=positive_float, default=20.0, metavar="S", help="how long each half is measured (default: 20)")
    parser.add_argument(
        "--rest", type=positive_float, default=REST_S, metavar="S", help=f"time between the joins and the lines (default: {REST_S:g})"
    )
    parser.add_argument("--ratio", type=positive_float, default=2.5, metavar="R", help="CPU time a frame, at most in times one room (default: 2.5)")


def _settings(options: argparse.Namespace) -> list[str]:
    return [
        *server_settings(options.viewers),
        *("--console-requests-per-s", "10000", "--console-requests-burst", "10000"),
        *("--rooms-chat-interval-ms", "0", "--rooms-chat-burst", "100"),
    ]


MANY_ROOMS: Final = CrowdScenario(
    words="many small rooms with a line of chat a second in each, beside one large room",
    defaults={"viewers": 15_000, "rate": 1.0},
    add_options=_add_options,
    settings=_settings,
    run=_run,
    figures=_figures,
)
