"""How many claims the engine decides, beside Redis doing the same with a Lua script: no sockets, records written to SQLite.

    python -m loadtests decisions --units 40000 --repetitions 5 --json decisions.json

Each side runs in a process of its own, and they take turns, so that other load on the machine hits all alike.
Figures are medians over the repetitions; ratios are medians of the ratios within a turn.
Every side's answers are counted and checked; those of the engine are read from the file that it wrote.
The test starts an empty Redis; without Redis the engine runs alone.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from statistics import median
from typing import Any, Final, TypeVar

try:
    import redis
except ImportError:
    sys.exit("decisions: redis is not installed; load tests need more than the server: pip install -e '.[load]'")

from liveroom.config.schema import EngineConfig
from loadtests.bench.claims import JobKind, Mix, make_rounds
from loadtests.bench.engine_alone import DecisionSample, Wrong, decide_all
from loadtests.bench.redis_alone import PIPELINE, RedisSample, claim_all, running_redis
from loadtests.lib.cli import EXIT_FAILED, positive_int, run_main
from loadtests.lib.meters import children_of
from loadtests.lib.progress import Bar
from loadtests.lib.recorder import Recorder
from loadtests.lib.report import add_report_options, write_files
from loadtests.lib.report_page import Figure, text_of

#: Units of one envelope or sale; there are as many of them as it takes.
UNITS_PER_ROUND_MAX: Final = 10_000
#: The wanted ratio to the decisions of Redis.
TARGET: Final = 1.5
JOBS: Final[tuple[tuple[JobKind, Mix], ...]] = (("grab", "winners"), ("grab", "crowd"), ("reserve", "winners"), ("reserve", "crowd"))
#: Redis as it is compared, and as it is when it writes to a file and syncs it once a second (the engine syncs every commit).
SIDES: Final = {"redis": False, "redis_everysec": True}

T = TypeVar("T")
Runs = dict[str, list[Any]]


async def measure(units: int, repetitions: int, warm_up: int, bar: Bar) -> dict[str, Any]:
    """All jobs, all sides, in turns; the report. Raises `Wrong`."""
    with ExitStack() as stack:
        ports = {side: stack.enter_context(running_redis(append_only=append_only)) for side, append_only in SIDES.items()}
        jobs: dict[str, Any] = {}
        for kind, mix in JOBS:
            bar.stage(f"{kind} {mix}", repetitions)
            runs = await _take_turns(kind, mix, units, repetitions, warm_up, ports, bar)
            jobs.setdefault(kind, {})[mix] = _figures(runs)
        version = None
        if (port := ports["redis"]) is not None:
            with redis.Redis(port=port) as client:
                version = client.info("server")["redis_version"]
    ratios = [mixes[mix]["ratio"]["redis"] for mixes in jobs.values() for mix in mixes if version]
    return {
        "ok": True,
        "parameters": {"units": units, "repetitions": repetitions, "warm_up": warm_up, "pipeline": PIPELINE},
        "redis_server": version or "absent",
        "redis_py": redis.__version__,
        "target": TARGET,
        "reached": bool(ratios) and min(ratios) >= TARGET,
        "jobs": jobs,
    }


async def _take_turns(kind: JobKind, mix: Mix, units: int, repetitions: int, warm_up: int, ports: dict[str, int | None], bar: Bar) -> Runs:
    rounds = make_rounds(kind, mix, units, UNITS_PER_ROUND_MAX)
    runs: Runs = {}
    for number in range(repetitions):
        ours = await _alone(decide_all, kind, rounds, warm_up)
        runs.setdefault("liveroom", []).append(ours)
        for side, port in ports.items():
            if port is not None:
                runs.setdefault(side, []).append(await _alone(claim_all, port, kind, rounds))
        bar.update(number + 1, ", ".join(f"{side} {samples[-1].claims / samples[-1].wall_s:,.0f}/s" for side, samples in runs.items()))
    return runs


async def _alone(work: Callable[..., T], *args: Any) -> T:
    """In a new process, so that no run finds what another left behind."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return await asyncio.get_running_loop().run_in_executor(process, work, *args)


