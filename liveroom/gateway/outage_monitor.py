"""Notices when a partition is interrupted, and notifies the viewers of its rooms. They keep their connections and continue afterwards."""

from __future__ import annotations

import logging
from collections.abc import Callable

from liveroom.config.schema import GatewayConfig
from liveroom.gateway.hub import Hub
from liveroom.gateway.room import HeldRoom
from liveroom.gateway.wire import text_frame
from liveroom.journal.base import Journal
from liveroom.journal.command_sender import CommandSender
from liveroom.process.clock import Clock
from liveroom.process.turns import Turns
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Interruption
from liveroom.telemetry.metrics import Metrics

__all__ = ["OutageMonitor"]

log = logging.getLogger(__name__)

#: Interval between checks of the partitions.
CHECK_S = 0.25
#: Interval of the commands that test an interrupted partition.
PROBE_S = 1.0


class OutageMonitor:
    """Watches the partitions of all held rooms.

    `probe(room)` sends a command of the gateway itself. Its answer ends an interruption even if no viewer sends a command.
    """

    def __init__(
        self,
        journal: Journal,
        command_sender: CommandSender,
        hub: Hub,
        config: GatewayConfig,
        metrics: Metrics,
        clock: Clock,
        *,
        probe: Callable[[HeldRoom], None],
    ) -> None:
        self._journal = journal
        self._command_sender = command_sender
        self._hub = hub
        self._silence_s_max = config.interruption_ms / 1000
        self._batch_size = config.broadcast_batch_size
        self._metrics = metrics
        self._clock = clock
        self._probe = probe
        self._probed_at: dict[int, float] = {}

    async def watch(self) -> None:
        """Check all partitions repeatedly. Never returns."""
        while True:
            await self._clock.sleep(CHECK_S)
            for partition in self._hub.partitions():
                try:
                    await self._check(partition)
                except Exception:
                    self._metrics.isolated.note("gateway_partition", partition=partition)
            self._metrics.gateway_partitions_interrupted.set(len(self._hub.interrupted))

    async def _check(self, partition: int) -> None:
        silence_s = self._command_sender.silence_s(partition)
        interrupted = silence_s > self._silence_s_max or partition in self._journal.unreachable
        since_ms = self._hub.interrupted.get(partition)
        if interrupted and since_ms is None:
            since_ms = self._hub.interrupted[partition] = int((self._clock.unix_s() - silence_s) * 1000)
            log.warning("a partition is interrupted; its viewers get a notice", extra={"partition": partition})
            await self._notify_viewers(partition, Interruption(since_ms))
        elif not interrupted and since_ms is not None:
            del self._hub.interrupted[partition]
            log.info("a partition's interruption is over", extra={"partition": partition})
            await self._notify_viewers(partition, Interruption(since_ms, over=True))
        if interrupted:
            self._probe_now_and_then(partition)

    def _probe_now_and_then(self, partition: int) -> None:
        now = self._clock.monotonic_s()
        if now - self._probed_at.get(partition, 0.0) >= PROBE_S:
            self._probed_at[partition] = now
            self._probe(next(iter(self._hub.rooms_of(partition))))

    async def _notify_viewers(self, partition: int, interruption: Interruption) -> None:
        """Notify all viewers of the partition's rooms. The hub notifies viewers who join later."""
        frame, turns = text_frame(encode(interruption)), Turns(self._clock.monotonic_s)
        for room in self._hub.rooms_of(partition):
            viewers = list(room.viewers)
            for at in range(0, len(viewers), self._batch_size):
                here = [viewer.connection for viewer in viewers[at : at + self._batch_size] if viewer.joined]
                self._metrics.isolated.each("gateway_viewer", here, lambda connection: connection.notify(frame))
                await turns.pause()
