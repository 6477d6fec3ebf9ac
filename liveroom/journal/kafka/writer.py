"""Writes to Kafka in the order of the calls, and knows what a failed write means.

A write without an acknowledgment in time may have happened (`WriteUnknown`); it is never sent again.
All writes queued behind it for the same partition fail unsent (`JournalUnavailable`).
After a failure the client is not used again, because its sequence may have a gap.
The next write makes a new client.
"""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio import Future
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from msgspec import Struct

from liveroom.journal.base import write_future
from liveroom.journal.kafka.client import KafkaCluster, drop
from liveroom.messages.errors import JournalUnavailable, WriteUnknown
from liveroom.telemetry.metrics import Metrics

__all__ = ["KafkaWriter"]

logger = logging.getLogger(__name__)

#: Time for a failed client, or for the last writes at the end, to finish.
RETIRE_S = 10.0
#: Pause between two checks for late writes.
LOOK_S = 0.25

Lane = tuple[str, int]  # topic, partition
Headers = Sequence[tuple[str, bytes]]


class _Write(Struct, frozen=True, eq=False):
    began: float
    key: bytes | None
    value: bytes | None
    headers: Headers
    future: Future[int]


class KafkaWriter:
    """The writer of a process: one client for all topics and partitions."""

    def __init__(self, cluster: KafkaCluster, write_wait_ms: int, metrics: Metrics) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._write_wait_s = write_wait_ms / 1000
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._lanes: dict[Lane, deque[_Write]] = {}
        self._unacknowledged: deque[tuple[float, AIOKafkaProducer, Future[int]]] = deque()  # with the deadlines of their acknowledgments
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def append(self, topic: str, partition: int, value: bytes | None, *, key: bytes | None = None, headers: Headers = ()) -> Future[int]:
        """Write one record; the future gives its offset. The caller limits how many wait."""
        future = write_future()
        if self._closed:
            future.set_exception(JournalUnavailable("the journal is closed"))
            return future
        lane = (topic, partition)
        waiting = self._lanes.get(lane)
        if waiting is None:
            waiting = self._lanes[lane] = deque()
            self._spawn(self._send_all(lane, waiting))
        waiting.append(_Write(time.monotonic(), key, value, headers, future))
        return future

    async def close(self) -> None:
        """Write the appended records, waiting at most `RETIRE_S` for them, then release everything."""
        if self._closed:
            return
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=RETIRE_S)
        left = list(self._tasks)
        if self._producer is not None:
            await self._retire(self._producer)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for _, _, future in self._unacknowledged:
            if not future.done():
                future.set_exception(WriteUnknown("the journal was closed before a write was acknowledged"))

    async def _send_all(self, lane: Lane, waiting: deque[_Write]) -> None:
        """Pass the waiting writes to the client until none is left."""
        try:
            while waiting:
                producer = await self._client()
                write = waiting[0]
                # It waits while the partition's batch is full. A batch is never split, so nothing is lost when it gives up.
                async with asyncio.timeout(self._write_wait_s):
                    sent = await producer.send(lane[0], write.value, key=write.key, partition=lane[1], headers=list(write.headers))
                waiting.popleft()
                self._watch(producer, write.future)
                sent.add_done_callback(partial(self._acknowledged, producer, write))
        except (KafkaError, JournalUnavailable, TimeoutError) as error:
            self._metrics.journal_broker_errors.labels("produce").inc()
            _fail_all(waiting, error)
        except asyncio.CancelledError:
            _fail_all(waiting, JournalUnavailable("the journal is closed"))
            raise
        except Exception as error:  # for example for a partition that does not exist
            logger.exception("a write could not be handed to Kafka's client", extra={"topic": lane[0], "partition": lane[1]})
            _fail_all(waiting, error)
        finally:
            del self._lanes[lane]

    async def _client(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = self._cluster.producer()
                await asyncio.wait_for(self._cluster.start(producer), self._write_wait_s)
                self._producer = producer
            return self._producer

    def _acknowledged(self, producer: AIOKafkaProducer, write: _Write, sent: Future[Any]) -> None:
        future = write.future
        error = None if sent.cancelled() else sent.exception()
        if error is None and not sent.cancelled():
            self._metrics.journal_produce_seconds.observe(time.monotonic() - write.began)
            if not future.done():  # the caller may have given up
                future.set_result(sent.result().offset)
            return
        self._fail(producer, future, _meaning(error))

    def _fail(self, producer: AIOKafkaProducer, future: Future[int], error: Exception) -> None:
        self._metrics.journal_broker_errors.labels("produce").inc()
        if not future.done():
            future.set_exception(error)
        if self._producer is producer:
            logger.warning("a write to Kafka failed", extra={"error": str(error)})
            self._producer = None
            self._spawn(self._retire(producer))

    def _watch(self, producer: AIOKafkaProducer, future: Future[int]) -> None:
        self._unacknowledged.append((time.monotonic() + self._write_wait_s, producer, future))
        if len(self._unacknowledged) == 1:
            self._spawn(self._fail_late())

    async def _fail_late(self) -> None:
        """Fail late writes: the library itself retries forever, so their outcome is declared unknown here."""
        while self._unacknowledged:
            due, producer, future = self._unacknowledged[0]
            if not future.done() and due > time.monotonic():
                await asyncio.sleep(min(LOOK_S, due - time.monotonic()))
                continue
            if not future.done():
                self._fail(producer, future, WriteUnknown(f"a write to Kafka was not acknowledged within {self._write_wait_s:g} s"))
            self._unacknowledged.popleft()

    async def _retire(self, producer: AIOKafkaProducer) -> None:
        """Let a client finish. It may still deliver its records, and readers judge those like all others."""
        try:
            await asyncio.wait_for(producer.stop(), RETIRE_S)
        except (KafkaError, TimeoutError, OSError) as error:
            logger.warning("a client of Kafka did not stop cleanly", extra={"error": repr(error)})
            await drop(producer)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _meaning(error: BaseException | None) -> Exception:
    if isinstance(error, MessageSizeTooLargeError):
        return JournalUnavailable(f"nothing was written: {error}")
    return WriteUnknown(f"a write to Kafka was not acknowledged, its outcome is unknown: {error!r}")


def _fail_all(waiting: deque[_Write], error: Exception) -> None:
    while waiting:
        write = waiting.popleft()
        if not write.future.done():
            write.future.set_exception(
                JournalUnavailable(f"nothing was written: {error!r}" if not isinstance(error, JournalUnavailable) else str(error))
            )
