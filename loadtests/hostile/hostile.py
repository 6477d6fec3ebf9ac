"""Honest users beside hostile ones on one real server, in phases that take turns: `python -m loadtests hostile --minutes 60`.

The honest ones must notice nothing. Exit codes: 0 = every promise was kept, 1 = one was broken or the run failed, 2 = it was asked for
something that cannot be, 130 = interrupted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtests.hostile.attacks.table import ATTACKS
from loadtests.hostile.report import hostile_figures, summary_of
from loadtests.hostile.run import HostileOptions, run_hostile, settings_of
from loadtests.lib.certificate import make_certificate
from loadtests.lib.cli import EXIT_FAILED, UsageError, positive_float, positive_int, run_main
from loadtests.lib.recorder import Recorder
from loadtests.lib.report import add_report_options, write_report
from loadtests.lib.target import own_server, raise_file_limit

__all__ = ["main"]

MINUTES_MAX: Final = 24 * 60.0
VIEWERS_MAX: Final = 500
PHASE_S_MIN: Final = 4.0
#: Open files that each process of the attackers needs.
FILES: Final = 2_000


def main(arguments: Sequence[str]) -> int:
    """Run it; returns the exit code."""
    return run_main("hostile", _hostile(_parser().parse_args(arguments)))


async def _hostile(options: argparse.Namespace) -> int:
    if options.minutes > MINUTES_MAX or options.viewers > VIEWERS_MAX:
        raise UsageError(f"at most {MINUTES_MAX:.0f} minutes and {VIEWERS_MAX} honest viewers")
    if options.phase < PHASE_S_MIN:
        raise UsageError(f"--phase: at least {PHASE_S_MIN:.0f} s")
    if unknown := set(options.attacks) - set(ATTACKS):
        raise UsageError(f"--attacks: there is no {', '.join(sorted(unknown))}; there are {', '.join(ATTACKS)}")
    pairs = int(options.minutes * 60 / options.phase - 1) // 2
    if pairs < 1:
        raise UsageError("--minutes: too few for a phase to warm up, a quiet and a hostile one; see --phase")
    raise_file_limit(FILES)
    asked = HostileOptions(
        viewers=options.viewers,
        pairs=pairs,
        phase_s=options.phase,
        ratio_max=options.ratio,
        rss_mib_max=options.rss,
        attacks=options.attacks,
        plain=options.plain,
        limits=not options.without_limits,
        realtime=options.realtime,
        fail_fast=options.fail_fast,
    )
    with tempfile.TemporaryDirectory(prefix="liveroom-load-hostile-") as name:
        directory = Path(name)
        clock = directory / "clock"
        clock.write_text("0", encoding="ascii")
        certificate, key = make_certificate(directory)
        tls = () if asked.plain else ("--gateway-tls-cert-file", str(certificate), "--gateway-tls-key-file", str(key))
        async with own_server([*settings_of(asked), *tls], ("-m", "loadtests.hostile.stepped_clock", str(clock))) as target:
            with Recorder() as recorder:
                report = await run_hostile(target, asked, clock, {"SSL_CERT_FILE": str(certificate)}, recorder)
    write_report(report, options, recorder, hostile_figures(report))
    print(summary_of(report), file=sys.stderr)
    return 0 if report["ok"] else EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests hostile", description="Honest users beside hostile ones; the honest ones must notice nothing."
    )
    parser.add_argument("--minutes", type=positive_float, default=5.0, metavar="M", help="how long (default: 5)")
    parser.add_argument("--phase", type=positive_float, default=20.0, metavar="S", help="length of a phase, quiet or hostile (default: 20)")
    parser.add_argument("--viewers", type=positive_int, default=40, metavar="N", help="honest users in the room (default: 40)")
    parser.add_argument("--ratio", type=positive_float, default=1.2, metavar="R", help="p99 in hostile phases over that in quiet ones, at most (1.2)")
    parser.add_argument("--rss", type=positive_float, default=600.0, metavar="MIB", help="memory that the server may take at most (default: 600)")
    parser.add_argument("--attacks", type=lambda text: text.split(","), default=list(ATTACKS), metavar="A,B", help="only these (default: all)")
    parser.add_argument("--plain", action="store_true", help="a gateway without TLS")
    parser.add_argument("--without-limits", action="store_true", help="a server whose limits are off: the run has to fail")
    parser.add_argument(
        "--realtime", action="store_true", help="server and honest users wait for no other process of this machine; everything else waits for them"
    )
    parser.add_argument("--fail-fast", action="store_true", help="end at the first problem that an honest user notices")
    add_report_options(parser)
    return parser
