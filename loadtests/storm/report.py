"""A storm's report."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from msgspec import Struct

from liveroom.protocol.frames import Refused
from loadtests.lib.latency import LatencySeries
from loadtests.lib.recorder import Recorder
from loadtests.storm.audit import Course, audit_storm
from loadtests.storm.reply_audit import repeated_after_kill
from loadtests.storm.scenario import Case
from loadtests.storm.transcript import Transcript
from loadtests.storm.worker import StormReport

__all__ = ["Measured", "report_of"]


class Measured(Struct):
    """From the drop to the last answer. CPU times are sums over the server's lives and over the machine's cores."""

    took_s: float
    cpu_s: float | None
    rss_bytes_start: int | None
    rss_bytes_max: int | None
    busy_s: float | None
    idle_s: float | None


def report_of(case: Case, course: Course, reports: list[StormReport], measured: Measured, recorder: Recorder) -> dict[str, Any]:
    """The audit and everything beside it; the latencies also go to `recorder`."""
    options, transcript, journal = case.options, case.transcript, course.journal
    findings, granted = audit_storm(case, course)
    commands = sum(course.commands.values())
    latency, latency_granted = recorder.latencies["all answers"], recorder.latencies["answers that granted something"]
    for report in reports:
        latency.merge(LatencySeries.from_plain(report.latency))
        latency_granted.merge(LatencySeries.from_plain(report.latency_granted))
    return {
        "ok": not findings,
        "scenario": options.scenario,
        "viewers": options.viewers,
        "units": options.units,
        "wrong": findings.to_plain(),
        "granted": granted,
        "latency_ms": latency.total().summary(),
        "latency_granted_ms": latency_granted.total().summary(),
        "engine": {"commands": commands, "per_unit": round(commands / options.units, 2), "outcomes": course.commands},
        "answers": _answers(transcript, reports),
        "streams": {"gaps": transcript.gaps, "disorders": transcript.disorders, "rewritten": transcript.rewritten, "skipped": transcript.skipped},
        "connections": sum(report.connections for report in reports),
        "habits": _added(reports, "habits"),
        "back": _added(reports, "back"),
        "failed_attempts": _added(reports, "failed_attempts"),
        "kills": [msgspec.to_builtins(kill) for kill in course.kills],
        "journal": {"events": len(journal.events), "answers": journal.replies, "audit": journal.audit} if journal is not None else None,
        "ledger": msgspec.to_builtins(case.ledger.totals) if case.ledger is not None else None,
        "took_s": round(measured.took_s, 2),
        "server": {"cpu_s": _rounded(measured.cpu_s), "rss_bytes": {"start": measured.rss_bytes_start, "max": measured.rss_bytes_max}},
        "generator": {"cpu_s": round(sum(report.cpu_s for report in reports), 2), "processes": len(reports)},
        "machine": {"busy_s": _rounded(measured.busy_s), "idle_s": _rounded(measured.idle_s)},
        "parameters": msgspec.to_builtins(options),
    }


def _answers(transcript: Transcript, reports: list[StormReport]) -> dict[str, Any]:
    return {
        "ids": len(transcript.asked),
        "sent": sum(one.sent for one in transcript.asked),
        "replies": sum(len(one.told) for one in transcript.asked),
        "cut_off": sum(one.cut for one in transcript.asked),
        "accepted": sum(one.granted is not None for one in transcript.asked),
        "refused": dict(Counter(answer.code for one in transcript.asked if isinstance(answer := one.answer, Refused))),
        "queued": sum(report.queued for report in reports),
        "busy": sum(len(one.told) - len(one.answers()) for one in transcript.asked),
        "repeated_after_kill": repeated_after_kill(transcript.asked),
    }


def _added(reports: list[StormReport], name: str) -> dict[str, int]:
    return dict(sum((Counter(getattr(report, name)) for report in reports), Counter()))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)
