"""A swarm of viewers against one room: `python -m loadtests.swarm SCENARIO ...`.

Each scenario is a subcommand; it prints its report as JSON, and its exit code says whether the audit was clean:
0 = ok, 1 = not ok or the run failed, 2 = it was asked for something that cannot be, 130 = interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from loadtests.cli import (
    EXIT_FAILED,
    UsageError,
    add_server_options,
    positive_float,
    positive_int,
    report_file,
    room_id,
    run_main,
    server_of,
    write_report,
)
from loadtests.progress import Bar
from loadtests.steady import ROOM, SteadyOptions, run_steady, server_settings
from loadtests.target import raise_file_limit

__all__ = ["main"]

VIEWERS_MAX = 1_000_000
RATE_MAX = 10_000.0
SECONDS_MAX = 86_400.0
#: Longest text of an announcement.
TEXT_MAX = 1_000
#: Files that a process needs beside its viewers' sockets.
FILES_SPARE = 512


def main(arguments: Sequence[str] | None = None) -> int:
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
        with Bar() as bar:
            report = await run_steady(target, asked, bar)
    write_report(report, options.json)
    return 0 if report["ok"] else EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtests.swarm", description="A swarm of viewers against one room, with an audit at the end.")
    scenarios = parser.add_subparsers(required=True, metavar="SCENARIO")

    steady = scenarios.add_parser("steady", help="announcements at a steady rate; every viewer must get each once and in order")
    steady.add_argument("--viewers", type=positive_int, required=True, metavar="N", help="viewers in the room")
    steady.add_argument("--rate", type=positive_float, required=True, metavar="EVENTS_PER_S", help="announcements a second")
    steady.add_argument("--seconds", type=positive_float, required=True, metavar="S", help="how long")
    steady.add_argument("--json", type=report_file, metavar="FILE", help="write the report there too")
    steady.add_argument("--stalled", type=int, default=0, metavar="K", help="of the viewers, so many never read (default: 0)")
    steady.add_argument("--processes", type=positive_int, default=max(2, min(8, os.cpu_count() or 2)), metavar="P", help="processes of the crowd")
    steady.add_argument("--characters", type=int, default=0, metavar="C", help="length of an announcement, up to 1000 (default: about 30)")
    steady.add_argument("--deflate", action="store_true", help="viewers offer permessage-deflate")
    steady.add_argument("--room", type=room_id, default=ROOM, help=f"room id (default: {ROOM})")
    add_server_options(steady)
    steady.set_defaults(run=_steady)
    return parser


if __name__ == "__main__":
    sys.exit(main())
