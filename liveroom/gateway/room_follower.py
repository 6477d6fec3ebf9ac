"""Follows the partitions of rooms: events go to the held rooms, and replies to the command sender.

In a shared journal, the follower follows only the partitions of held rooms.
It starts with the first room of a partition, and stops some time after the last room is released.
In an embedded journal, it follows all partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from liveroom.config.schema import GatewayConfig
from liveroom.gateway.hub import Hub
from liveroom.gateway.replay_buffer import ReplayBuffer
from liveroom.journal.base import Journal
from liveroom.journal.command_sender import CommandSender
from liveroom.journal.follower import AcceptedRecord, Start, oldest_start
from liveroom.journal.partition_follower import PartitionFollower
from liveroom.process.clock import Clock
from liveroom.telemetry.metrics import Metrics

__all__ = ["RoomFollower"]

#: Time for which a partition of a shared journal is followed after its last room was released.
PARTITION_IDLE_S = 30.0


class RoomFollower:
    """Follows partitions for one gateway.

    `on_followed(partition)` is called once the end of a partition's log is known. Only replies to requests after that call count as news.
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
        on_followed: Callable[[int], None],
    ) -> None:
        self._journal = journal
        self._replay_events_max = config.replay_events_max // journal.partitions
        self._replay_bytes_max = config.replay_bytes_max // journal.partitions
        self._hub = hub
        self._command_sender = command_sender
        self._on_followed = on_followed
        self._idle_since: dict[int, float] = {}  # partitions without a held room
        self._follower = PartitionFollower(journal, metrics, clock, self._consumer, reader="gateway")
        self.want = self._follower.want
        self.stop = self._follower.stop

    def start(self) -> None:
        """Start to follow all partitions of an embedded journal."""
        if not self._journal.shared:
            for partition in range(self._journal.partitions):
                self.want(partition)

    @property
    def caught_up(self) -> bool:
        """Whether every partition of an embedded journal was read up to its end at the start. Always true for a shared journal."""
        return self._journal.shared or all(map(self._follower.is_caught_up, range(self._journal.partitions)))

    def tidy(self, held: Collection[int], now: float) -> None:
        """Stop following partitions that had no held room for a while and owe no reply."""
        if not self._journal.shared:
            return
        for partition in self._follower.wanted:
            if partition in held or self._command_sender.waits(partition):
                self._idle_since.pop(partition, None)
            elif now - self._idle_since.setdefault(partition, now) > PARTITION_IDLE_S:
                del self._idle_since[partition]
                self._follower.release(partition)

    def _consumer(self, partition: int) -> _RoomConsumer:
        replay_buffer = ReplayBuffer(self._replay_events_max, self._replay_bytes_max)
        return _RoomConsumer(self._journal, partition, self._hub, self._command_sender, replay_buffer, self._on_followed)


class _RoomConsumer:
    """Applies the records of one partition."""

    def __init__(
        self,
        journal: Journal,
        partition: int,
        hub: Hub,
        command_sender: CommandSender,
        replay_buffer: ReplayBuffer,
        on_followed: Callable[[int], None],
    ) -> None:
        self._journal = journal
        self._partition = partition
        self._hub = hub
        self._command_sender = command_sender
        self._replay_buffer = replay_buffer
        self._on_followed = on_followed

    async def start(self) -> Start:
        """Start at the oldest snapshot: a room is held only for viewers, and the first viewer's request brings its state."""
        self._on_followed(self._partition)
        return await oldest_start(self._journal, self._partition)

    async def take(self, accepted: AcceptedRecord, *, live: bool) -> None:
        """Apply a record to the held rooms, then deliver its replies."""
        record = accepted.record
        self._replay_buffer.add(record)
        self._hub.times[self._partition].note(record.time_ms, live=live)
        self._hub.take(record, self._replay_buffer, current=live)
        for command_reply in record.replies:
            self._command_sender.deliver(command_reply)
