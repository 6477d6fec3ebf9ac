"""A server that is killed again and again while people buy, grab and talk: `python -m loadtests kills --kills 340`.

The clients write each acknowledged outcome to a file at once. After each kill they ask for outcomes again, and at the end for all of them.
Each outcome has to be there, unchanged and once.

Exit codes: 0 = nothing was lost or doubled, 1 = something was, or the run failed, 2 = invalid options, 130 = interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from loadtests.chaos.reply_log import judge_log
from loadtests.honest.messages import Pace
from loadtests.honest.users import ROOM, AuditInput, HonestUsers, audit_honest, honest_users_of
from loadtests.lib.cli import EXIT_FAILED, UsageError, positive_int, run_main
from loadtests.lib.findings import Findings
from loadtests.lib.journal import JournalCheck, read_journal
from loadtests.lib.phases import Phases
from loadtests.lib.priority import raise_priority
from loadtests.lib.recorder import Recorder
from loadtests.lib.report import add_report_options, write_report
from loadtests.lib.report_page import Figure, text_of
from loadtests.lib.target import OwnServer, Target, TargetError, ledger_of, own_server
from loadtests.storm.reply_audit import repeated_after_kill

__all__ = ["main"]

KILLS_MAX: Final = 10_000
VIEWERS_MAX: Final = 200
#: Longest life of a server after it is ready.
LIFE_S: Final = 1.5
#: One kill in this many comes while the server starts.
STARTS: Final = 4
#: Usual time of a start; a faster server is killed soon after it.
START_S: Final = 1.2
POLL_S: Final = 0.02
HOLD_MS: Final = 3_000
UNPAID: Final = 0.1
PACE: Final = Pace(chat_s=1.5, buy_s=0.6, envelope_s=4.0, buyers=2)
DEDUPE_MS: Final = 86_400_000
#: Snapshots are taken all the time, so that kills fall into them; no outcome is forgotten during the run, and nobody has had enough.
SETTINGS: Final = {
    "engine-snapshot-interval-ms": 1_000,
    "engine-snapshot-records-max": 10,
    "engine-dedupe-window-ms": DEDUPE_MS,
    "engine-dedupe-count-max": 10_000_000,
    "engine-dedupe-money-per-user-max": 10_000_000,
    "rooms-unpaid-holds-per-user-max": 1_000,
    "gateway-commands-per-s": 1_000,
    "gateway-commands-burst": 1_000,
    "console-requests-per-s": 10_000,
    "console-requests-burst": 10_000,
}


class Kills(Struct):
    """The run's result: kills by moment, kills that left an unfinished snapshot, and the longest start."""

    moments: Counter[str] = Counter()
    in_snapshot: int = 0
    start_s_max: float = 0.0


def main(arguments: Sequence[str]) -> int:
    """Run it; returns the exit code."""
    return run_main("kills", _kills(_parser().parse_args(arguments)))


async def _kills(options: argparse.Namespace) -> int:
    if options.kills > KILLS_MAX or options.viewers > VIEWERS_MAX:
        raise UsageError(f"at most {KILLS_MAX} kills and {VIEWERS_MAX} viewers")
    settings = [word for name, value in SETTINGS.items() for word in (f"--{name}", str(value))]
    with tempfile.TemporaryDirectory(prefix="liveroom-load-kills-") as directory, Recorder() as recorder:
        log = Path(directory) / "acknowledged"
        log.touch()
        async with own_server(settings) as target:
            report = await _run(target, options, log, recorder)
    write_report(report, options, recorder, _page_figures(report))
    print(_summary(report), file=sys.stderr)
    return 0 if report["ok"] else EXIT_FAILED


