"""The page of a report: one file, figures first, every text escaped."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.lib.bounds import at_least, at_most, bounds_to_plain, kept
from loadtests.lib.recorder import ChartMark, Point, Recorder, Sample
from loadtests.lib.report_page import Figure, latency_figure, page_of, text_of
from loadtests.lib.timeline import ChartLine, nice_ticks, number_text, time_chart
from tests.loadtests.commands import read_page

EVIL = "<script>alert('x')</script>&\"<img src=x onerror=y>"


def page(report: dict[str, Any], figures: list[Figure] | None = None, recorder: Recorder | None = None) -> str:
    return page_of("steady", "python -m loadtests", report, recorder or Recorder(), figures or [])


def test_every_text_is_escaped() -> None:
    """No text of a run, from whomever it comes, becomes part of the page's own code."""
    recorder = Recorder()
    recorder.samples += [Sample(at_s, {}, {EVIL: at_s}, {EVIL: at_s}) for at_s in (0, 1, 2)]
    recorder.latencies[EVIL].add(recorder._began_ns, 5)
    recorder.marks.append(ChartMark(1, EVIL))
    report = {
        "ok": False,
        "wrong": {EVIL: {"count": 1, "examples": [EVIL]}},
        "bounds": [{"name": EVIL, "value": 1, "relation": "at most", "limit": 0, "unit": EVIL, "ok": False}],
        EVIL: {EVIL: [{EVIL: EVIL}]},
        "list": [EVIL],
    }
    text = page_of(EVIL, EVIL, report, recorder, [Figure(EVIL, EVIL, EVIL)])
    read = read_page(text)
    assert "<img" not in text
    assert read.text.count(EVIL) >= 15
    assert read.tags["svg"] == 3


@pytest.mark.parametrize(("ok", "words"), [(True, "✓ passed"), (False, "✗ failed"), (None, "measured")])
def test_the_verdict_comes_first(ok: bool | None, words: str) -> None:
    """The page says at once whether the run passed; a benchmark without a target was measured."""
    report = {"viewers": 5} if ok is None else {"ok": ok, "viewers": 5}
    body = read_page(page(report, [Figure("Viewers", "5")])).text
    assert 0 < body.index(words) < body.index("Viewers") < body.index("python -m loadtests")


def test_a_broken_bound_and_a_fault_are_shown() -> None:
    """Bounds have their value, limit and verdict; faults their count and examples."""
    bounds = [at_most("p99", 12.5, 10, "ms"), at_least("joined", 40, 40)]
    assert not kept(bounds)
    body = read_page(page({"ok": False, "bounds": bounds_to_plain(bounds), "wrong": {"not_shown": {"count": 3, "examples": ["line 7"]}}})).text
    assert all(words in body for words in ("p99", "12.5 ms", "at most 10 ms", "✗", "✓", "not shown", "line 7"))


def test_bounds_can_fail() -> None:
    """A bound that was not measured is broken, and so is a run that judged nothing."""
    assert kept([at_most("a", 1, 1), at_least("b", 1, 1)])
    assert not kept([at_most("a", None, 1)])
    assert not kept([at_most("a", float("nan"), 1)])
    assert not kept([])
    assert str(at_most("p99", None, 10, "ms")) == "p99: not measured, at most 10 ms"


def test_a_whole_run_has_its_charts() -> None:
    """Rates, latencies, levels and processes have a chart each; nothing that was not recorded has one."""
    recorder = Recorder()
    recorder.samples += [Sample(at_s, {"server": {}}, {"Deliveries": at_s}, {}) for at_s in (0, 1, 2)]
    read = read_page(page({"ok": True}, recorder=recorder))
    assert read.titles == {"Deliveries"}


def test_many_rows_are_cut() -> None:
    """A table shows at most 200 rows and says how many more there are."""
    body = read_page(page({"rounds": [{"round": number} for number in range(250)]})).text
    assert "50 more rows" in body


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        (True, "yes"),
        (12_345, "12,345"),
        (0.123456, "0.1235"),
        (12_345.6, "12,346"),
        ([], "none"),
        ({"a_b": 1.5, "c": None}, "a b 1.5, c –"),
    ],
)
def test_values_as_people_read_them(value: object, words: str) -> None:
    """Numbers have separators and no false digits."""
    assert text_of(value) == words


def test_latencies_as_figures() -> None:
    """Short times are in ms, long ones in s."""
    assert latency_figure("Answers", {"p50": 0.5, "p99": 1_500.0, "max": None}) == Figure("Answers p99", "1.5 s", "p50 0.5 ms, longest –")


@given(st.floats(min_value=1e-6, max_value=1e12), st.integers(min_value=2, max_value=8))
def test_ticks_are_round_and_reach_the_highest_value(highest: float, count: int) -> None:
    """Ticks begin at 0, are evenly spaced, and the last one is the first at or above the highest value."""
    ticks = nice_ticks(highest, count)
    step = ticks[1] - ticks[0]
    assert ticks[0] == 0
    assert ticks[-1] >= highest * 0.999999
    assert ticks[-2] <= highest
    assert len(ticks) <= count + 2
    assert all(abs(after - before - step) < step * 1e-6 for before, after in pairwise(ticks))


def test_a_line_is_broken_where_nothing_was_measured() -> None:
    """A gap is a gap: no line leads over the time in which a server was down; one point alone is a dot."""
    points = [Point(at_s, 1) for at_s in (0, 1, 2, 3, 10, 11, 12, 30)]
    chart = time_chart("Memory", "MiB", [ChartLine("server", points)], 30)
    assert chart.count("<polyline") == 2
    assert chart.count("<circle") == 1


def test_a_chart_without_values_has_an_axis() -> None:
    """Nothing, and zeros alone, are no division by zero."""
    for points in ([], [Point(0, 0)], [Point(0, 0), Point(1, 0)]):
        assert time_chart("Empty", "", [ChartLine("x", points)], 0).endswith("</svg>")


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.25, "0.25"), (950, "950"), (5_000, "5,000"), (25_000, "25k"), (3.4e6, "3.4M"), (2e9, "2G")])
def test_numbers_of_an_axis_are_short(value: float, text: str) -> None:
    """They fit beside a chart."""
    assert number_text(value) == text
