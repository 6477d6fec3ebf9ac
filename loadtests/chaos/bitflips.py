"""Damages copies of an embedded journal and checks that the damage is found: `python -m loadtests bitflips --flips 100`.

A real server makes a journal with rooms and money, once stopped and once killed. Each trial damages one copy, starts a server's parts on it,
audits it, and compares the events of every room with the original, byte for byte.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import aiohttp
from msgspec import Struct

from liveroom.accounting.audit import audit
from liveroom.app import App
from liveroom.config.schema import Config, ConsoleConfig, GatewayConfig, JournalConfig, LiveroomConfig
from liveroom.journal.sqlite.file import FILE_NAME
from liveroom.journal.sqlite.mark import MARK_FILE
from liveroom.journal.tail import tail
from liveroom.messages.errors import LiveroomError
from liveroom.messages.fields import Role
from loadtests.lib.cli import positive_int, run_main
from loadtests.lib.recorder import Recorder
from loadtests.lib.report import add_report_options, write_report
from loadtests.lib.report_page import Figure, text_of
from loadtests.lib.target import OwnServer, Target, TargetError

__all__ = ["main"]

PARTITIONS: Final = 2
ROOMS: Final = 4
LINES: Final = 25
#: Records between snapshots, so that some snapshots lie below the end.
SNAPSHOT_RECORDS: Final = 40
#: A start that neither serves nor ends within this time is half alive.
START_S: Final = 30.0
WAL: Final = FILE_NAME + "-wal"
SHM: Final = FILE_NAME + "-shm"
#: Outcomes that are right: found with words, or nothing is different.
RIGHT: Final = ("found_at_start", "found_by_audit", "healed")

Damage: TypeAlias = Callable[[Path, random.Random], str]


class Trial(Struct):
    """A damaged copy: the damage and its outcome."""

    target: str
    damage: str
    outcome: str
    words: str = ""


# The journal


async def _evening(target: Target, room: str) -> None:
    """Chat, an envelope, a coupon, a sale with a paid hold and one that is open for long."""
    headers = {"Content-Type": "application/json"}

    async with aiohttp.ClientSession(headers=headers) as session:

        async def say(user: str, role: Role, command: str, **fields: Any) -> dict[str, Any]:
            authorization = {"Authorization": f"Bearer {target.token(user, room, role)}"}
            url = f"{target.console_url}/v1/rooms/{room}/commands/{command}"
            async with session.post(url, json=fields, headers=authorization) as answer:
                told: dict[str, Any] = await answer.json()
                if answer.status != 200:
                    raise TargetError(f"{command}: {told}")
                result: dict[str, Any] = told.get("result", {})
                return result

        await say("anna", Role.anchor, "open_room", title=f"Evening of {room}")
        envelope = (await say("anna", Role.anchor, "drop_red_envelope", total_fen=5_000, shares=5, opens_in_ms=0))["envelope"]
        for user in ("vera", "wang", "yi"):
            await say(user, Role.viewer, "grab_red_envelope", envelope=envelope)
        terms = {"percent_off": 10}
        coupon = (await say("anna", Role.anchor, "issue_coupon", title="Ten off", terms=terms, stock=3))["coupon"]
        code = (await say("vera", Role.viewer, "claim_coupon", coupon=coupon))["code"]
        product = {"id": "shirt", "title": "Shirt", "price_fen": 9_900}
        await say("anna", Role.anchor, "add_product", product=product)
        sale = (await say("anna", Role.anchor, "announce_flash_sale", product="shirt", price_fen=9_900, stock=9, per_user_max=2, opens_in_ms=0))[
            "sale"
        ]
        hold = (await say("vera", Role.viewer, "reserve_stock", sale=sale, quantity=2, coupon_code=code))["hold"]
        await say("platform", Role.platform, "confirm_hold", hold=hold, payment=f"payment-{room}")
        for line in range(LINES):
            await say("anna", Role.anchor, "send_chat", text=f"line {line} of {room}: 你好 " + "x" * (line * 37 % 200))


async def _make(directory: Path) -> dict[str, Path]:
    """Directories with the journal: stopped, killed, and as it was when it was half as long."""
    server = OwnServer(directory, ("--journal-partitions", str(PARTITIONS), "--engine-snapshot-records-max", str(SNAPSHOT_RECORDS)))
    made = {name: directory / name for name in ("older", "killed", "stopped")}
    try:
        for part in ("older", "stopped"):
            target = await server.start()
            for room in range(ROOMS // 2):
                await _evening(target, f"{part}-{room}")
            if part == "stopped":
                await server.kill()
                shutil.copytree(server.data_dir, made["killed"])
                await server.start()
            await server.stop()
            shutil.copytree(server.data_dir, made[part])
    finally:
        await server.stop()
    return made


def _rooms() -> list[str]:
    return [f"{part}-{room}" for part in ("older", "stopped") for room in range(ROOMS // 2)]


def _config(data_dir: Path) -> Config:
    return Config(
        liveroom=LiveroomConfig(mode="dev", data_dir=str(data_dir)),
        journal=JournalConfig(partitions=PARTITIONS),
        gateway=GatewayConfig(port=0, drain_ms=0),
        console=ConsoleConfig(port=0),
    )


def _stories(data_dir: Path) -> dict[str, list[str]]:
    return {room: list(tail(_config(data_dir), room, from_seq=0, follow=False)) for room in _rooms()}


# Damages


def _flip(name: str) -> Damage:
    def flip(data_dir: Path, rng: random.Random) -> str:
        path = data_dir / name
        content = bytearray(path.read_bytes())
        at, bit = rng.randrange(len(content)), rng.randrange(8)
        content[at] ^= 1 << bit
        path.write_bytes(content)
        return f"bit {bit} of byte {at} of {name}"

    return flip


def _cut(name: str) -> Damage:
    def cut(data_dir: Path, rng: random.Random) -> str:
        size = (data_dir / name).stat().st_size
        left = rng.choice((0, rng.randrange(size)))
        os.truncate(data_dir / name, left)
        return f"{name} cut from {size} to {left}"

    return cut


def _delete(*names: str) -> Damage:
    def delete(data_dir: Path, _: random.Random) -> str:
        for name in names:
            (data_dir / name).unlink(missing_ok=True)
        return f"deleted {', '.join(names)}"

    return delete


def _put_older(older: Path) -> Damage:
    def put(data_dir: Path, _: random.Random) -> str:
        shutil.copy(older / FILE_NAME, data_dir / FILE_NAME)
        return "an older copy in the place of the database"

    return put


def _plan(made: dict[str, Path], flips: int) -> Iterator[tuple[str, Path, Damage]]:
    """Targets, the journal that each damages, and how. A mark is never lost together with what it is there for: nobody could tell."""
    stopped, killed = made["stopped"], made["killed"]
    for _ in range(flips):
        yield "flip: database", stopped, _flip(FILE_NAME)
        yield "flip: write-ahead log", killed, _flip(WAL)
        yield "flip: mark", stopped, _flip(MARK_FILE)
    for _ in range(max(1, flips // 5)):
        yield "cut: database", stopped, _cut(FILE_NAME)
        yield "cut: write-ahead log", killed, _cut(WAL)
        yield "cut: mark", stopped, _cut(MARK_FILE)
    for names in ((FILE_NAME,), (WAL,), (SHM,), (FILE_NAME, WAL), (WAL, SHM), (FILE_NAME, WAL, SHM), (MARK_FILE,)):
        yield "deleted", killed, _delete(*names)
    yield "older copy", stopped, _put_older(made["older"])
    yield "older copy beside a write-ahead log", killed, _put_older(made["older"])


# Trials


async def _outcome(data_dir: Path, stories: dict[str, list[str]]) -> tuple[str, str]:
    """The outcome of a start and an audit on a damaged journal, and the error's text."""
    app = App(_config(data_dir))
    try:
        async with asyncio.timeout(START_S):
            await app.start()
        await app.stop()
    except LiveroomError as error:
        return "found_at_start", str(error)
    except TimeoutError:
        return "half_alive", "the start neither served nor ended"
    except Exception as error:
        return "without_words", f"start: {type(error).__name__}: {error}"
    try:
        await asyncio.to_thread(audit, _config(data_dir))
    except LiveroomError as error:
        return "found_by_audit", str(error)
    except Exception as error:
        return "without_words", f"audit: {type(error).__name__}: {error}"
    try:
        found = await asyncio.to_thread(_stories, data_dir)
    except Exception as error:
        return "changed", f"the audit passed, but tail says: {error}"
    for room, lines in stories.items():  # later lines come from timers, such as an expired hold
        if found[room][: len(lines)] != lines:
            return "changed", f"the audit passed, but room {room} has other events"
    return "healed", ""


