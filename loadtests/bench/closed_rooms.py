"""The cost of closed rooms for an almost idle server: bytes written, slowest answer, memory and time to start.

    python -m loadtests closed-rooms [--rooms N] [--seconds S] [--json FILE]

An engine alone fills a journal with rooms that were used and closed. A server is started on it a few times, until every snapshot
is newer than these rooms. Then one announcement a second is sent into one open room.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from liveroom.config.schema import Config, EngineConfig, JournalConfig
from liveroom.engine.engine import Engine
from liveroom.features.chat.messages import SendChat
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom
from liveroom.features.questions.messages import AskQuestion
from liveroom.features.showcase.messages import AddProduct, Product
from liveroom.journal.follower import follow, newest_start
from liveroom.journal.partition import partition_of
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.messages.fields import Role
from liveroom.protocol.commands import Command
from liveroom.protocol.frames import Accepted
from liveroom.protocol.records import Request, Sender
from liveroom.telemetry.metrics import Metrics
from loadtests.lib.cli import positive_float, positive_int, run_main
from loadtests.lib.meters import ProcessMeter, read_process
from loadtests.lib.progress import Bar
from loadtests.lib.recorder import Recorder
from loadtests.lib.report import add_report_options, write_report
from loadtests.lib.report_page import Figure, latency_figure, text_of
from loadtests.lib.target import OwnServer, Target, TargetError

__all__ = ["closed_rooms", "main"]

PROGRAM: Final = "closed-rooms"
ROOM: Final = "open-room"
ANCHOR: Final = Sender("anna", "Anna", Role.anchor)
#: The life of a room before it is closed.
LINES: Final = 40
PRODUCTS: Final = 15
QUESTIONS: Final = 5
PICTURE: Final = "https://shop.example/pictures/" + "p" * 300
#: Snapshots are taken often while rooms are filled, so that the first start does not read all that happened.
SNAPSHOT_RECORDS: Final = 50
#: Rooms that are filled at once.
ROOMS_AT_ONCE: Final = 50
START_S: Final = 60.0
#: Time for a snapshot of every partition.
SAVED_S: Final = 120.0
#: Pause between two announcements.
INTERVAL_S: Final = 1.0


async def closed_rooms(rooms: int, seconds: float, recorder: Recorder) -> dict[str, Any]:
    """Run it and report. Raises `TargetError`."""
    with tempfile.TemporaryDirectory(prefix="liveroom-closed-") as directory:
        server = OwnServer(Path(directory), ())
        server.data_dir.mkdir(parents=True)
        await _fill(server.data_dir, rooms, recorder)
        await _settle(Path(directory), recorder)
        starts: list[tuple[float, float]] = []
        try:
            target = await _started(server, starts)
            await target.open_room(ROOM, "Load test")
            report = await _hardly_anything(target, seconds, recorder)
            await server.stop()
            await _started(server, starts)
        finally:
            await server.stop()
        journal_bytes = sum(file.stat().st_size for file in server.data_dir.glob("journal.sqlite*"))
    times = {"start_s": [round(start_s, 2) for start_s, _ in starts], "start_cpu_s": [round(cpu_s, 2) for _, cpu_s in starts]}
    return {"closed_rooms": rooms, **times, "journal_bytes": journal_bytes, **report}


async def _settle(directory: Path, bar: Bar) -> None:
    """Let every partition save as many snapshots as are kept; each start makes one due."""
    config = JournalConfig()
    bar.stage("settling", config.snapshots_kept)
    for number in range(config.snapshots_kept):
        server = OwnServer(directory, ("--engine-snapshot-interval-ms", "1000"))
        try:
            target = await server.start()
            async with asyncio.timeout(SAVED_S):
                while await _snapshots(target) < config.partitions:  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
        finally:
            await server.stop()
        bar.update(number + 1)


async def _started(server: OwnServer, starts: list[tuple[float, float]]) -> Target:
    """A start of the whole process; how long it took, and its CPU time, are added."""
    began = time.monotonic()
    target = await server.start()
    starts.append((time.monotonic() - began, _cpu_s(target.pid)))
    return target


async def _hardly_anything(target: Target, seconds: float, recorder: Recorder) -> dict[str, Any]:
    """Send an announcement a second and measure its cost. Raises `TargetError`."""
    recorder.watch("server", lambda: [target.pid])
    recorder.stage("idle", seconds)
    latency, meter = recorder.latencies["announcement"], ProcessMeter(target.pid)
    written_before, snapshots_before = _written_bytes(target.pid), await _snapshots(target)
    began = time.monotonic()
    for number in itertools.count():
        due = began + number * INTERVAL_S
        if due >= began + seconds:
            break
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        sent = time.monotonic()
        await target.command(ROOM, "set_announcement", text=f"Number {number}")
        latency.add(int(sent * 1e9), round((time.monotonic() - sent) * 1e6))
        meter.sample()
        recorder.update(sent - began)
    minutes = (time.monotonic() - began) / 60
    cpu_s = meter.cpu_s()
    return {
        "seconds": seconds,
        "snapshots": await _snapshots(target) - snapshots_before,
        "written_mb_a_minute": round((_written_bytes(target.pid) - written_before) / 1e6 / minutes, 2),
        "answers_ms": latency.total().summary(),
        "cpu_percent": round(100 * cpu_s / 60 / minutes, 1) if cpu_s is not None else None,
        "memory_mb": round(meter.rss_bytes_max / 1e6) if meter.rss_bytes_max else None,
    }


async def _snapshots(target: Target) -> int:
    return round(sum((await target.metric("liveroom_engine_snapshots_total")).values()))


def _cpu_s(pid: int | None) -> float:
    """CPU time of a process since it began. Raises `TargetError` where the system does not say."""
    if (reading := read_process(pid)) is None:
        raise TargetError("the server's CPU time cannot be measured here")
    return reading.cpu_s


def _written_bytes(pid: int | None) -> int:
    """Bytes that the process gave to the kernel to write. Raises `TargetError` where the system does not count them."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise TargetError(f"the server's writes cannot be measured here: {error}") from None
    return int(dict(line.split(": ") for line in lines)["wchar"])


