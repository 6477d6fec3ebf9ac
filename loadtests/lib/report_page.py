"""The page of a report: one HTML file without any other file, with figures first, charts over time, and the whole report behind them.

Jinja escapes every text that goes into the page; only the charts of `timeline` go in as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

try:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
except ImportError:
    sys.exit("loadtests: jinja2 is not installed; load tests need more than the server: pip install -e '.[load]'")

from loadtests.lib.machine import machine_facts
from loadtests.lib.recorder import Point, Recorder
from loadtests.lib.timeline import ChartLine, number_text, time_chart

__all__ = ["Figure", "latency_figure", "mib_text", "page_of", "text_of"]

TEMPLATE: Final = "report_page.html.j2"
PERCENTS: Final = (50.0, 90.0, 99.0)
#: Rows of a table that a page shows; the JSON report has all of them.
ROWS_MAX: Final = 200


class Figure(NamedTuple):
    """A figure that a page shows in large type: what it is, its value with the unit, and what helps to judge it."""

    label: str
    value: str
    note: str = ""


class Legend(NamedTuple):
    """A line's name and its highest value."""

    name: str
    highest: str


class Chart(NamedTuple):
    """A chart with its title, unit and legend."""

    title: str
    unit: str
    svg: str
    legend: list[Legend]


class Table(NamedTuple):
    """Dicts of the same form as rows; `omitted` is how many of them are missing."""

    columns: list[str]
    rows: list[list[str]]
    omitted: int


def page_of(title: str, command: str, report: Mapping[str, Any], recorder: Recorder, figures: Sequence[Figure]) -> str:
    """The whole page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(kind_of=_kind_of, table_of=_table_of, text_of=text_of, words_of=_words_of)
    wrong = report.get("wrong", {})
    by_code = isinstance(wrong, Mapping)
    shown = {"ok", "bounds", *(["wrong"] if by_code else [])}
    return environment.get_template(TEMPLATE).render(
        title=title,
        command=command,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        ok=report.get("ok"),
        figures=figures,
        bounds=report.get("bounds", []),
        wrong=wrong if by_code else {},
        charts=charts_of(recorder),
        details={name: value for name, value in report.items() if name not in shown},
        facts=machine_facts(),
    )


# Charts


def charts_of(recorder: Recorder) -> list[Chart]:
    """Rates, latencies and levels of the test, then CPU time, memory and open files of the processes; without those that nothing was recorded of."""
    processes = recorder.processes()
    charts = [_chart(recorder, name, "a second", [ChartLine(name, points)]) for name, points in recorder.rates().items()]
    for name in recorder.latencies:
        lines = [ChartLine(f"p{percent:g}", points) for percent, points in recorder.percentiles(name, PERCENTS).items()]
        charts.append(_chart(recorder, f"Latency: {name}", "ms", lines))
    charts += [_chart(recorder, name, "", [ChartLine(name, points)]) for name, points in recorder.levels().items()]
    for title, unit, attribute in (("CPU time", "% of a core", "cpu_percent"), ("Memory", "MiB", "rss_mib"), ("Open files", "", "files")):
        charts.append(_chart(recorder, title, unit, [ChartLine(name, getattr(series, attribute)) for name, series in processes.items()]))
    return [chart for chart in charts if chart.legend]


def _chart(recorder: Recorder, title: str, unit: str, lines: Sequence[ChartLine]) -> Chart:
    lines = [line for line in lines if line.points]
    svg = time_chart(title, unit, lines, recorder.seconds, recorder.marks)
    return Chart(title, unit, svg, [Legend(line.name, number_text(_highest(line.points))) for line in lines])


def _highest(points: Sequence[Point]) -> float:
    return max(point.value for point in points)


# The report's values


def latency_figure(label: str, latency: Mapping[str, float | None]) -> Figure:
    """The figure of a summary of latencies (p50, p99 and max in ms)."""
    return Figure(f"{label} p99", _ms_text(latency["p99"]), f"p50 {_ms_text(latency['p50'])}, longest {_ms_text(latency['max'])}")


def _ms_text(ms: float | None) -> str:
    return "–" if ms is None else f"{ms:,.3g} ms" if ms < 1_000 else f"{ms / 1_000:,.3g} s"


def text_of(value: Any) -> str:
    """A plain value as people read it."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.4g}" if abs(value) < 1_000 else f"{value:,.0f}"
        case [*items]:
            return ", ".join(map(text_of, items)) or "none"
        case dict():
            return ", ".join(f"{_words_of(name)} {text_of(one)}" for name, one in value.items()) or "none"
    return str(value)


def mib_text(size: float | None) -> str:
    """A number of bytes in MiB."""
    return "–" if size is None else f"{size / 2**20:,.0f} MiB"


def _words_of(name: Any) -> str:
    """A field's name as words."""
    return str(name).replace("_", " ")


def _kind_of(value: Any) -> str:
    """How a page shows a value: as a `table`, as `fields` of its own, or as `text`."""
    if isinstance(value, Sequence) and not isinstance(value, str) and value and all(isinstance(one, Mapping) for one in value):
        return "table"
    return "fields" if isinstance(value, Mapping) and value else "text"


def _table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    shown = [[text_of(row.get(name)) for name in columns] for row in rows[:ROWS_MAX]]
    return Table([_words_of(name) for name in columns], shown, len(rows) - len(shown))
