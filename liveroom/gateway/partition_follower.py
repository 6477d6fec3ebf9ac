"""Follows the accepted records of partitions: events go to the held rooms, and replies to the command sender.

In a shared journal, the follower follows only the partitions of held rooms.
It starts with the first room of a partition, and stops some time after the last room is released.
In an embedded journal, it follows all partitions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from contextlib import aclosing
from functools import partial

from liveroom.config.schema import GatewayConfig
from liveroom.gateway.hub import Hub
from liveroom.gateway.replay_buffer import ReplayBuffer
from liveroom.journal.acceptance import Verdict
from liveroom.journal.base import Journal
from liveroom.journal.command_sender import CommandSender
from liveroom.journal.follower import Beginning, follow
from liveroom.messages.errors import JournalDamaged, LiveroomError
from liveroom.process.clock import Clock
from liveroom.telemetry.metrics import Metrics

__all__ = ["PartitionFollower"]

log = logging.getLogger(__name__)

#: Pause after a failed read, before the partition is read again from its snapshot.
FOLLOW_AGAIN_S = 0.5
#: Time for which a partition of a shared journal is followed after its last room was released.
PARTITION_IDLE_S = 30.0
#: Records of one partition, plus the rooms that begin with them, before the follower yields to the event loop.
APPLIED_AT_ONCE = 64


class PartitionFollower:
    """Follows partitions for one gateway.

    `begun(partition)` is called once the end of a partition's log is known. Only replies to requests after that call count as news.
    """

    def __init__(
        self,
        journal: Journal,
        config: GatewayConfig,
        hub: Hub,
        command_sender: CommandSender,
        metrics: Metrics,
        clock: Clock,
        *,
        begun: Callable[[int], None],
    ) -> None:
        self._journal = journal
        self._history_events_max = config.history_events_max // journal.partitions
        self._history_bytes_max = config.history_bytes_max // journal.partitions
        self._hub = hub
        self._command_sender = command_sender
        self._metrics = metrics
        self._clock = clock
        self._begun = begun
        self._ends: dict[int, int] = {}  # partition -> the end of its log when the follower began to read it
        self._caught_up: set[int] = set()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._idle_since: dict[int, float] = {}  # partitions without a held room

    def start(self) -> None:
        """Start to follow all partitions of an embedded journal."""
        if not self._journal.shared:
            for partition in range(self._journal.partitions):
                self.want(partition)

    async def stop(self) -> None:
        """Stop following all partitions."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    @property
    def caught_up(self) -> bool:
        """Whether every partition of an embedded journal was read up to its end at the start. Always true for a shared journal."""
        return self._journal.shared or len(self._caught_up) == self._journal.partitions

    def want(self, partition: int) -> bool:
        """Follow a partition. Returns whether the end of its log is known already; otherwise `begun` is called later."""
        if partition not in self._tasks:
            self._tasks[partition] = asyncio.get_running_loop().create_task(self._keep_following(partition))
        return partition in self._ends

    def tidy(self, held: Collection[int], now: float) -> None:
        """Stop following partitions that had no held room for a while and owe no reply."""
        if not self._journal.shared:
            return
        for partition in list(self._tasks):
            if partition in held or self._command_sender.waits(partition):
                self._idle_since.pop(partition, None)
            elif now - self._idle_since.setdefault(partition, now) > PARTITION_IDLE_S:
                del self._idle_since[partition]
                self._tasks.pop(partition).cancel()
                self._forget(partition)

    def _forget(self, partition: int) -> None:
        self._ends.pop(partition, None)
        self._caught_up.discard(partition)

    async def _keep_following(self, partition: int) -> None:
        """Follow a partition without end. After an error, read again from the snapshot; rooms ignore known events."""
        while True:
            try:
                await self._follow(partition)
            except JournalDamaged as error:
                log.critical(
                    "a partition is damaged; it is not read again before a restart of this process",
                    extra={"partition": partition, "error": str(error)},
                )
                return
            except LiveroomError as error:
                log.error("a partition cannot be read; trying again", extra={"partition": partition, "error": str(error)})
            except Exception:
                log.exception("following a partition failed; trying again", extra={"partition": partition})
            await self._clock.sleep(FOLLOW_AGAIN_S)

    async def _follow(self, partition: int) -> None:
        replay_buffer = ReplayBuffer(self._history_events_max, self._history_bytes_max)
        self._ends[partition] = await self._journal.events_end(partition)
        try:
            self._begun(partition)
            await self._read_on(partition, replay_buffer)
        finally:
            if self._tasks.get(partition) is asyncio.current_task():  # otherwise it was released, and another task may follow it by now
                self._forget(partition)

    async def _read_on(self, partition: int, replay_buffer: ReplayBuffer) -> None:
        count = 0
        following = follow(self._journal, partition, self._skipped, partial(self._read, partition), from_oldest=True)
        async with aclosing(following) as items:
            async for item in items:
                if isinstance(item, Beginning):
                    continue  # a room is held only for viewers, and the first viewer's request brings its detail
                replay_buffer.add(item.record)
                news = item.offset >= self._ends[partition]
                self._hub.times[partition].note(item.record.time_ms, live=news)
                self._hub.take(item.record, replay_buffer, current=news)
                for command_reply in item.record.replies:
                    self._command_sender.deliver(command_reply)
                count += 1 + len(item.record.details)
                if count >= APPLIED_AT_ONCE:
                    count = 0
                    await asyncio.sleep(0)

    def _read(self, partition: int, offset: int) -> None:
        if offset >= self._ends[partition]:
            self._caught_up.add(partition)

    def _skipped(self, verdict: Verdict) -> None:
        self._metrics.journal_skipped.labels(verdict.value).inc()
