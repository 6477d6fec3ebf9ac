"""A storm's report as people read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["summary_of"]


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
