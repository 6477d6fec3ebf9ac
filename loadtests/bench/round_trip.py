"""How long a viewer waits for the answer to a command through Kafka: `python -m loadtests round-trip`.

Viewers reserve from a flash sale, one command after the other, through a gateway and an engine that are processes of
their own. Beside it, in turns and on the same broker, a bare producer writes a record of the same size and a bare
consumer waits for it. A reply needs two such round trips by nature: the command's and the record's.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from msgspec import Struct

from liveroom.features.chat.messages import SendChat
from liveroom.features.flash_sale.messages import ReserveStock
from liveroom.protocol.codec import encode
from liveroom.protocol.commands import Command
from liveroom.protocol.frames import Accepted, Refused
from liveroom.protocol.inbound import ClientMessage
from loadtests.lib.broker import copies_of
from loadtests.lib.cli import EXIT_FAILED, UsageError, positive_int, run_main
from loadtests.lib.cluster import brokers_of, cluster_of
from loadtests.lib.latency import LatencySeries
from loadtests.lib.lean_client import Address
from loadtests.lib.recorder import Recorder
from loadtests.lib.report import add_report_options, write_report
from loadtests.lib.report_page import Figure, latency_figure, text_of
from loadtests.lib.room_connection import RoomConnection, join_with_retries
from loadtests.lib.target import Target, TargetError

__all__ = ["main"]

ROOM: Final = "round-trip"
COMMANDS_MAX: Final = 10_000
#: Viewers take turns, because one user may have a tenth of a sale at most.
VIEWERS: Final = 10
REPETITIONS_MAX: Final = 1_000
#: The target: at most this many times the p50 of a bare produce-to-consume round trip.
RATIO_MAX: Final = 3.0
#: Round trips of each kind before the measurement.
WARM_UP: Final = 50
#: Pause before each round trip, so that the previous one is complete.
PAUSE_S: Final = (0.01, 0.02)
#: About what a command and its record have on the wire.
BARE_BYTES: Final = 300
ANSWER_S: Final = 15.0
#: One person asks for all, so nothing but the broker may hold it up.
SETTINGS: Final = (
    *("--gateway-commands-per-s", "1000", "--gateway-commands-burst", "10000", "--gateway-commands-waiting-max", "1000"),
    *("--rooms-chat-interval-ms", "0"),
)
PROCESSES: Final = ("engine-1", "gateway-1", "console")

_reply: msgspec.json.Decoder[Accepted | Refused] = msgspec.json.Decoder(Accepted | Refused)


class AskingViewer(RoomConnection):
    """Asks one thing at a time."""

    def __init__(self, address: Address, token: str) -> None:
        super().__init__(address, f"/v1/rooms/{ROOM}", token)
        self._answer: asyncio.Future[Accepted | Refused] | None = None
        self._asked = 0

    def on_text(self, raw: bytes, text: bytes) -> None:
        """Only answers and the first keyframe matter."""
        if text.startswith((b'{"type":"accepted"', b'{"type":"refused"')):
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(_reply.decode(text))
        elif text.startswith(b'{"type":"keyframe"') and not self.joined.done():
            self.joined.set_result(None)

    async def ask(self, command: Command) -> None:
        """Send it and wait for the answer. Raises `TargetError` for a refusal."""
        self._asked += 1
        self._answer = asyncio.get_running_loop().create_future()
        self.send_text(encode(ClientMessage(f"c{self._asked}", command)))
        async with asyncio.timeout(ANSWER_S):
            answer = await self._answer
        if isinstance(answer, Refused):
            raise TargetError(f"a command was refused: {answer.code}: {answer.detail}")


class BareBroker(Struct):
    """A producer and a consumer of one partition, set up as liveroom's are."""

    topic: str
    producer: AIOKafkaProducer
    consumer: AIOKafkaConsumer

    async def round_trip(self) -> None:
        """Write a record and wait until it is read."""
        await self.producer.send(self.topic, b"x" * BARE_BYTES, partition=0)
        async with asyncio.timeout(ANSWER_S):
            await self.consumer.getone()


@asynccontextmanager
async def bare_of(kafka: str) -> AsyncIterator[BareBroker]:
    """Its topic is new and deleted afterwards."""
    topic = f"round-trip-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True, compression_type="lz4")
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=None, isolation_level="read_committed", auto_offset_reset="earliest")
    try:
        await admin.create_topics([NewTopic(topic, 1, (await copies_of(kafka)).replication_factor)])
        await producer.start()
        await consumer.start()
        consumer.assign([TopicPartition(topic, 0)])
        yield BareBroker(topic, producer, consumer)
    finally:
        await producer.stop()
        await consumer.stop()
        await admin.delete_topics([topic])
        await admin.close()


