"""Scenario `steady`: one room, announcements at a steady rate, and an audit of what each viewer got.

Announcements are of the delivery class `must`: every viewer who reads has to get each that was accepted, once and in order.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from msgspec import Struct

from loadtests.crowd.crowd import Crowd, CrowdPlan, CrowdReport, crowd_of
from loadtests.crowd.orders import CrowdFinish
from loadtests.crowd.pusher import Pusher
from loadtests.lib.meters import ProcessMeter
from loadtests.lib.recorder import Recorder
from loadtests.lib.report_page import Figure, latency_figure, mib_text, text_of
from loadtests.lib.target import Target

__all__ = ["ROOM", "SteadyOptions", "run_steady", "server_settings", "steady_figures"]

ROOM: Final = "swarm"
#: Time for the slowest reader to get the last announcement.
SETTLE_S: Final = 15.0
SAMPLE_S: Final = 0.25


class SteadyOptions(Struct, frozen=True):
    """Options of a run."""

    viewers: int
    rate: float
    seconds: float
    stalled: int = 0
    processes: int = 2
    deflate: bool = False
    characters: int = 0
    room: str = ROOM


def server_settings(viewers: int) -> list[str]:
    """Settings of an own server that allow so many viewers from this machine."""
    room_for = str(viewers + 1_000)
    return ["--gateway-connections-max", room_for, "--gateway-connections-per-address-max", room_for]


async def run_steady(target: Target, options: SteadyOptions, recorder: Recorder) -> dict[str, Any]:
    """Run it and report. Raises `TargetError`, `HandshakeRefused`, `OSError`."""
    await target.open_room(options.room, "Load test")
    before = ProcessMeter(target.pid)
    recorder.watch("server", lambda: [target.pid])
    plan = CrowdPlan(viewers=options.viewers, processes=options.processes, stalled=options.stalled, deflate=options.deflate)
    async with crowd_of(target, [options.room], plan) as crowd:
        recorder.watch("crowd", lambda: crowd.pids)
        recorder.level("Viewers in the room", lambda: crowd.sum("joined"))
        recorder.count("Deliveries", lambda: crowd.sum("delivered"))
        recorder.stage("joining", options.viewers)
        await crowd.until("joined", options.viewers, recorder.update)
        pusher = await Pusher.open(target, options.room, options.rate, options.characters)
        try:
            meter = ProcessMeter(target.pid)
            await _push(pusher, crowd, options, meter, recorder)
            recorder.stage("audit", 1)
            report = await crowd.finish(CrowdFinish(pusher.seq, sorted(pusher.accepted), sorted(pusher.undecided), SETTLE_S))
            meter.sample()
            recorder.latencies["delivery"].merge(report.latency)
            return _summary(options, pusher, report, meter, before)
        finally:
            pusher.close()


async def _push(pusher: Pusher, crowd: Crowd, options: SteadyOptions, meter: ProcessMeter, recorder: Recorder) -> None:
    recorder.stage("pushing", options.rate * options.seconds)
    pushing = asyncio.create_task(pusher.push(options.rate, options.seconds))
    try:
        while not pushing.done():
            meter.sample()
            recorder.update(pusher.sent, f"events, {len(pusher.accepted)} accepted, {crowd.sum('delivered')} delivered")
            await asyncio.wait([pushing], timeout=SAMPLE_S)
        await pushing
        await pusher.settle()
    finally:
        pushing.cancel()


def _summary(options: SteadyOptions, pusher: Pusher, report: CrowdReport, meter: ProcessMeter, before: ProcessMeter) -> dict[str, Any]:
    audit, cpu_s = report.audit, meter.cpu_s()
    reading = options.viewers - options.stalled
    ok = audit.clean and audit.viewers == reading and bool(pusher.accepted)
    ok = ok and not (report.gaps or report.disorders or report.rewritten or report.skipped or report.disconnected or pusher.undecided)
    return {
        "ok": ok,
        "scenario": "steady",
        "viewers": options.viewers,
        "events": len(pusher.accepted),
        "refused": dict(pusher.refused),
        "unanswered": len(pusher.undecided) + pusher.sent - pusher.answered,
        **report.audit_fields,
        "latency_ms": report.latency.total().summary(),
        "server": {
            "cpu_us_per_delivery": round(cpu_s * 1e6 / audit.delivered, 3) if cpu_s is not None and audit.delivered else None,
            "cpu_s": round(cpu_s, 2) if cpu_s is not None else None,
            "rss_bytes": {"before_viewers": before.rss_bytes_start, "start": meter.rss_bytes_start, "max": meter.rss_bytes_max},
        },
        "generator": {
            "frames_with_events": report.frames,
            "viewers_cpu_s": round(report.cpu_s, 2),
            "push_late_ms_max": round(pusher.late_ms_max, 2),
            "anchors": pusher.anchors,
        },
        "parameters": {
            "viewers": options.viewers,
            "stalled": options.stalled,
            "rate": options.rate,
            "seconds": options.seconds,
            "processes": options.processes,
            "deflate": options.deflate,
            "characters": options.characters,
            "room": options.room,
        },
    }


def steady_figures(report: dict[str, Any]) -> list[Figure]:
    """The figures that the report's page shows first."""
    server = report["server"]
    rss = server["rss_bytes"]
    return [
        Figure("Viewers", text_of(report["viewers"]), f"{text_of(report['parameters']['stalled'])} of them never read"),
        Figure("Deliveries", text_of(report["delivered"]), f"of {text_of(report['expected'])} expected"),
        latency_figure("Latency", report["latency_ms"]),
        Figure("CPU time a delivery", f"{text_of(server['cpu_us_per_delivery'])} µs", f"{text_of(server['cpu_s'])} s of the server's process"),
        Figure("Server's memory at most", mib_text(rss["max"]), f"{mib_text(rss['before_viewers'])} before the viewers"),
    ]