async def _run(options: argparse.Namespace) -> int:
    rng = random.Random(options.seed)
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory(prefix="liveroom-bitflips-") as directory, Recorder() as recorder:
        recorder.watch("this process, with a server inside", lambda: [os.getpid()])
        recorder.count("Trials", lambda: len(trials))
        recorder.stage("journal", 1)
        made = await _make(Path(directory))
        logging.disable(logging.CRITICAL)  # each trial is a start, and most of them fail on purpose
        stories = _stories(made["stopped"])
        plan = list(_plan(made, options.flips))
        recorder.stage("trials", len(plan))
        for target, source, damage in plan:
            data_dir = Path(directory) / "trial"
            shutil.copytree(source, data_dir)
            done = damage(data_dir, rng)
            trials.append(Trial(target, done, *await _outcome(data_dir, stories)))
            shutil.rmtree(data_dir)
            recorder.update(len(trials), f"trials, {sum(trial.outcome not in RIGHT for trial in trials)} wrong")
    report = _report(trials, options)
    write_report(report, options, recorder, _figures(trials))
    return 0 if report["ok"] else 1


def _report(trials: list[Trial], options: argparse.Namespace) -> dict[str, Any]:
    wrong = [trial for trial in trials if trial.outcome not in RIGHT]
    targets: dict[str, Counter[str]] = {}
    for trial in trials:
        targets.setdefault(trial.target, Counter())[trial.outcome] += 1
    return {
        "ok": not wrong,
        "trials": len(trials),
        "targets": targets,
        "wrong": [{"damage": trial.damage, "outcome": trial.outcome, "words": trial.words} for trial in wrong],
        "words": dict(Counter(_form(trial.words) for trial in trials if trial.words).most_common()),
        "parameters": {"flips": options.flips, "seed": options.seed},
    }


