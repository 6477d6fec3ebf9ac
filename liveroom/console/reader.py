"""Reads every partition: it updates the directory first, and then delivers replies to the command sender."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from uuid import uuid4

from liveroom.console.directory import Directory
from liveroom.journal.acceptance import Verdict
from liveroom.journal.base import Journal
from liveroom.journal.command_sender import CommandSender
from liveroom.journal.follower import Beginning, follow
from liveroom.journal.room_index import IndexEntry, decode_detail
from liveroom.messages.errors import JournalDamaged, JournalError
from liveroom.protocol.commands import RequestKeyframe
from liveroom.protocol.frames import RoomDetail
from liveroom.protocol.records import Record, Request, Sender
from liveroom.telemetry.metrics import Metrics

__all__ = ["Reader"]

log = logging.getLogger("liveroom.console")

#: Pause after a failed read, before the partition is read again from its snapshot.
RETRY_S = 1.0
#: Records before the reader yields to the event loop, so that a long log does not delay requests.
RECORDS_AT_ONCE = 100

#: Details that one read takes from the journal.
DETAILS_AT_ONCE = 64

CONSOLE = Sender(user="console", name="console", backend=True)


class Reader:
    """Follows all partitions of a journal until it is stopped. A failed partition starts again, and the others continue."""

    def __init__(self, journal: Journal, directory: Directory, command_sender: CommandSender, metrics: Metrics) -> None:
        self._journal = journal
        self._directory = directory
        self._command_sender = command_sender
        self._metrics = metrics
        self._behind = set(range(journal.partitions))
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def behind(self) -> list[int]:
        """The partitions that are not yet read up to the end that their log had when reading began."""
        return sorted(self._behind)

    def start(self) -> None:
        """Start to read all partitions."""
        self._tasks = [asyncio.create_task(self._keep_reading(p), name=f"console-reader-{p}") for p in range(self._journal.partitions)]

    async def stop(self) -> None:
        """Stop reading."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _keep_reading(self, partition: int) -> None:
        while True:
            try:
                await self._read(partition)
            except JournalDamaged as error:
                self._behind.add(partition)
                log.critical(
                    "a partition is damaged; it is not read again before a restart of this process",
                    extra={"partition": partition, "reason": str(error)},
                )
                return
            except JournalError as error:
                log.warning("reading a partition failed; starting again", extra={"partition": partition, "reason": str(error)})
            except Exception:
                log.exception("reading a partition failed; starting again", extra={"partition": partition})
            self._behind.add(partition)
            await asyncio.sleep(RETRY_S)

    async def _read(self, partition: int) -> None:
        end = await self._journal.events_end(partition)

        def on_read(offset: int) -> None:
            if offset >= end:
                self._behind.discard(partition)

        records = 0
        async with aclosing(follow(self._journal, partition, self._on_skipped, on_read)) as items:
            async for item in items:
                if isinstance(item, Beginning):
                    details = await self._details(partition, item.rooms)
                    known = {detail.keyframe.room for detail in details}
                    self._directory.begin(partition, details, (entry for room, entry in item.rooms.items() if room not in known))
                    continue
                self._directory.note_time(partition, item.record.time_ms, live=partition not in self._behind)
                self._take(partition, item.record)
                records += 1
                if records % RECORDS_AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def _details(self, partition: int, rooms: Mapping[str, IndexEntry]) -> list[RoomDetail]:
        """The details of all rooms that are not resting. Unreadable details are left out."""
        details: list[RoomDetail] = []
        parts = [entry.part for entry in rooms.values() if not entry.resting]
        for start in range(0, len(parts), DETAILS_AT_ONCE):
            bodies = await self._journal.get_parts(partition, parts[start : start + DETAILS_AT_ONCE])
            details += [decode_detail(body) for body in bodies if body is not None]
        return details

    def _take(self, partition: int, record: Record) -> None:
        for room in self._directory.apply(partition, record):
            self.ask(room)
        # Answers come last, so that a client that gets one can read its own write.
        for command_reply in record.replies:
            self._command_sender.deliver(command_reply)

    def ask(self, room: str) -> None:
        """Make the engine write a room's detail for all readers."""
        self._command_sender.submit(Request(id=uuid4().hex, room=room, sender=CONSOLE, command=RequestKeyframe()), lambda command_reply: None)

    def _on_skipped(self, verdict: Verdict) -> None:
        self._metrics.journal_skipped.labels(verdict.value).inc()