async def _fill(data_dir: Path, rooms: int, bar: Bar) -> None:
    """Fill a journal with rooms that were used and closed."""
    bar.stage("filling", rooms)
    config, metrics = Config(engine=EngineConfig(snapshot_records_max=SNAPSHOT_RECORDS)), Metrics()
    journal = await SqliteJournal.open(data_dir, config.journal, metrics)
    engine = Engine(journal, config, name="engine", metrics=metrics)
    try:
        await engine.start()
        async with asyncio.timeout(START_S):
            while not engine.ready:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        async with _answers(journal) as answered:
            for first in range(0, rooms, ROOMS_AT_ONCE):
                some = range(first, min(rooms, first + ROOMS_AT_ONCE))
                waiting = [await _send(journal, answered, f"room-{number}") for number in some]
                await asyncio.gather(*waiting)
                bar.update(some.stop)
    finally:
        await engine.stop()
        await journal.close()


async def _send(journal: SqliteJournal, answered: dict[int, asyncio.Future[None]], room: str) -> asyncio.Future[None]:
    """All that happens in a room; done when its last command is answered."""
    ticket = len(answered) + 1
    last = answered[ticket] = asyncio.get_running_loop().create_future()
    commands = list(_commands())
    requests = [
        Request(f"c{number}", room, sender, command, "filler", ticket if number == len(commands) - 1 else 0)
        for number, (sender, command) in enumerate(commands)
    ]
    await journal.send_commands(partition_of(room, journal.partitions), requests)
    return last


def _commands() -> Iterator[tuple[Sender, Command]]:
    yield ANCHOR, OpenRoom("An evening with lamps")
    for number in range(PRODUCTS):
        yield ANCHOR, AddProduct(Product(f"p{number}", f"Lamp number {number}", 9_900, PICTURE, PICTURE))
    for number in range(LINES):
        yield Sender(f"viewer-{number}", f"Viewer {number}"), SendChat(f"Line {number} of many that were said here")
    for number in range(QUESTIONS):
        yield Sender(f"asker-{number}", f"Asker {number}"), AskQuestion(f"Question {number}: does it come in blue, too?")
    yield ANCHOR, CloseRoom("The end")


@asynccontextmanager
async def _answers(journal: SqliteJournal) -> AsyncIterator[dict[int, asyncio.Future[None]]]:
    """Futures by ticket, done when the command with that ticket is accepted."""
    answered: dict[int, asyncio.Future[None]] = {}

    async def read(partition: int) -> None:
        async with aclosing(follow(journal, partition, await newest_start(journal, partition), lambda verdict: None)) as items:
            async for item in items:
                for answer in item.record.replies:
                    if answer.connection and isinstance(answer.reply, Accepted):
                        answered[answer.connection].set_result(None)

    reading = [asyncio.create_task(read(partition)) for partition in range(journal.partitions)]
    try:
        yield answered
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


def _figures(report: dict[str, Any]) -> list[Figure]:
    return [
        Figure("Closed rooms", text_of(report["closed_rooms"]), f"{report['journal_bytes'] / 1e6:,.0f} MB of journal"),
        Figure("Written a minute", f"{text_of(report['written_mb_a_minute'])} MB"),
        Figure("Part of a core", f"{text_of(report['cpu_percent'])} %"),
        Figure("Memory", f"{text_of(report['memory_mb'])} MB"),
        latency_figure("Answers", report["answers_ms"]),
        Figure("Start", f"{text_of(report['start_s'])} s", f"CPU time {text_of(report['start_cpu_s'])} s"),
    ]


async def _run(options: argparse.Namespace) -> int:
    with Recorder() as recorder:
        report = await closed_rooms(options.rooms, options.seconds, recorder)
    write_report(report, options, recorder, _figures(report))
    return 0


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog=f"python -m loadtests {PROGRAM}", description="The cost of closed rooms for an almost idle server.")
    parser.add_argument("--rooms", type=positive_int, default=2_500, help="closed rooms (default 2500)")
    parser.add_argument("--seconds", type=positive_float, default=90.0, help="how long it is measured (default 90)")
    add_report_options(parser)
    return run_main(PROGRAM, _run(parser.parse_args(arguments)))
