"""Recovery of rooms whose state is unknown after a failed fold.

They are rebuilt from the log while the other rooms go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from liveroom.engine.partition import PartitionState
from liveroom.engine.rebuild import rebuild
from liveroom.journal.base import Journal
from liveroom.messages.errors import JournalDamaged, JournalError
from liveroom.telemetry.isolation import IsolatedErrors

__all__ = ["RoomRecovery"]

log = logging.getLogger("liveroom.engine")

#: Pause before the log is read again after a failure.
AGAIN_S: Final = 1.0


class RoomRecovery:
    """The recovery of one partition's rooms. Calls `on_back(room)` when a room has its state again."""

    def __init__(self, journal: Journal, partition: int, isolated: IsolatedErrors, on_back: Callable[[str], None]) -> None:
        self._journal = journal
        self._partition = partition
        self._isolated = isolated
        self._on_back = on_back
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, state: PartitionState, rooms: Mapping[str, int], in_flight: Sequence[asyncio.Future[int]]) -> None:
        """Rebuild rooms, each up to its seq. Records with their events may still be in flight."""
        if rooms:
            task = asyncio.create_task(self._recover_all(state, dict(rooms), in_flight), name=f"engine-recovery-{self._partition}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Cancel all recoveries."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _recover_all(self, state: PartitionState, rooms: dict[str, int], in_flight: Sequence[asyncio.Future[int]]) -> None:
        """Rebuild the rooms together, since each pass reads the whole log. If one of them fails the pass, rebuild them one by one."""
        if in_flight:
            await asyncio.wait(in_flight)
        if not await self._recover(state, rooms) and len(rooms) > 1:
            for room, seq in rooms.items():
                await self._recover(state, {room: seq})

    async def _recover(self, state: PartitionState, rooms: Mapping[str, int]) -> bool:
        """Rebuild rooms. Gives false when the log lacks events of a room or an event cannot be applied."""
        while True:
            try:
                found = await rebuild(self._journal, self._partition, rooms)
                break
            except JournalError as error:
                if isinstance(error, JournalDamaged):
                    return self._give_up(state, rooms)
                log.warning("rooms' events cannot be read; trying again", extra={"rooms": len(rooms), "error": str(error)})
                await asyncio.sleep(AGAIN_S)
            except Exception:
                return self._give_up(state, rooms)
        for room, room_state in found.items():
            state.bring_back(room, room_state)
            self._on_back(room)
            log.warning("a room was rebuilt from its events", extra={"room": room, "seq": room_state.seq})
        return True

    def _give_up(self, state: PartitionState, rooms: Mapping[str, int]) -> bool:
        """Set the room aside, if it is the only one. With several rooms the cause is still unknown, so gives false."""
        if len(rooms) == 1:
            (room,) = rooms
            self._isolated.note("engine_room", room=room)
            state.set_aside(room)
        return False
