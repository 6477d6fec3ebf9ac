"""The assignment of partitions: the engines form a consumer group, and the brokers spread the partitions over its members.

The group says which engine *should* own a partition (liveness).
Takeovers in the log decide which one *does* (safety).
So no engine waits here: one that loses a partition may continue until another takeover ends its fencing epoch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import GroupAuthorizationFailedError, InvalidSessionTimeoutError, KafkaError, TopicAuthorizationFailedError

from liveroom.journal.kafka.client import KafkaCluster, stop
from liveroom.telemetry.metrics import Metrics

__all__ = ["assignments"]

logger = logging.getLogger(__name__)

#: The shortest session that brokers allow by default.
SESSION_ALLOWED_MS = 6_000
#: Pause before a failed membership starts again.
AGAIN_S = 0.5
#: The same pause when the brokers reject this process, and an operator has to grant the right.
REFUSED_AGAIN_S = 10.0
#: Pause between two polls for records that never come. Brokers take a member that never polls for hung.
POLL_MS = 1_000


async def assignments(cluster: KafkaCluster, group: str, topic: str, metrics: Metrics) -> AsyncGenerator[frozenset[int]]:
    """The partitions of `topic` that this process should own, after each change. Leaves the group when closed."""
    changes = _Changes()
    task = asyncio.create_task(_keep_membership(cluster, group, topic, changes, metrics), name="kafka-member")
    try:
        while True:
            yield await changes.next()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class _Changes(ConsumerRebalanceListener):  # type: ignore[misc]
    """The client's callbacks. A partition that is revoked and assigned again at once did not change."""

    def __init__(self) -> None:
        self.consumer: AIOKafkaConsumer | None = None
        self._assigned: frozenset[int] | None = None
        self._news = asyncio.Event()

    async def next(self) -> frozenset[int]:
        """Wait for the next change; only the newest counts."""
        await self._news.wait()
        self._news.clear()
        assert self._assigned is not None
        return self._assigned

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """Do nothing: a lost partition is missing in the next assignment."""

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """Store the new assignment."""
        assert self.consumer is not None
        self.consumer.pause(*assigned)  # the group only assigns partitions; records are read elsewhere
        self._assigned = frozenset(source.partition for source in assigned)
        self._news.set()


async def _keep_membership(cluster: KafkaCluster, group: str, topic: str, changes: _Changes, metrics: Metrics) -> None:
    session_ms = cluster.session_ms
    while True:
        try:
            await _be_member(cluster, group, session_ms, topic, changes)
        except (GroupAuthorizationFailedError, TopicAuthorizationFailedError) as error:
            metrics.journal_broker_errors.labels("group").inc()
            refusal = "the brokers do not let this process into a group: its user needs Read on the group, and Read and Describe on the topic"
            logger.error(refusal, extra={"group": group, "topic": topic, "error": repr(error)})
            await asyncio.sleep(REFUSED_AGAIN_S)
        except (KafkaError, OSError) as error:
            if isinstance(error, InvalidSessionTimeoutError) and session_ms < SESSION_ALLOWED_MS:
                words = {"session_ms": session_ms, "used_ms": SESSION_ALLOWED_MS}
                logger.warning("the brokers' group.min.session.timeout.ms does not allow kafka.session_ms", extra=words)
                session_ms = SESSION_ALLOWED_MS
                continue
            metrics.journal_broker_errors.labels("group").inc()
            logger.warning("membership in a group failed and starts again", extra={"group": group, "error": repr(error)})
            await asyncio.sleep(AGAIN_S)
        except Exception:  # an engine that lost its membership unnoticed would never own a partition again
            metrics.journal_broker_errors.labels("group").inc()
            logger.exception("membership in a group failed and starts again", extra={"group": group})
            await asyncio.sleep(AGAIN_S)


async def _be_member(cluster: KafkaCluster, group: str, session_ms: int, topic: str, changes: _Changes) -> None:
    changes.consumer = consumer = cluster.member(group, session_ms)
    consumer.subscribe([topic], listener=changes)
    await cluster.begin(consumer)
    try:
        while True:
            await consumer.getmany(timeout_ms=POLL_MS)
    finally:
        await stop(consumer)
