"""Loads the details of closed rooms on demand: from the newest snapshot, or from the engine if the room changed after that snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from liveroom.console.directory import Directory
from liveroom.console.view import RoomView
from liveroom.journal.base import Journal
from liveroom.journal.room_index import decode_detail, decode_index
from liveroom.messages.errors import JournalError

__all__ = ["Details"]

#: Details that may be loading at the same time.
LOADS_MAX: Final = 64


class Details:
    """The details of all partitions. `ask(room)` makes the engine write a room's detail for all readers."""

    def __init__(self, journal: Journal, directory: Directory, ask: Callable[[str], None], wait_ms: int) -> None:
        self._journal = journal
        self._directory = directory
        self._ask = ask
        self._wait_s = wait_ms / 1000
        self._loads: dict[str, asyncio.Task[RoomView | None]] = {}  # one per room, shared by all who ask
        self._looked_up: dict[int, set[str]] = {}  # partition -> hashes of the index parts that were read
        self._looking: dict[int, asyncio.Lock] = {}

    async def whole(self, room: str) -> RoomView | None:
        """The room with its detail; `None` if there is no such room. Raises `TimeoutError` if the detail does not arrive in time.

        Returns the loaded view, because the directory's own view may be shortened again while the caller waits.
        """
        view = self._directory.find(room)
        if view is None or view.is_whole:
            return self._directory.use(room)
        load = self._loads.get(room)
        if load is None:
            if len(self._loads) >= LOADS_MAX:
                raise TimeoutError
            load = self._loads[room] = asyncio.create_task(self._load(view), name="console-detail")
            load.add_done_callback(lambda _: self._loads.pop(room, None))
        return await asyncio.shield(load)  # so that a client that disconnects does not end the load for others

    async def stop(self) -> None:
        """Cancel all loads."""
        loads = list(self._loads.values())
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)

    async def _load(self, view: RoomView) -> RoomView | None:
        try:
            async with asyncio.timeout(self._wait_s):
                if (whole := await self._read(view)) is not None:
                    return whole
                self._ask(view.keyframe.room)
                return await self._directory.until_whole(view.keyframe.room)
        except JournalError as error:
            raise TimeoutError from error

    async def _read(self, view: RoomView) -> RoomView | None:
        """The room with its detail, if the newest snapshot holds its present state."""
        if view.part is None:
            await self._look_up(view.partition)
        if view.part is None:
            return None
        (body,) = await self._journal.get_parts(view.partition, [view.part])
        return self._directory.complete(decode_detail(body)) if body is not None else None

    async def _look_up(self, partition: int) -> None:
        """Locate rooms with the snapshot's index. Parts that were read before are skipped, because parts never change."""
        async with self._looking.setdefault(partition, asyncio.Lock()):
            for snapshot in (await self._journal.load_snapshots(partition))[:1]:
                parts = [part for segment in snapshot.rooms for part in segment]
                known = self._looked_up.get(partition, set())
                for part in parts:
                    (body,) = await self._journal.get_parts(partition, [part]) if part.hash not in known else (None,)
                    for entry in decode_index(body) if body is not None else ():
                        self._directory.locate(entry.summary, entry.part)
                self._looked_up[partition] = {part.hash for part in parts}
