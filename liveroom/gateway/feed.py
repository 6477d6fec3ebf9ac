"""Follows every partition's accepted records: events to the rooms that are held, answers to those who wait."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from functools import partial

from liveroom.config import GatewayConfig
from liveroom.errors import LiveroomError
from liveroom.gateway.history import History
from liveroom.gateway.hub import Hub
from liveroom.journal.acceptance import Verdict
from liveroom.journal.base import Journal
from liveroom.journal.courier import Courier
from liveroom.journal.follower import Beginning, follow
from liveroom.telemetry.metrics import Metrics

__all__ = ["Feed"]

log = logging.getLogger(__name__)

#: Pause before a partition whose reading failed is read again from its snapshot.
FOLLOW_AGAIN_S = 0.5
#: Records of one partition that are applied before the loop breathes.
RECORDS_AT_ONCE = 64


class Feed:
    """Reads all partitions."""

    def __init__(self, journal: Journal, config: GatewayConfig, hub: Hub, courier: Courier, metrics: Metrics) -> None:
        self._journal = journal
        self._history_events_max = config.history_events_max // journal.partitions
        self._hub = hub
        self._courier = courier
        self._metrics = metrics
        self._ends: dict[int, int] = {}  # partition -> where its log ended when its reading began
        self._caught_up: set[int] = set()

    @property
    def caught_up(self) -> bool:
        """Whether every partition has been read up to where it ended at the beginning."""
        return len(self._caught_up) == self._journal.partitions

    async def follow(self, partition: int) -> None:
        """Follow one partition without end; after an error from its snapshot on: what was applied already is ignored."""
        while True:
            try:
                await self._follow(partition)
            except LiveroomError as error:
                log.error("a partition cannot be read; trying again", extra={"partition": partition, "error": str(error)})
            self._caught_up.discard(partition)
            await asyncio.sleep(FOLLOW_AGAIN_S)

    async def _follow(self, partition: int) -> None:
        count = 0
        history = History(self._history_events_max)
        self._ends[partition] = await self._journal.events_end(partition)
        following = follow(self._journal, partition, self._skipped, partial(self._read, partition), from_oldest=True)
        async with aclosing(following) as items:
            async for item in items:
                if isinstance(item, Beginning):
                    continue  # rooms are held for viewers only; the first viewer's request brings the room's detail
                history.add(item.record)
                self._hub.take(item.record, history, current=item.offset >= self._ends[partition])
                for answer in item.record.answers:
                    self._courier.deliver(answer)
                count += 1
                if count % RECORDS_AT_ONCE == 0:
                    await asyncio.sleep(0)

    def _read(self, partition: int, offset: int) -> None:
        if offset >= self._ends[partition]:
            self._caught_up.add(partition)

    def _skipped(self, verdict: Verdict) -> None:
        self._metrics.journal_skipped.labels(verdict.value).inc()