def _figures(trials: list[Trial]) -> list[Figure]:
    outcomes = Counter(trial.outcome for trial in trials)
    return [
        Figure("Trials", text_of(len(trials))),
        Figure("Found at the start", text_of(outcomes["found_at_start"])),
        Figure("Found by the audit", text_of(outcomes["found_by_audit"])),
        Figure("Healed", text_of(outcomes["healed"]), "the damage made no difference"),
        Figure("Wrong", text_of(sum(trial.outcome not in RIGHT for trial in trials)), "not found, or without an explanation"),
    ]


def _form(words: str) -> str:
    """Words without what differs from trial to trial: paths, ids and numbers."""
    return re.sub(r"[0-9a-f]{32}|\d+", "N", re.sub(r"/\S*/", "", words))


def main(arguments: Sequence[str]) -> int:
    """Run; gives the exit code: 0 when every damage was found or made no difference."""
    parser = argparse.ArgumentParser(prog="python -m loadtests bitflips", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--flips", type=positive_int, default=100, help="single bits flipped in each of: database, write-ahead log, mark")
    parser.add_argument("--seed", type=int, default=1, help="the same seed damages the same places of journals of the same size")
    add_report_options(parser)
    options = parser.parse_args(arguments)
    return run_main("bitflips", _run(options))
