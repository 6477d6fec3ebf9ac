"""Rooms whose state is not known because an event could not be folded: each is derived again from the log while the others go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from liveroom.engine.partition import PartitionState
from liveroom.engine.rebuild import rebuild
from liveroom.errors import JournalDamaged, JournalError
from liveroom.journal.base import Journal
from liveroom.telemetry.isolation import IsolatedErrors

__all__ = ["RoomRecovery"]

log = logging.getLogger("liveroom.engine")

#: Pause before the log is read again after it could not be.
AGAIN_S: Final = 1.0


class RoomRecovery:
    """Of one partition. `on_back(room)` is called when a room has its state again."""

    def __init__(self, journal: Journal, partition: int, isolated: IsolatedErrors, on_back: Callable[[str], None]) -> None:
        self._journal = journal
        self._partition = partition
        self._isolated = isolated
        self._on_back = on_back
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, state: PartitionState, rooms: Mapping[str, int], in_flight: Sequence[asyncio.Future[int]]) -> None:
        """Derive rooms again, each up to its seq; records that hold their events may still be in flight."""
        for room, seq in rooms.items():
            task = asyncio.create_task(self._recover(state, room, seq, in_flight), name=f"engine-recovery-{self._partition}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Derive nothing any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _recover(self, state: PartitionState, room: str, seq: int, in_flight: Sequence[asyncio.Future[int]]) -> None:
        if in_flight:
            await asyncio.wait(in_flight)
        while True:
            try:
                found = await rebuild(self._journal, self._partition, {room: seq})
                break
            except JournalError as error:
                if isinstance(error, JournalDamaged):
                    self._give_up(state, room)
                    return
                log.warning("a room's events cannot be read; trying again", extra={"room": room, "error": str(error)})
                await asyncio.sleep(AGAIN_S)
            except Exception:
                self._give_up(state, room)
                return
        state.bring_back(room, found[room])
        self._on_back(room)
        log.warning("a room's state was derived again from its events", extra={"room": room, "seq": seq})

    def _give_up(self, state: PartitionState, room: str) -> None:
        """What stands in the log cannot be applied either, or is not whole."""
        self._isolated.note("engine_room", room=room)
        state.set_aside(room)
