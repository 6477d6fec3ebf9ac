"""The engine: owns partitions, and takes one over again when an owner fails."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import aclosing

from liveroom.config.schema import Config
from liveroom.engine.clock import SteadyClock, passed_ms, wall_clock_ms
from liveroom.engine.owner import Owner, PartitionLost
from liveroom.journal.base import STOPPED_RUNBOOK, Journal
from liveroom.messages.errors import JournalDamaged, JournalError
from liveroom.rooms.room import Rng
from liveroom.telemetry.metrics import Metrics

__all__ = ["Engine"]

log = logging.getLogger("liveroom.engine")


class Engine:
    """Owns the partitions that the journal assigns to it, with one `Owner` for each."""

    def __init__(
        self,
        journal: Journal,
        config: Config,
        *,
        name: str,
        metrics: Metrics,
        clock: SteadyClock | None = None,
        rng: Rng | None = None,
    ) -> None:
        self._journal = journal
        self._config = config
        self._name = name
        self._metrics = metrics
        self._clock = clock or SteadyClock(wall_clock_ms, passed_ms)
        self._rng: Rng = rng or random.SystemRandom()
        self._owners: dict[int, Owner] = {}
        self._keepers: dict[int, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._assigned = False
        self.stopped_partitions: dict[int, str] = {}  # partition -> reason; only damage stops a partition

    @property
    def ready(self) -> bool:
        """Whether partitions were assigned and all of them are served. With more engines than partitions, an assignment may be empty."""
        return self._assigned and all(p in self._owners and self._owners[p].ready for p in self._keepers)

    async def start(self) -> None:
        """Start to own the assigned partitions. Returns at once; see `ready`."""
        self._tasks = [
            asyncio.create_task(self._follow_assignments(), name="engine-assignments"),
            asyncio.create_task(self._count(), name="engine-metrics"),
        ]

    async def stop(self) -> None:
        """Stop deciding. Appended records stay in the journal."""
        tasks = [*self._tasks, *self._keepers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._keepers.clear()
        self._owners.clear()

    async def _follow_assignments(self) -> None:
        async with aclosing(self._journal.assignments()) as changes:
            async for assigned in changes:
                for partition in self._keepers.keys() - assigned:
                    await self._give_up(partition)
                for partition in sorted(assigned - self._keepers.keys()):
                    self._keepers[partition] = asyncio.create_task(self._keep(partition), name=f"engine-{partition}")
                self._assigned = True

    async def _give_up(self, partition: int) -> None:
        log.info("partition is another engine's now", extra={"partition": partition})
        task = self._keepers.pop(partition)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._owners.pop(partition, None)
        self.stopped_partitions.pop(partition, None)

    async def _keep(self, partition: int) -> None:
        while True:
            owner = self._owners[partition] = Owner(
                partition, self._journal, self._config, name=self._name, metrics=self._metrics, clock_ms=self._clock, rng=self._rng
            )
            try:
                await owner.run()
            except JournalDamaged as error:
                self._stop_partition(partition, error)
                return
            except (PartitionLost, JournalError) as error:
                log.warning("partition given up; taking it over again", extra={"partition": partition, "reason": f"{type(error).__name__}: {error}"})
                await asyncio.sleep(self._config.engine.takeover_retry_ms / 1000)
            except Exception as error:
                self._stop_partition(partition, error)
                return

    def _stop_partition(self, partition: int, error: Exception) -> None:
        """Stop a partition until an operator has looked: an engine never guesses about money."""
        self.stopped_partitions[partition] = f"{type(error).__name__}: {error}"
        runbook = {"runbook": STOPPED_RUNBOOK} if self._config.journal.kind == "kafka" else {}
        log.critical("partition stopped", exc_info=error, extra={"partition": partition, **runbook})

    async def _count(self) -> None:
        while True:
            owners = [o for o in self._owners.values() if o.ready]
            self._metrics.engine_clock_held_back_seconds.set(self._clock.held_back_ms / 1000)
            self._metrics.engine_partitions.set(len(owners))
            self._metrics.engine_append_waiting_seconds.set(max((owner.append_waiting_s for owner in owners), default=0.0))
            self._metrics.engine_rooms.set(sum(o.rooms_count for o in owners))
            self._metrics.engine_rooms_archived.set(sum(o.rooms_archived_count for o in owners))
            self._metrics.engine_rooms_set_aside.set(sum(o.rooms_set_aside_count for o in owners))
            await asyncio.sleep(1)
