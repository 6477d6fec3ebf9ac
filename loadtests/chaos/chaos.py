"""Chaos with money flowing: `python -m loadtests chaos --rounds N --json FILE`.

A real Kafka broker, engines, gateways and a console as processes of their own, and customers who chat, grab, reserve and
pay. In each round one disaster strikes; afterwards every answer, every stream, every account and the journal are audited.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import asdict

from liveroom.config.schema import Config, JournalConfig, KafkaConfig
from loadtests.chaos.disasters import DISASTERS
from loadtests.chaos.journal_history import JournalHistory, history_of
from loadtests.chaos.round import Round, RoundOptions
from loadtests.lib.broker import copies_of
from loadtests.lib.cli import EXIT_FAILED, UsageError, positive_float, positive_int, run_main
from loadtests.lib.cluster import Cluster, brokers_of, cluster_of
from loadtests.lib.latency import Latency
from loadtests.lib.recorder import Recorder
from loadtests.lib.report import add_report_options, write_report
from loadtests.lib.report_page import Figure, latency_figure, text_of
from loadtests.lib.target import LIVEROOM, TargetError
from loadtests.storm.run import storm_settings

__all__ = ["main"]

ROUNDS_MAX: Final = 10_000
VIEWERS_MAX: Final = 10_000
UNITS_MAX: Final = 10_000
PROCESSES: Final = ("engine-1", "engine-2", "gateway-1", "gateway-2", "console")
#: The target, from the kill of an engine to the first decision of another.
TAKEOVER_MS_MAX: Final = 5_000
#: A round in which a zombie's record had to land and did not, since the machine was too busy for it, is played again.
ATTEMPTS_MAX: Final = 3
#: Time for every partition to have an owner that lives, before a round begins.
OWNED_S: Final = 60.0
#: A step takes one batch, so that more of them are under way when the blow falls.
BUSY: Final = ("--engine-step-commands-max", "1")
#: Gateways count viewers so rarely that nothing but the customers themselves disturbs a quiet room.
QUIET: Final = ("--gateway-audience-repeat-ms", "300000", "--rooms-audience-expiry-ms", "600000", "--rooms-chat-budget-lines-per-s", "1000")


async def _chaos(options: argparse.Namespace) -> int:
    kinds = _kinds(options)
    if options.rounds > ROUNDS_MAX or options.viewers > VIEWERS_MAX or options.units > UNITS_MAX:
        raise UsageError(f"at most {ROUNDS_MAX} rounds, {VIEWERS_MAX} viewers, {UNITS_MAX} units")
    if options.viewers < options.units:
        raise UsageError("--viewers: as many as --units at least, or not all is sold")
    weakened = f"without-{options.without}" if options.without else ""
    program = ("-m", "loadtests.chaos.weakened", weakened) if weakened else LIVEROOM
    asked = RoundOptions(options.viewers, options.units, options.within, options.timeout, weakened)
    prefix = f"chaos-{uuid.uuid4().hex[:8]}"
    settings = [*storm_settings(options.viewers * 4), *BUSY, *QUIET, "--kafka-topic-prefix", prefix]
    if options.session_ms:
        settings += ["--kafka-session-ms", str(options.session_ms)]
    rows: list[dict[str, Any]] = []
    with Recorder() as recorder:
        async with (
            brokers_of(options.kafka, options.brokers) as (kafka, brokers),
            cluster_of(kafka, settings, PROCESSES, program) as cluster,
        ):
            kafka_config = KafkaConfig(bootstrap_servers=tuple(kafka.split(",")), topic_prefix=prefix, **asdict(await copies_of(kafka)))
            config = Config(journal=JournalConfig(kind="kafka"), kafka=kafka_config)
            async with history_of(config) as history:
                _watch(cluster, recorder)
                recorder.stage("rounds", options.rounds)
                for number, kind in enumerate(kinds, 1):
                    for attempt in range(ATTEMPTS_MAX):
                        await _until_owned(cluster, history)
                        print(f"round {number} of {options.rounds}: {DISASTERS[kind].words}", file=sys.stderr, flush=True)
                        seed = f"{options.seed}-{number}-{attempt}"
                        rows.append(await Round(f"{number}-{attempt}", kind, seed, cluster, brokers, history, asked, recorder).run())
                        recorder.update(number, f"rounds, {sum(not row['ok'] for row in rows)} wrong")
                        print(_line(rows[-1]), file=sys.stderr, flush=True)
                        if rows[-1]["landed"] is not False or not rows[-1]["ok"]:
                            break
                    if "cluster_broken" in rows[-1]["wrong"]:
                        break  # there is nothing left to strike at
    report = _report(rows, options)
    write_report(report, options, recorder, _page_figures(report))
    print(_summary(report), file=sys.stderr)
    return 0 if report["ok"] else EXIT_FAILED


def _watch(cluster: Cluster, recorder: Recorder) -> None:
    """Record the processes of the cluster, those of each role together."""
    for role in ("engine", "gateway", "console"):
        recorder.watch(f"{role}s", lambda role=role: cluster.pids_of(role))  # type: ignore[misc]


def _kinds(options: argparse.Namespace) -> list[str]:
    """The rounds' kinds: each as often as the others, shuffled by the seed."""
    own = 0 if options.kafka else options.brokers
    named = [name for name in options.kinds.split(",") if name] or [name for name, one in DISASTERS.items() if one.own_brokers <= own]
    for name in named:
        if name not in DISASTERS:
            raise UsageError(f"--kinds: {name} is none of {', '.join(DISASTERS)}")
        if (needed := DISASTERS[name].own_brokers) > own:
            raise UsageError(f"--kinds: {name} needs {needed} brokers of the test's own; leave out --kafka, or add --brokers {needed}")
    rng, kinds = random.Random(options.seed), list[str]()
    while len(kinds) < options.rounds:
        kinds += rng.sample(named, len(named))
    return kinds[: options.rounds]


