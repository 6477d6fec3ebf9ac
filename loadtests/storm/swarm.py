"""A swarm of viewers: `python -m loadtests swarm SCENARIO ...`.

Each scenario is a subcommand, and prints its report as JSON.

Exit codes: 0 = the audit was clean, 1 = it was not, or the run failed, 2 = invalid options, 130 = interrupted.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Sequence
from typing import Any

from loadtests.crowd.scenario import CrowdScenario
from loadtests.crowd.scenarios import CROWD_SCENARIOS
from loadtests.crowd.steady import ROOM, SteadyOptions, run_steady, server_settings, steady_figures
from loadtests.lib.bounds import Bound
from loadtests.lib.cli import (
    EXIT_FAILED,
    UsageError,
    add_server_options,
    percent,
    positive_float,
    positive_int,
    room_id,
    run_main,
    server_of,
)
from loadtests.lib.recorder import Recorder
from loadtests.lib.report import add_report_options, write_report
from loadtests.lib.target import raise_file_limit
from loadtests.storm.options import BACK_S_MAX, StormOptions
from loadtests.storm.run import run_storm, storm_settings
from loadtests.storm.summary import storm_figures, summary_of

__all__ = ["main"]

PROCESSES = max(2, min(8, os.cpu_count() or 2))
VIEWERS_MAX = 1_000_000
RATE_MAX = 10_000.0
SECONDS_MAX = 86_400.0
#: Longest text of an announcement.
TEXT_MAX = 1_000
#: Most units of one thing: the shares of an envelope, and as many of the others.
UNITS_MAX = 10_000
KILLS_MAX = 20
PER_USER_MAX = 100
UNPAID_MAX = 90
#: Files that a process needs beside its viewers' sockets.
FILES_SPARE = 512


def main(arguments: Sequence[str]) -> int:
    """Run one scenario; returns the exit code."""
    options = _parser().parse_args(arguments)
    return run_main("swarm", options.run(options))


async def _steady(options: argparse.Namespace) -> int:
    if not 0 <= options.stalled < options.viewers:
        raise UsageError("--stalled: somebody has to read, so fewer than --viewers")
    if options.viewers > VIEWERS_MAX or options.rate > RATE_MAX or options.seconds > SECONDS_MAX:
        raise UsageError(f"at most {VIEWERS_MAX} viewers, {RATE_MAX:g} events a second, {SECONDS_MAX:g} seconds")
    if not 0 <= options.characters <= TEXT_MAX:
        raise UsageError(f"--characters: an announcement holds at most {TEXT_MAX}")
    # A server of our own holds them all in one process and has its limits from us; each process of the crowd holds its part.
    raise_file_limit((-(-options.viewers // options.processes) if options.url else options.viewers) + FILES_SPARE)
    asked = SteadyOptions(
        viewers=options.viewers,
        rate=options.rate,
        seconds=options.seconds,
        stalled=options.stalled,
        processes=min(options.processes, options.viewers),
        deflate=options.deflate,
        characters=options.characters,
        room=options.room,
    )
    async with server_of(options, server_settings(options.viewers)) as target:
        with Recorder() as recorder:
            report = await run_steady(target, asked, recorder)
    write_report(report, options, recorder, steady_figures(report))
    return 0 if report["ok"] else EXIT_FAILED


async def _crowd(options: argparse.Namespace) -> int:
    scenario = CROWD_SCENARIOS[options.scenario]
    if options.viewers > VIEWERS_MAX or options.rate > RATE_MAX:
        raise UsageError(f"at most {VIEWERS_MAX} viewers and {RATE_MAX:g} events a second")
    options.processes = min(options.processes, options.viewers)
    raise_file_limit((-(-options.viewers // options.processes) if options.url else options.viewers) + FILES_SPARE)
    async with server_of(options, scenario.settings(options)) as target:
        with Recorder() as recorder:
            report = await scenario.run(target, options, recorder)
    write_report(report, options, recorder, scenario.figures(report))
    for bound in report["bounds"]:
        print(f"  {'kept  ' if bound['ok'] else 'BROKEN'} {Bound(**{name: bound[name] for name in Bound.__struct_fields__})}", file=sys.stderr)
    return 0 if report["ok"] else EXIT_FAILED


async def _storm(options: argparse.Namespace) -> int:
    if options.viewers > VIEWERS_MAX or options.units > UNITS_MAX:
        raise UsageError(f"at most {VIEWERS_MAX} viewers and {UNITS_MAX} units")
    if not 0 <= options.kill <= KILLS_MAX:
        raise UsageError(f"--kill: 0 to {KILLS_MAX} times")
    if options.kill and options.url:
        raise UsageError("--kill: only a server that is started for the test is killed; leave out --url")
    if options.kill >= options.units:
        raise UsageError("--kill: fewer times than there are --units, so that each comes in the middle")
    if options.per_user > PER_USER_MAX:
        raise UsageError(f"--per-user: at most {PER_USER_MAX}")
    if options.scenario == "flash-sale":
        if options.viewers < options.units:
            raise UsageError("--viewers: as many as --units at least, or not all is sold")
        if options.unpaid > UNPAID_MAX:
            raise UsageError(f"--unpaid: at most {UNPAID_MAX}, or it takes forever until all is sold")
        if not 1_000 <= options.hold_ms <= 600_000:
            raise UsageError("--hold-ms: 1000 to 600000")
    # Half of a full house may have two connections each; see `_steady` for whose limit it is.
    connections = int(options.viewers * (1 + options.unruly / 100)) + FILES_SPARE
    raise_file_limit(connections // options.processes + FILES_SPARE if options.url else connections + FILES_SPARE)
    asked = StormOptions(
        scenario=options.scenario,
        viewers=options.viewers,
        units=options.units,
        per_user=options.per_user,
        within_s=options.within,
        unruly=options.unruly / 100,
        unpaid=options.unpaid / 100,
        hold_ms=options.hold_ms,
        kills=options.kill,
        processes=min(options.processes, options.viewers),
        timeout_s=options.timeout,
        room=options.room,
        run=secrets.token_hex(4),
        back_s_max=options.back_within,
    )
    async with server_of(options, storm_settings(options.viewers)) as target:
        with Recorder() as recorder:
            report = await run_storm(target, asked, recorder)
    write_report(report, options, recorder, storm_figures(report))
    print(summary_of(report), file=sys.stderr)
    return 0 if report["ok"] else EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtests swarm", description="A swarm of viewers against one room, with an audit at the end.")
    scenarios = parser.add_subparsers(required=True, metavar="SCENARIO")

    steady = scenarios.add_parser("steady", help="announcements at a steady rate; every viewer must get each once and in order")
    steady.add_argument("--viewers", type=positive_int, required=True, metavar="N", help="viewers in the room")
    steady.add_argument("--rate", type=positive_float, required=True, metavar="EVENTS_PER_S", help="announcements a second")
    steady.add_argument("--seconds", type=positive_float, required=True, metavar="S", help="how long")
    steady.add_argument("--stalled", type=int, default=0, metavar="K", help="number of viewers that never read (default: 0)")
    steady.add_argument("--characters", type=int, default=0, metavar="C", help="length of an announcement, up to 1000 (default: about 30)")
    steady.add_argument("--deflate", action="store_true", help="viewers offer permessage-deflate")
    _add_common(steady)
    steady.set_defaults(run=_steady)

    for name, scenario in CROWD_SCENARIOS.items():
        _add_crowd(scenarios, name, scenario)

    envelope = _add_storm(scenarios, "red-envelope", "everybody grabs one red envelope of U shares")
    envelope.set_defaults(per_user=1, unpaid=0, hold_ms=0)
    coupon = _add_storm(scenarios, "coupon", "everybody claims one coupon with U codes")
    coupon.add_argument("--per-user", type=positive_int, default=1, metavar="K", help="codes that one user may have (default: 1)")
    coupon.set_defaults(unpaid=0, hold_ms=0)
    sale = _add_storm(scenarios, "flash-sale", "everybody buys from U units, until all are sold")
    sale.add_argument("--per-user", type=positive_int, default=2, metavar="K", help="units that one user may have (default: 2)")
    sale.add_argument("--unpaid", type=percent, default=30, metavar="PERCENT", help="holds that are never paid (default: 30)")
    sale.add_argument("--hold-ms", type=int, default=2_000, metavar="MS", help="how long a hold lasts (default: 2000)")
    return parser


def _add_crowd(scenarios: Any, name: str, scenario: CrowdScenario) -> None:
    parser: argparse.ArgumentParser = scenarios.add_parser(name, help=f"{scenario.words}; named bounds say whether it passed")
    viewers, rate = scenario.defaults["viewers"], scenario.defaults["rate"]
    parser.add_argument("--viewers", type=positive_int, default=viewers, metavar="N", help=f"viewers (default: {viewers})")
    parser.add_argument("--rate", type=positive_float, default=rate, metavar="PER_S", help=f"audited events of a room a second (default: {rate:g})")
    scenario.add_options(parser)
    _add_common(parser)
    parser.set_defaults(run=_crowd, scenario=name)


def _add_common(parser: argparse.ArgumentParser) -> None:
    """The options of every scenario."""
    add_report_options(parser)
    parser.add_argument("--processes", type=positive_int, default=PROCESSES, metavar="P", help="processes of the crowd")
    parser.add_argument("--room", type=room_id, default=ROOM, help=f"room id (default: {ROOM})")
    add_server_options(parser)


def _add_storm(scenarios: Any, name: str, words: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = scenarios.add_parser(name, help=f"{words}; who got what is audited to the last fen")
    parser.add_argument("--viewers", type=positive_int, required=True, metavar="N", help="users in the room")
    parser.add_argument("--units", type=positive_int, required=True, metavar="U", help="how much there is")
    parser.add_argument("--kill", type=int, default=0, metavar="N", help="SIGKILL the server in the middle, so many times (default: 0)")
    parser.add_argument("--within", type=positive_float, default=1.0, metavar="S", help="everybody taps within so long of the opening (default: 1)")
    parser.add_argument("--unruly", type=percent, default=10, metavar="PERCENT", help="users who have each habit of real ones (default: 10)")
    parser.add_argument(
        "--back-within",
        type=positive_float,
        default=BACK_S_MAX,
        metavar="S",
        help=f"longest pause before an attempt to come back (default: {BACK_S_MAX:g})",
    )
    parser.add_argument("--timeout", type=positive_float, default=180.0, metavar="S", help="give up then (default: 180)")
    _add_common(parser)
    parser.set_defaults(run=_storm, scenario=name)
    return parser