def _figures(runs: Runs) -> dict[str, Any]:
    ours: list[DecisionSample] = runs["liveroom"]
    figures: dict[str, Any] = {
        "claims": ours[0].claims,
        "liveroom": {
            "per_s": _median(s.claims / s.wall_s for s in ours),
            "cpu_us": _median(s.cpu_s / s.claims * 1e6 for s in ours),
            "engine_us": _median(s.engine_s / s.claims * 1e6 for s in ours),
            "writer_us": _median(s.writer_s / s.claims * 1e6 for s in ours),
            "claims_per_record": _median(s.claims / s.records for s in ours),
            "claims_per_commit": _median(s.claims / s.commits for s in ours),
            "journal_bytes": _median(s.journal_bytes / s.claims for s in ours),
        },
        "ratio": {},
        "cpu_ratio": {},
        "own_cpu_ratio": {},
    }
    for side in (side for side in SIDES if side in runs):
        theirs: list[RedisSample] = runs[side]
        figures[side] = {
            "per_s": _median(s.claims / s.wall_s for s in theirs),
            "server_us": _median(s.server_s / s.claims * 1e6 for s in theirs),
            "client_us": _median(s.client_s / s.claims * 1e6 for s in theirs),
        }
        figures["ratio"][side] = _median(their.wall_s / our.wall_s for our, their in zip(ours, theirs, strict=True))
        figures["cpu_ratio"][side] = _median((their.server_s + their.client_s) / our.cpu_s for our, their in zip(ours, theirs, strict=True))
        figures["own_cpu_ratio"][side] = _median(their.server_s / our.cpu_s for our, their in zip(ours, theirs, strict=True))
    return figures


def _median(values: Iterator[float]) -> float:
    return round(median(values), 2)


def _table(report: dict[str, Any]) -> str:
    lines = [f"{'':18}{'claims':>9}  {'':16}{'claims/s':>10}{'ratio':>8}{'CPU us':>9}{'ratio':>8}  of which"]
    for kind, mixes in report["jobs"].items():
        for mix, of in mixes.items():
            ours = of["liveroom"]
            parts = f"{ours['engine_us']:.2f} deciding, {ours['writer_us']:.2f} writing; {ours['claims_per_commit']:.0f} claims a commit"
            lines.append(f"{kind + ', ' + mix:18}{of['claims']:9,}  {'liveroom':16}{ours['per_s']:10,.0f}{'':8}{ours['cpu_us']:9.2f}{'':8}  {parts}")
            for side in (side for side in SIDES if side in of):
                theirs = of[side]
                cpu_us = theirs["server_us"] + theirs["client_us"]
                parts = f"{theirs['server_us']:.2f} Redis itself, {theirs['client_us']:.2f} redis-py"
                ratio, cpu_ratio, own = (of[name][side] for name in ("ratio", "cpu_ratio", "own_cpu_ratio"))
                lines.append(f"{'':29}{side:16}{theirs['per_s']:10,.0f}{ratio:8.2f}{cpu_us:9.2f}{cpu_ratio:8.2f}  {parts}; {own:.2f} without it")
    lines.append("ratio: claims a second of liveroom to theirs; CPU time a claim of theirs to liveroom's whole process")
    if report["redis_server"] == "absent":
        lines.append("redis: skipped, no redis-server is installed")
    else:
        reached = "reached" if report["reached"] else "NOT reached"
        lines.append(f"target, {report['target']} times the claims of Redis {report['redis_server']} without persistence: {reached}")
    return "\n".join(lines)


def _page_figures(report: dict[str, Any]) -> list[Figure]:
    figures = []
    for kind, mixes in report["jobs"].items():
        for mix, of in mixes.items():
            beside = f"{text_of(of['ratio']['redis'])} times Redis" if "redis" in of.get("ratio", {}) else "without Redis"
            figures.append(Figure(f"{kind}, {mix}: claims a second", text_of(round(of["liveroom"]["per_s"])), beside))
    return figures


async def _main(options: argparse.Namespace) -> int:
    try:
        with Recorder() as recorder:
            recorder.watch("engine and Redis", lambda: children_of(os.getpid()))
            report = await measure(options.units, options.repetitions, options.warm_up, recorder)
    except Wrong as error:
        print(f"decisions: {error}", file=sys.stderr)
        return EXIT_FAILED
    print(_table(report))
    write_files(report, options, recorder, _page_figures(report))
    return 0


def main(arguments: Sequence[str]) -> int:
    """Compare the engine and Redis; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtests decisions", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--units", type=positive_int, default=40_000, help="shares or pieces that are given away in one run (default: 40000)")
    parser.add_argument("--repetitions", type=positive_int, default=5, help="turns of each side (default: 5)")
    parser.add_argument(
        "--warm-up",
        type=int,
        default=EngineConfig().dedupe_count_max,
        metavar="N",
        help="commands that the engine decides before any is counted (default: as many as it remembers the outcomes of)",
    )
    add_report_options(parser)
    return run_main("decisions", _main(parser.parse_args(arguments)))
