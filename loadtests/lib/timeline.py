"""Charts of values over the time of a run, as inline SVG; the page's style sheet gives them their colors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

from loadtests.lib.recorder import ChartMark, Point

__all__ = ["ChartLine", "nice_ticks", "number_text", "time_chart"]

#: The drawing is about as wide as a phone, and a page shows two or three of them side by side elsewhere: so its text always keeps its size.
WIDTH: Final = 400
HEIGHT: Final = 190
LEFT: Final = 46
RIGHT: Final = 10
TOP: Final = 18
BOTTOM: Final = 24
Y_TICKS: Final = 4
X_TICKS: Final = 6
#: A line is broken where its points are this many times as far apart as usual.
GAP: Final = 2.5
#: Average width of a character of a mark's label.
CHARACTER: Final = 5.6
#: Steps of time on the axis, in s.
TIME_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 43_200)


class ChartLine(NamedTuple):
    """One line of a chart."""

    name: str
    points: Sequence[Point]


def time_chart(label: str, unit: str, lines: Sequence[ChartLine], seconds: float, marks: Sequence[ChartMark] = ()) -> str:
    """An SVG element with all `lines` over the `seconds` of a run; `label` says what it shows to those who do not see it."""
    seconds = max(seconds, 1e-3)
    highest = max((point.value for line in lines for point in line.points), default=0.0)
    ticks = nice_ticks(highest, Y_TICKS)
    top = ticks[-1]

    def x(at_s: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(at_s, 0.0), seconds) / seconds

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{label}, {unit}")}">']
    for tick in ticks:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" text-anchor="end" x="{LEFT - 6}" y="{y(tick) + 4:.1f}">{number_text(tick)}</text>')
    for at_s in _time_ticks(seconds):
        parts.append(f'<text class="tick" text-anchor="middle" x="{x(at_s):.1f}" y="{HEIGHT - 7}">{_time_text(at_s, seconds)}</text>')
    parts += _marks(marks, x)
    for number, line in enumerate(lines, 1):
        for piece in _unbroken(line.points):
            if len(piece) == 1:
                parts.append(f'<circle class="dot s{number}" cx="{x(piece[0].at_s):.1f}" cy="{y(piece[0].value):.1f}" r="2"/>')
            else:
                path = " ".join(f"{x(point.at_s):.1f},{y(point.value):.1f}" for point in piece)
                parts.append(f'<polyline class="line s{number}" points="{path}"/>')
    return "".join([*parts, "</svg>"])


def _unbroken(points: Sequence[Point]) -> list[list[Point]]:
    """The pieces of a line between the gaps in which nothing was measured."""
    usual_s = median([after.at_s - before.at_s for before, after in pairwise(points)] or [0.0])
    pieces: list[list[Point]] = []
    for point in points:
        if not pieces or point.at_s - pieces[-1][-1].at_s > usual_s * GAP:
            pieces.append([])
        pieces[-1].append(point)
    return pieces


def _marks(marks: Sequence[ChartMark], x: Callable[[float], float]) -> Iterator[str]:
    """A thin line for each mark, with its words where they do not run into those before."""
    free = 0.0
    for mark in marks:
        at, words = x(mark.at_s), escape(mark.words)
        yield f'<g class="mark"><title>{words}</title><line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 6}" y2="{HEIGHT - BOTTOM}"/>'
        if at >= free:
            wide = len(mark.words) * CHARACTER
            left = min(at, WIDTH - wide)
            yield f'<text x="{left:.1f}" y="{TOP - 8}">{words}</text>'
            free = left + wide + 6
        yield "</g>"


def nice_ticks(highest: float, count: int) -> list[float]:
    """About `count` round numbers from 0 up to at least `highest`."""
    if highest <= 0 or not math.isfinite(highest):
        return [0.0, 1.0]
    rough = highest / count
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough * 0.999999)
    return [round(number * step, 10) for number in range(math.ceil(highest / step - 1e-9) + 1)]


def number_text(value: float) -> str:
    """A number in at most about five characters: 950, 1.2k, 3.4M."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor * (10 if letter == "k" else 1):
            return f"{value / factor:.3g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _time_ticks(seconds: float) -> list[float]:
    step = next((one for one in TIME_STEPS if seconds / one <= X_TICKS), TIME_STEPS[-1])
    return [number * step for number in range(int(seconds / step) + 1)]


def _time_text(at_s: float, seconds: float) -> str:
    if seconds < 120:
        return f"{at_s:.0f} s"
    hours, rest = divmod(round(at_s), 3_600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