async def _viewers(target: Target) -> tuple[list[AskingViewer], int]:
    """Viewers in a room with an open sale, and the sale."""
    await target.open_room(ROOM, "Round trips")
    await target.command(ROOM, "add_product", product={"id": "p", "title": "Load test", "price_fen": 100})
    terms = {"product": "p", "price_fen": 100, "stock": COMMANDS_MAX, "per_user_max": COMMANDS_MAX // VIEWERS, "hold_ms": 600_000}
    sale = int((await target.command(ROOM, "announce_flash_sale", **terms, opens_in_ms=0, open_for_ms=3_600_000))["result"]["sale"])
    address = Address.of(target.gateway_url)
    tokens = [target.token(f"viewer-{number}", ROOM) for number in range(VIEWERS)]
    return [await join_with_retries(lambda token=token: AskingViewer(address, token), address) for token in tokens], sale  # type: ignore[misc]


async def _timed(latency: LatencySeries, times: list[int], count: int, act: Callable[[], Awaitable[None]]) -> None:
    for _ in range(count):
        await asyncio.sleep(random.uniform(*PAUSE_S))
        began_ns = time.perf_counter_ns()
        await act()
        took_us = (time.perf_counter_ns() - began_ns) // 1000
        latency.add(time.monotonic_ns(), took_us)
        times.append(took_us)


async def measure(kafka: str, target: Target, commands: int, repetitions: int, recorder: Recorder) -> dict[str, Any]:
    """Bare round trips, reservations and chat in turns; figures of all repetitions together, and the ratio within each."""
    viewers, sale = await _viewers(target)
    turns = itertools.cycle(viewers)
    async with bare_of(kafka) as bare:

        async def reserve() -> None:
            await next(turns).ask(ReserveStock(sale))

        async def chat() -> None:
            await next(turns).ask(SendChat("hello"))

        kinds = {"bare": bare.round_trip, "reserve": reserve, "chat": chat}
        for act in kinds.values():  # everything is connected and warm before it counts
            await _timed(LatencySeries(), [], WARM_UP, act)
        latencies = {name: recorder.latencies[name] for name in kinds}
        medians: dict[str, list[float]] = {name: [] for name in kinds}
        recorder.stage("turns", repetitions)
        for done in range(repetitions):
            for name, act in kinds.items():
                times: list[int] = []
                await _timed(latencies[name], times, commands, act)
                medians[name].append(statistics.median(times))
            recorder.update(done + 1, ", ".join(f"{name} {medians[name][-1] / 1000:.2f} ms" for name in kinds))
    for viewer in viewers:
        viewer.close()
    ratios = {name: _median_ratio(medians[name], medians["bare"]) for name in kinds if name != "bare"}
    return {
        "ok": all(ratio <= RATIO_MAX for ratio in ratios.values()),
        "latency_ms": {name: latency.total().summary() for name, latency in latencies.items()},
        "ratio_p50": ratios,
        "ratio_max": RATIO_MAX,
        "parameters": {"commands": commands, "repetitions": repetitions},
    }


def _median_ratio(ours: list[float], theirs: list[float]) -> float:
    return round(statistics.median(our / their for our, their in zip(ours, theirs, strict=True)), 2)


async def _main(options: argparse.Namespace) -> int:
    if options.commands * options.repetitions + WARM_UP > COMMANDS_MAX or options.repetitions > REPETITIONS_MAX:
        raise UsageError(f"--commands times --repetitions: a sale of {COMMANDS_MAX} must have units for all")
    prefix = ("--kafka-topic-prefix", f"round-trip-{uuid.uuid4().hex[:8]}")
    async with brokers_of(options.kafka) as (kafka, _), cluster_of(kafka, (*SETTINGS, *prefix), PROCESSES) as cluster:
        with Recorder() as recorder:
            for role in ("engine", "gateway"):
                recorder.watch(role, lambda role=role: cluster.pids_of(role))  # type: ignore[misc]
            report = await measure(kafka, cluster.target, options.commands, options.repetitions, recorder)
    write_report(report, options, recorder, _figures(report))
    print(_summary(report), file=sys.stderr)
    return 0 if report["ok"] else EXIT_FAILED


def _figures(report: dict[str, Any]) -> list[Figure]:
    ratios = [
        Figure(f"{name} beside bare", f"{text_of(ratio)} times", f"at most {report['ratio_max']:g}") for name, ratio in report["ratio_p50"].items()
    ]
    return [*ratios, *(latency_figure(name, latency) for name, latency in report["latency_ms"].items())]


def _summary(report: dict[str, Any]) -> str:
    lines = [f"  {name:<8} p50 {figures['p50']} ms, p99 {figures['p99']} ms" for name, figures in report["latency_ms"].items()]
    ratios = ", ".join(f"{name} {ratio}" for name, ratio in report["ratio_p50"].items())
    return "\n".join([*lines, f"  p50 beside bare (at most {report['ratio_max']:g}): {ratios}"])


def main(arguments: Sequence[str]) -> int:
    """Measure; returns the exit code: 0 within the target, 1 not."""
    parser = argparse.ArgumentParser(prog="python -m loadtests round-trip", description="From command to answer through Kafka, beside Kafka alone.")
    parser.add_argument("--commands", type=positive_int, default=100, metavar="N", help="commands of each kind in each turn (default: 100)")
    parser.add_argument("--repetitions", type=positive_int, default=20, metavar="N", help="turns (default: 20)")
    add_report_options(parser)
    parser.add_argument("--kafka", default="", metavar="HOST:PORT", help="a broker that runs already (otherwise one is started for the test)")
    return run_main("round-trip", _main(parser.parse_args(arguments)))
