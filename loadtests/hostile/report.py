"""The findings of a hostile run, as figures and text: above all, honest users' times with and without the hostile ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from loadtests.honest.messages import HonestReport
from loadtests.honest.users import latencies_of
from loadtests.lib.findings import Findings
from loadtests.lib.latency import Latency
from loadtests.lib.phases import Phases
from loadtests.lib.report_page import Figure, text_of

__all__ = ["ADDED_MS_MAX", "BY_RATIO", "compare", "hostile_figures", "summary_of"]

#: Times whose p99 may grow by a ratio while attackers are at work: a line, from sent to shown.
BY_RATIO: Final = ("delivery",)
#: Times whose p99 may grow by so many ms: a purchase, from the reservation to the receipt. It is short and waits at each of its hops for what
#: the loop does just then, so that a ratio says little. With 50 ms more it stays below the 0.1 s that people take for at once.
ADDED_MS_MAX: Final[Mapping[str, float]] = {"purchase": 50.0}
#: Number of draws of pairs of phases, to see how much the ratio depends on a few of them.
DRAWS: Final = 300
#: The ratio lies in its interval with this probability, in percent.
CONFIDENCE: Final = 90


def compare(report: HonestReport, phases: Phases, ratio_max: float, findings: Findings) -> dict[str, Any]:
    """Times in quiet and in hostile phases by what they are of.

    A growth is too large when even the low end of its interval is: above `ratio_max` for `BY_RATIO`, above `ADDED_MS_MAX` for those in it.
    """
    found: dict[str, Any] = {}
    for what, by_phase in sorted(latencies_of(report).items()):
        pairs = [(by_phase.get(number, Latency()), by_phase.get(number + 1, Latency())) for number in range(1, phases.count, 2)]
        quiet, hostile = _merged(one for one, _ in pairs), _merged(other for _, other in pairs)
        (low, high), (added_low, added_high) = _interval(pairs, _p99_ratio), _interval(pairs, _p99_added_ms)
        found[what] = {
            "quiet": {"count": quiet.count, **quiet.summary()},
            "hostile": {"count": hostile.count, **hostile.summary()},
            "p50_ratio": _ratio(quiet, hostile, 50),
            "p99_ratio": _p99_ratio(quiet, hostile),
            "p99_ratio_low": low,
            "p99_ratio_high": high,
            "p99_added_ms": _p99_added_ms(quiet, hostile),
            "p99_added_ms_low": added_low,
            "p99_added_ms_high": added_high,
        }
        words = f"{what}: p99 {hostile.percentile_ms(99)} ms with attackers, {quiet.percentile_ms(99)} ms without"
        if what in BY_RATIO and low is not None and low > ratio_max:
            findings.add("slower", f"{words}: {low} to {high} times")
        if what in ADDED_MS_MAX and added_low is not None and added_low > ADDED_MS_MAX[what]:
            findings.add("slower", f"{words}: {added_low} to {added_high} ms more")
    for what in (*BY_RATIO, *ADDED_MS_MAX):
        if what not in found or found[what]["p99_ratio"] is None:
            findings.add("slower", f"{what}: there is nothing to compare")
    return found


def _merged(parts: Iterator[Latency]) -> Latency:
    total = Latency()
    for part in parts:
        total.merge(part)
    return total


def _ratio(quiet: Latency, hostile: Latency, percent: float) -> float | None:
    without_ms, with_ms = quiet.percentile_ms(percent), hostile.percentile_ms(percent)
    return round(with_ms / without_ms, 2) if without_ms and with_ms else None


def _p99_ratio(quiet: Latency, hostile: Latency) -> float | None:
    return _ratio(quiet, hostile, 99)


def _p99_added_ms(quiet: Latency, hostile: Latency) -> float | None:
    without_ms, with_ms = quiet.percentile_ms(99), hostile.percentile_ms(99)
    return round(with_ms - without_ms, 2) if without_ms is not None and with_ms is not None else None


def _interval(pairs: list[tuple[Latency, Latency]], measure: Callable[[Latency, Latency], float | None]) -> tuple[float | None, float | None]:
    """Where a measure lies when pairs of phases are drawn again and again (bootstrap)."""
    rng = random.Random(len(pairs))
    found = []
    for _ in range(DRAWS):
        drawn = rng.choices(pairs, k=len(pairs))
        value = measure(_merged(one for one, _ in drawn), _merged(other for _, other in drawn))
        if value is not None:
            found.append(value)
    if not found:
        return None, None
    found.sort()
    cut = int(len(found) * (100 - CONFIDENCE) / 200)
    return found[cut], found[-1 - cut]


def hostile_figures(report: dict[str, Any]) -> list[Figure]:
    """The figures that the report's page shows first."""
    delivery, purchase, server = report["latency"]["delivery"], report["latency"]["purchase"], report["server"]
    return [
        Figure("Delivery p99 beside attackers", f"{text_of(delivery['p99_ratio'])} times", f"{text_of(delivery['hostile']['p99'])} ms"),
        Figure("Purchase p99 beside attackers", f"{text_of(purchase['p99_added_ms'])} ms more", f"{text_of(purchase['hostile']['p99'])} ms"),
        Figure("Lines delivered", text_of(report["honest"]["lines_delivered"]), f"of {text_of(report['honest']['lines_expected'])}"),
        Figure("Purchases", text_of(report["honest"]["purchases"]), "by honest users"),
        Figure("Server's memory at most", f"{text_of(server['rss_mib']['max'])} MiB", f"the bound is {text_of(server['rss_mib']['bound'])} MiB"),
        Figure("Part of a core", f"{100 * server['cpu_share']['hostile']:.0f} %", f"{100 * server['cpu_share']['quiet']:.0f} % without attackers"),
    ]


def summary_of(report: dict[str, Any]) -> str:
    """Some lines for people."""
    return "\n".join(f"  {name:<10} {words}" for name, words in _lines(report))


def _lines(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "verdict", "every promise was kept" if report["ok"] else f"BROKEN: {', '.join(report['wrong'])}"
    for code, found in report["wrong"].items():
        yield "", f"{code} ({found['count']}): {'; '.join(found['examples'][:3])}"
    for what, one in report["latency"].items():
        quiet, hostile = one["quiet"], one["hostile"]
        words = f"p50 {quiet['p50']} -> {hostile['p50']} ms, p99 {quiet['p99']} -> {hostile['p99']} ms, max {quiet['max']} -> {hostile['max']} ms"
        grown = f"p99 times {one['p99_ratio']} ({one['p99_ratio_low']} to {one['p99_ratio_high']})"
        yield what[:10], f"{words}; {grown}, {one['p99_added_ms']} ms more ({one['p99_added_ms_low']} to {one['p99_added_ms_high']})"
    yield "honest", _pairs(report["honest"])
    for name, outcomes in report["attacks"].items():
        yield "attack", f"{name}: {_pairs(outcomes)}"
    server = report["server"]
    for name in ("rss_mib", "files", "cpu_share"):
        yield name, _pairs(server[name])
    for name, values in report["refused"].items():
        yield "refused", f"{name}: {_pairs({code or 'all': int(count) for code, count in values.items()})}"
    yield "log", f"{_pairs(report['log']['levels'])}; {_pairs(report['log']['warnings'])}"
    yield "clock", f"{report['clock_steps']} steps"
    yield "journal", report["journal"]["audit"]
    yield "machine", _pairs(report["machine"])


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items()) or "none"