async def _run(target: Target, options: argparse.Namespace, log: Path, recorder: Recorder) -> dict[str, Any]:
    assert target.own is not None
    own, findings, rng, began_s = target.own, Findings(), random.Random(options.seed), time.monotonic()
    users = honest_users_of(
        target,
        viewers=options.viewers,
        hold_ms=HOLD_MS,
        unpaid=UNPAID,
        pace=PACE,
        sources=[],
        kills=options.kills,
        log=str(log),
        prioritize=raise_priority,
    )
    async with users as honest:
        recorder.watch("server", lambda: [own.pid])
        recorder.count("Answers", lambda: honest.progress.answered)
        recorder.stage("joining", options.viewers)
        await honest.join()
        await honest.begin(Phases(time.monotonic_ns(), 10**18, 0))
        kills = await _kill_all(own, honest, options.kills, rng, recorder)
        recorder.stage("audit", 1)
        await honest.pause()
        acknowledged = _lines(log)
        await honest.repeat()
        report = await honest.finish()
    ledger, broken = await ledger_of(target, ROOM)
    await own.stop()
    journal = await read_journal(own.data_dir, ROOM, ("--engine-dedupe-window-ms", str(DEDUPE_MS)))
    told = AuditInput(report, honest.sale, options.kills, ledger, broken, journal, may_skip=True)
    granted = audit_honest(honest.options, told, findings)
    judged = judge_log(log, journal.events, findings)
    if not repeated_after_kill(report.transcript.asked):
        findings.add("kill_missing", "no user repeated an answered command after a kill")
    return {
        "ok": not findings,
        "wrong": findings.to_plain(),
        "kills": sum(kills.moments.values()),
        "moments": dict(kills.moments),
        "in_snapshot": kills.in_snapshot,
        "start_s_max": round(kills.start_s_max, 2),
        "acknowledged": {"replies": acknowledged, **judged},
        "granted": granted,
        "honest": report.done,
        "back": report.back,
        "journal": _figures(journal),
        "took_s": round(time.monotonic() - began_s, 1),
        "parameters": {"kills": options.kills, "viewers": options.viewers, "seed": options.seed},
    }


async def _kill_all(own: OwnServer, honest: HonestUsers, count: int, rng: random.Random, recorder: Recorder) -> Kills:
    """Kill the server `count` times; at the end it runs."""
    kills = Kills()
    recorder.count("Kills", lambda: kills.moments.total())
    recorder.stage("kills", count)
    ready = True
    for number in range(1, count + 1):
        if ready:
            await asyncio.sleep(rng.random() * LIFE_S)
        honest.check()
        await own.kill()
        kills.moments["serving" if ready else "starting"] += 1
        kills.in_snapshot += _has_unfinished_snapshot(own.data_dir)
        await honest.life(number)
        began_s = time.monotonic()
        await own.launch()
        raise_priority(own.pid)  # hundreds of starts take long enough
        if ready := number == count or rng.randrange(STARTS) > 0:
            await own.until_ready()
            kills.start_s_max = max(kills.start_s_max, time.monotonic() - began_s)
        else:
            await asyncio.sleep(rng.random() * START_S)
            if not own.running:
                raise TargetError(f"the server ended by itself: {own.last_words()}")
        progress = honest.progress
        recorder.update(number, f"kills, {progress.answered} answers, {progress.bought} bought, {progress.grabbed} grabbed")
    return kills


def _has_unfinished_snapshot(data_dir: Path) -> bool:
    """Whether the last kill fell between the first part of a snapshot and its end. No process has the file open now."""
    connection = sqlite3.connect(f"file:{data_dir / 'journal.sqlite'}?mode=ro", uri=True)
    try:
        return bool(connection.execute("SELECT 1 FROM parts WHERE id >= (SELECT coalesce(max(parts_end), 0) FROM snapshots) LIMIT 1").fetchone())
    except sqlite3.OperationalError:
        return False  # killed before the tables were there
    finally:
        connection.close()


def _lines(file: Path) -> int:
    with file.open("rb") as lines:
        return sum(1 for _ in lines)


def _figures(journal: JournalCheck) -> dict[str, Any]:
    return {"events": len(journal.events), "answers": journal.replies, "audit": journal.audit}


def _page_figures(report: dict[str, Any]) -> list[Figure]:
    acknowledged = report["acknowledged"]
    return [
        Figure("Kills", text_of(report["kills"]), f"{text_of(report['moments'])}; {text_of(report['in_snapshot'])} in a snapshot"),
        Figure("Acknowledged outcomes", text_of(acknowledged["accepted"]), f"{text_of(acknowledged['repeated'])} were answered again"),
        Figure("Lost or doubled", text_of(sum(report["wrong"].get(code, {"count": 0})["count"] for code in ("lost_outcome", "doubled_outcome")))),
        Figure("Longest start", f"{text_of(report['start_s_max'])} s"),
        Figure("Took", f"{text_of(report['took_s'])} s"),
    ]


def _summary(report: dict[str, Any]) -> str:
    words = "nothing was lost or doubled" if report["ok"] else f"WRONG: {report['wrong']}"
    return f"kills: {report['kills']} kills in {report['took_s']} s ({report['moments']}), {report['acknowledged']}: {words}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests kills", description="SIGKILL again and again; nothing acknowledged may be lost or doubled."
    )
    parser.add_argument("--kills", type=positive_int, required=True, metavar="N", help="how often the server is killed")
    parser.add_argument("--viewers", type=positive_int, default=12, metavar="N", help="users in the room (default: 12)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="draws the moments (default: 1)")
    add_report_options(parser)
    return parser
