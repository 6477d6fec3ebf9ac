"""Writes to Kafka in order of the calls; what a failed write means.

A write that is not acknowledged in time may have happened or not (`WriteUnknown`); it is never sent again. Whatever
waits behind it for the same partition fails with it, unsent (`JournalUnavailable`). After a failure nothing more goes
through the client that failed: its sequence may have a hole. The next write makes a new one.
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
from liveroom.journal.kafka.client import Cluster, drop
from liveroom.messages.errors import JournalUnavailable, WriteUnknown
from liveroom.telemetry.metrics import Metrics

__all__ = ["Writer"]

logger = logging.getLogger(__name__)

#: Time for a client that failed, or for the last writes at the end, to finish what it had begun.
RETIRE_S = 10.0
#: How often it is looked which writes are late.
LOOK_S = 0.25

Lane = tuple[str, int]  # topic, partition
Headers = Sequence[tuple[str, bytes]]


class _Write(Struct, frozen=True, eq=False):
    began: float
    key: bytes | None
    value: bytes | None
    headers: Headers
    future: Future[int]


class Writer:
    """One client for all topics and partitions."""

    def __init__(self, cluster: Cluster, write_wait_ms: int, metrics: Metrics) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._write_wait_s = write_wait_ms / 1000
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._lanes: dict[Lane, deque[_Write]] = {}
        self._handed: deque[tuple[float, AIOKafkaProducer, Future[int]]] = deque()  # to be acknowledged by then
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def append(self, topic: str, partition: int, value: bytes | None, *, key: bytes | None = None, headers: Headers = ()) -> Future[int]:
        """Write one record; the future gives its offset. As many may wait as the caller lets."""
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
        """Write what was appended, for so long at most, then release everything."""
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
        for _, _, future in self._handed:
            if not future.done():
                future.set_exception(WriteUnknown("the journal was closed before a write was acknowledged"))

    async def _send_all(self, lane: Lane, waiting: deque[_Write]) -> None:
        """Hand over what waits, until nothing does."""
        try:
            while waiting:
                producer = await self._client()
                write = waiting[0]
                # Waits while a batch for this partition is full; a batch is never cut, so nothing is lost when it gives up.
                async with asyncio.timeout(self._write_wait_s):
                    handed = await producer.send(lane[0], write.value, key=write.key, partition=lane[1], headers=list(write.headers))
                waiting.popleft()
                self._watch(producer, write.future)
                handed.add_done_callback(partial(self._acknowledged, producer, write))
        except (KafkaError, JournalUnavailable, TimeoutError) as error:
            self._metrics.journal_broker_errors.labels("produce").inc()
            _fail_all(waiting, error)
        except asyncio.CancelledError:
            _fail_all(waiting, JournalUnavailable("the journal is closed"))
            raise
        except Exception as error:  # a partition that does not exist is such a one
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

    def _acknowledged(self, producer: AIOKafkaProducer, write: _Write, handed: Future[Any]) -> None:
        future = write.future
        error = None if handed.cancelled() else handed.exception()
        if error is None and not handed.cancelled():
            self._metrics.journal_produce_seconds.observe(time.monotonic() - write.began)
            if not future.done():  # its caller may have gone
                future.set_result(handed.result().offset)
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
        self._handed.append((time.monotonic() + self._write_wait_s, producer, future))
        if len(self._handed) == 1:
            self._spawn(self._fail_late())

    async def _fail_late(self) -> None:
        """A client of its own accord tries without end: a write that was not acknowledged in time is called unknown here."""
        while self._handed:
            due, producer, future = self._handed[0]
            if not future.done() and due > time.monotonic():
                await asyncio.sleep(min(LOOK_S, due - time.monotonic()))
                continue
            if not future.done():
                self._fail(producer, future, WriteUnknown(f"a write to Kafka was not acknowledged within {self._write_wait_s:g} s"))
            self._handed.popleft()

    async def _retire(self, producer: AIOKafkaProducer) -> None:
        """Let a client finish; it may still deliver what it was given, which readers judge as they judge everything."""
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
