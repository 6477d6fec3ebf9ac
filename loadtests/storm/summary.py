"""A storm's report as people read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from loadtests.lib.report_page import Figure, latency_figure, mib_text, text_of

__all__ = ["storm_figures", "summary_of"]


def summary_of(report: dict[str, Any]) -> str:
    """Some lines."""
    return "\n".join(f"  {name:<10} {words}" for name, words in _lines(report))


def _lines(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    answers, engine, streams = report["answers"], report["engine"], report["streams"]
    yield "verdict", "all is as it must be" if report["ok"] else f"WRONG: {', '.join(report['wrong'])}"
    for code, found in report["wrong"].items():
        yield "", f"{code} ({found['count']}): {'; '.join(found['examples'][:2])}"
    yield "granted", _pairs(report["granted"])
    yield "answers", f"{answers['ids']} ids, {answers['sent']} sends, {answers['accepted']} accepted; refused: {_pairs(answers['refused'])}"
    yield "latency", f"{_ms(report['latency_ms'])}; of those who got something {_ms(report['latency_granted_ms'])}"
    yield "engine", f"{engine['commands']} commands, {engine['per_unit']} a unit ({_pairs(engine['outcomes'])})"
    yield "habits", f"{report['connections']} connections of {report['viewers']} users; {_pairs(report['habits'])}"
    yield "streams", f"{_pairs(streams)}; came back: {_pairs(report['back'])}, after failed attempts: {_pairs(report['failed_attempts'])}"
    for kill in report["kills"]:
        yield "killed", f"when {_pairs(kill)}"
    if report["kills"]:
        yield "", f"{answers['repeated_after_kill']} answers were asked for again afterwards"
    if report["journal"] is not None:
        yield "journal", report["journal"]["audit"]
    server, machine = report["server"], report["machine"]
    yield "cost", f"server {server['cpu_s']} s of CPU in {report['took_s']} s; crowd {report['generator']['cpu_s']} s; machine {_pairs(machine)}"


def _ms(latency: dict[str, float | None]) -> str:
    return "p50 {p50} ms, p99 {p99} ms, max {max} ms".format(**latency)


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items()) or "none"


def storm_figures(report: dict[str, Any]) -> list[Figure]:
    """The figures that the report's page shows first."""
    engine, server = report["engine"], report["server"]
    rss_max = server["rss_bytes"]["max"]
    return [
        Figure("Users", text_of(report["viewers"]), f"{text_of(report['units'])} units; kills: {len(report['kills'])}"),
        Figure("Accepted", text_of(report["answers"]["accepted"]), f"of {text_of(report['answers']['ids'])} commands"),
        latency_figure("Answers", report["latency_ms"]),
        latency_figure("Granted answers", report["latency_granted_ms"]),
        Figure("Engine's commands a unit", text_of(engine["per_unit"]), f"{text_of(engine['commands'])} commands"),
        Figure("Server's CPU time", f"{text_of(server['cpu_s'])} s", f"in {text_of(report['took_s'])} s; memory {mib_text(rss_max)}"),
    ]