async def _until_owned(cluster: Cluster, history: JournalHistory) -> None:
    def owned() -> bool:
        return all(history.owner(partition) in cluster.names for partition in range(history.partitions))

    if not await history.until(owned, OWNED_S):
        raise TargetError(f"after {OWNED_S:g} s some partitions have no owner that lives")


def _report(rows: list[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    takeover, skipped, wrong = Latency(), Counter[str](), Counter[str]()
    for row in rows:
        for took_ms in row["takeover_ms"]:
            takeover.add(took_ms * 1_000)
        skipped.update(row["skipped"])
        wrong.update({code: found["count"] for code, found in row["wrong"].items()})
    slowest_ms = takeover.summary()["max"]
    return {
        "ok": all(row["ok"] for row in rows),
        "wrong": dict(wrong),
        "takeover_ms": {"count": takeover.count, **takeover.summary()},
        "takeover_in_time": slowest_ms is None or slowest_ms <= TAKEOVER_MS_MAX,
        "skipped": dict(skipped),
        "landed": sum(bool(row["landed"]) for row in rows),
        "answers": sum(row["answers"] for row in rows),
        "kinds": dict(Counter(row["kind"] for row in rows)),
        "rounds": rows,
        "parameters": {name: getattr(options, name) for name in ("seed", "rounds", "viewers", "units", "within", "session_ms", "without", "brokers")},
    }


def _page_figures(report: dict[str, Any]) -> list[Figure]:
    return [
        Figure("Rounds", text_of(len(report["rounds"])), f"{text_of(len(report['kinds']))} kinds of disasters"),
        Figure("Audited answers", text_of(report["answers"])),
        latency_figure("Takeover", report["takeover_ms"]),
        Figure("Records of zombies", text_of(sum(report["skipped"].values())), "skipped by the acceptance rule"),
        Figure("Landed", text_of(report["landed"]), "rounds in which such a record had to land"),
    ]


def _line(row: dict[str, Any]) -> str:
    words = [f"  {'ok' if row['ok'] else 'WRONG: ' + ', '.join(row['wrong'])} in {row['took_s']} s: {row['victim']}"]
    if row["takeover_ms"]:
        words.append("taken over after " + ", ".join(f"{ms} ms" for ms in row["takeover_ms"]))
    if row["skipped"]:
        words.append("skipped " + _pairs(row["skipped"]))
    lines = ["; ".join(words)]
    lines += [f"    {code} ({found['count']}): {'; '.join(found['examples'][:2])}" for code, found in row["wrong"].items()]
    return "\n".join(lines)


def _summary(report: dict[str, Any]) -> str:
    verdict = "all is as it must be" if report["ok"] else f"WRONG: {_pairs(report['wrong'])}"
    takeover = report["takeover_ms"]
    lines = [
        f"  verdict    {verdict} in {len(report['rounds'])} rounds ({_pairs(report['kinds'])}), {report['answers']} answers",
        f"  takeover   {takeover['count']}: p50 {takeover['p50']} ms, p99 {takeover['p99']} ms, max {takeover['max']} ms (wanted: {TAKEOVER_MS_MAX})",
        f"  zombies    records that were skipped: {_pairs(report['skipped'])}; rounds in which one had to land and did: {report['landed']}",
        f"  again      --seed {report['parameters']['seed']}",
    ]
    return "\n".join(lines)


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items()) or "none"


def main(arguments: Sequence[str]) -> int:
    """Run; returns the exit code: 0 when every audit is clean, 1 not."""
    parser = argparse.ArgumentParser(prog="python -m loadtests chaos", description="Disasters while money flows, and an audit after each.")
    parser.add_argument("--rounds", type=positive_int, required=True, metavar="N", help="how many disasters")
    add_report_options(parser)
    parser.add_argument("--seed", default=secrets.token_hex(4), metavar="TEXT", help="seed for kinds, victims and moments (default: random)")
    parser.add_argument("--kinds", default="", metavar="KIND,...", help=f"only these: {', '.join(DISASTERS)} (default: all)")
    parser.add_argument("--viewers", type=positive_int, default=60, metavar="N", help="customers of each of the two rooms (default: 60)")
    parser.add_argument("--units", type=positive_int, default=40, metavar="N", help="shares of the envelope, and stock of the sale (default: 40)")
    parser.add_argument("--within", type=positive_float, default=4.0, metavar="S", help="seconds within which customers begin (default: 4)")
    parser.add_argument(
        "--timeout", type=positive_float, default=90.0, metavar="S", help="a round is wrong when it is not over by then (default: 90)"
    )
    parser.add_argument("--session-ms", type=positive_int, metavar="MS", help="kafka.session_ms (default: the server's own)")
    parser.add_argument(
        "--without", choices=("fencing_epoch", "after"), default="", help="run liveroom without this check of its rule: the audit has to fail"
    )
    parser.add_argument("--brokers", type=positive_int, default=1, metavar="N", help="how many brokers are started; some kinds need 3 (default: 1)")
    parser.add_argument("--kafka", default="", metavar="HOST:PORT", help="brokers that run already (otherwise some are started, and restarted)")
    return run_main("chaos", _chaos(parser.parse_args(arguments)))
