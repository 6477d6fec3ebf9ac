"""How many viewers a gateway lets in a second over Kafka: into one room, and into as many cold rooms: `python -m loadtests joins`.

A cold room is one that the gateway does not hold: it has to ask the engine for the room's state. The gateway is started again before
each run, so that all rooms are cold. Runs into one room and into cold rooms take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from loadtests.lib.cli import UsageError, positive_int, run_main
from loadtests.lib.cluster import Cluster, brokers_of, cluster_of
from loadtests.lib.lean_client import Address
from loadtests.lib.recorder import Recorder
from loadtests.lib.report import add_report_options, write_report
from loadtests.lib.report_page import Figure, text_of
from loadtests.lib.room_connection import RoomConnection, join_with_retries
from loadtests.lib.target import raise_file_limit

__all__ = ["main"]

ROOMS_MAX: Final = 5_000
REPETITIONS_MAX: Final = 100
PROCESSES: Final = ("engine-1", "gateway-1", "console")
#: Viewers whose joins are under way at once: all of a run, as after a restart.
AT_ONCE: Final = 2_000
#: Commands in flight while rooms are opened.
OPENED_AT_ONCE: Final = 16
#: Open files beside those of viewers.
FILES: Final = 1_000
JOINED_S: Final = 120.0
SETTINGS: Final = (
    *("--gateway-connections-per-address-max", str(ROOMS_MAX), "--gateway-handshakes-per-address-max", str(ROOMS_MAX)),
    *("--gateway-handshakes-waiting-max", str(ROOMS_MAX)),
    *("--console-requests-per-s", "10000", "--console-requests-burst", "10000"),
)


class _Viewer(RoomConnection):
    """Joined with the first keyframe."""

    def on_text(self, raw: bytes, text: bytes) -> None:
        """Only the first keyframe matters."""
        if text.startswith(b'{"type":"keyframe"') and not self.joined.done():
            self.joined.set_result(None)


async def _joins(options: argparse.Namespace) -> int:
    if options.rooms > ROOMS_MAX or options.repetitions > REPETITIONS_MAX:
        raise UsageError(f"at most {ROOMS_MAX} rooms and {REPETITIONS_MAX} repetitions")
    raise_file_limit(options.rooms + FILES)
    rooms = [f"joins-{number}" for number in range(options.rooms)]
    seconds: dict[str, list[float]] = {"one_room": [], "cold_rooms": []}
    async with brokers_of(options.kafka) as (kafka, _), cluster_of(kafka, SETTINGS, PROCESSES) as cluster:
        with Recorder() as recorder:
            for role in ("engine", "gateway"):
                recorder.watch(role, lambda role=role: cluster.pids_of(role))  # type: ignore[misc]
            recorder.stage("opening", len(rooms))
            for first in range(0, len(rooms), OPENED_AT_ONCE):
                await asyncio.gather(*(cluster.target.open_room(room, "Load test") for room in rooms[first : first + OPENED_AT_ONCE]))
                recorder.update(first)
            recorder.stage("joining", 2 * options.repetitions)
            for _ in range(options.repetitions):
                for kind, wanted in (("one_room", rooms[:1] * len(rooms)), ("cold_rooms", rooms)):
                    seconds[kind].append(await _timed(cluster, wanted))
                    recorder.update(sum(map(len, seconds.values())))
    report = _report(seconds, options)
    write_report(report, options, recorder, _figures(report))
    print(
        f"joins: {report['one_room_per_s']:.0f} a second into one room, {report['cold_rooms_per_s']:.0f} into {len(rooms)} cold rooms "
        f"({report['ratio']:.2f} times the time, median of pairs)",
        file=sys.stderr,
    )
    return 0


async def _timed(cluster: Cluster, rooms: Sequence[str]) -> float:
    """Seconds until a viewer of each room has its keyframe, in a gateway that has just started."""
    await cluster.stop("gateway-1")
    await cluster.start("gateway-1")
    target = cluster.target
    address = Address.of(target.gateway_url)
    paths = [(f"/v1/rooms/{room}", target.token(f"viewer-{number}", room)) for number, room in enumerate(rooms)]
    slots = asyncio.Semaphore(AT_ONCE)
    viewers: list[_Viewer] = []

    async def join(path: str, token: str) -> None:
        async with slots:
            viewers.append(await join_with_retries(lambda: _Viewer(address, path, token), address))

    began_s = time.monotonic()
    async with _closed(viewers), asyncio.timeout(JOINED_S):
        await asyncio.gather(*(join(*one) for one in paths))
        return time.monotonic() - began_s
    raise AssertionError


@asynccontextmanager
async def _closed(viewers: list[_Viewer]) -> AsyncIterator[None]:
    """Close them on the way out."""
    try:
        yield
    finally:
        for viewer in viewers:
            viewer.close()


def _figures(report: dict[str, Any]) -> list[Figure]:
    return [
        Figure("Joins a second, one room", text_of(round(report["one_room_per_s"]))),
        Figure("Joins a second, cold rooms", text_of(round(report["cold_rooms_per_s"])), f"{text_of(report['parameters']['rooms'])} rooms"),
        Figure("Time of cold rooms", f"{text_of(report['ratio'])} times", "that of one room, median of pairs"),
    ]


def _report(seconds: dict[str, list[float]], options: argparse.Namespace) -> dict[str, Any]:
    pairs = zip(seconds["cold_rooms"], seconds["one_room"], strict=True)
    return {
        **{f"{kind}_per_s": options.rooms / statistics.median(times) for kind, times in seconds.items()},
        "ratio": statistics.median(cold / one for cold, one in pairs),
        "seconds": seconds,
        "parameters": {"rooms": options.rooms, "repetitions": options.repetitions},
    }


def main(arguments: Sequence[str]) -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtests joins", description="How many viewers a gateway lets in a second over Kafka.")
    parser.add_argument("--rooms", type=positive_int, default=2_000, metavar="N", help="cold rooms, and viewers of each run (default: 2000)")
    parser.add_argument("--repetitions", type=positive_int, default=3, metavar="R", help="runs of each kind, in turns (default: 3)")
    parser.add_argument("--kafka", default="", metavar="HOST:PORT", help="brokers that run already (otherwise one is started)")
    add_report_options(parser)
    return run_main("joins", _joins(parser.parse_args(arguments)))
