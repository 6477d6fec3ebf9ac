"""Follows all partitions: updates the directory first, and then delivers replies to the command sender."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from liveroom.console.directory import Directory
from liveroom.features.lifecycle.messages import RequestKeyframe
from liveroom.journal.base import Journal
from liveroom.journal.command_sender import CommandSender
from liveroom.journal.follower import AcceptedRecord, Start, newest_start
from liveroom.journal.partition_follower import PartitionFollower
from liveroom.journal.room_index import IndexEntry, decode_detail
from liveroom.process.clock import SYSTEM_CLOCK
from liveroom.protocol.frames import RoomDetail
from liveroom.protocol.records import Request, Sender
from liveroom.telemetry.metrics import Metrics

__all__ = ["DirectoryFollower"]

#: Details that one read takes from the journal.
DETAILS_AT_ONCE = 64

CONSOLE = Sender(user="console", name="console", backend=True)


class DirectoryFollower:
    """Follows all partitions of a journal until it is stopped. A failed partition starts again, and the others continue."""

    def __init__(self, journal: Journal, directory: Directory, command_sender: CommandSender, metrics: Metrics) -> None:
        self._journal = journal
        self._directory = directory
        self._command_sender = command_sender
        self._follower = PartitionFollower(journal, metrics, SYSTEM_CLOCK, self._consumer, reader="console")
        self.stop = self._follower.stop

    @property
    def behind(self) -> list[int]:
        """The partitions that are not yet read up to the end that their log had when reading began."""
        return [partition for partition in range(self._journal.partitions) if not self._follower.is_caught_up(partition)]

    def start(self) -> None:
        """Start to read all partitions."""
        for partition in range(self._journal.partitions):
            self._follower.want(partition)

    def ask(self, room: str) -> None:
        """Make the engine write a room's detail for all readers."""
        self._command_sender.submit(Request(id=uuid4().hex, room=room, sender=CONSOLE, command=RequestKeyframe()), lambda command_reply: None)

    def _consumer(self, partition: int) -> _DirectoryConsumer:
        return _DirectoryConsumer(self, self._journal, partition, self._directory, self._command_sender)


class _DirectoryConsumer:
    """Applies the records of one partition."""

    def __init__(self, follower: DirectoryFollower, journal: Journal, partition: int, directory: Directory, command_sender: CommandSender) -> None:
        self._follower = follower
        self._journal = journal
        self._partition = partition
        self._directory = directory
        self._command_sender = command_sender

    async def start(self) -> Start:
        """Start at the newest snapshot, with its rooms."""
        start = await newest_start(self._journal, self._partition)
        details = await self._details(start.rooms)
        known = {detail.keyframe.room for detail in details}
        self._directory.begin(self._partition, details, (entry for room, entry in start.rooms.items() if room not in known))
        return start

    async def _details(self, rooms: Mapping[str, IndexEntry]) -> list[RoomDetail]:
        """The details of all rooms that are not resting. Unreadable details are left out."""
        details: list[RoomDetail] = []
        parts = [entry.part for entry in rooms.values() if not entry.resting]
        for start in range(0, len(parts), DETAILS_AT_ONCE):
            bodies = await self._journal.get_parts(self._partition, parts[start : start + DETAILS_AT_ONCE])
            details += [decode_detail(body) for body in bodies if body is not None]
        return details

    async def take(self, accepted: AcceptedRecord, *, live: bool) -> None:
        """Apply a record. Its replies come last, so that a client that gets one can read its own write."""
        record = accepted.record
        self._directory.note_time(self._partition, record.time_ms, live=live)
        for room in self._directory.apply(self._partition, record):
            self._follower.ask(room)
        for command_reply in record.replies:
            self._command_sender.deliver(command_reply)
