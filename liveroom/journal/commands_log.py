"""`commands[p]` in memory, for journals that may lose unanswered commands."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from liveroom.journal.base import CommandBatch
from liveroom.messages.base import ANCHORS
from liveroom.messages.errors import JournalFull, JournalUnavailable
from liveroom.protocol.codec import memory_bytes
from liveroom.protocol.records import Request

__all__ = ["WAITING_BYTES_MAX", "CommandsLog", "full", "full_of_bytes", "is_staffs", "part_of"]

#: One of this many waiting commands, and of their bytes, is reserved for the anchors and the platform.
WAITING_STAFF_PART: Final = 8
#: Limit of the memory of one partition's waiting commands, in bytes.
WAITING_BYTES_MAX: Final = 64 * 1024 * 1024


def is_staffs(request: Request) -> bool:
    """Whether an anchor or the platform sent it. A part of every limit of waiting commands is reserved for them."""
    return request.sender.role in ANCHORS and not request.sender.backend


def part_of(limit: int, requests: Sequence[Request] = ()) -> int:
    """The part of a limit that this batch may use: all of it if staff sent every command, otherwise the part not reserved for staff."""
    if requests and all(map(is_staffs, requests)):
        return limit
    return limit - limit // WAITING_STAFF_PART


def full(waiting: int, waiting_max: int) -> JournalFull:
    """The error for too many waiting commands."""
    return JournalFull(f"{waiting} commands wait for an answer; at most {waiting_max} may (journal.commands_waiting_max)")


def full_of_bytes(waiting_bytes: int) -> JournalFull:
    """The error for waiting commands that take too much memory."""
    return JournalFull(f"the commands that wait for an answer take {waiting_bytes} bytes; at most {WAITING_BYTES_MAX} may be taken")


class CommandsLog:
    """Batches from `first` on, kept until the record that answers them is durable.

    An unanswered command was never promised, so nothing is lost when the process ends.
    Its sender repeats it with its id.
    The log continues at the `to` of the last record that counts.
    """

    def __init__(self, first: int, waiting_max: int) -> None:
        self._first = first
        self._waiting_max = waiting_max
        self._batches: deque[CommandBatch] = deque()
        self._waiting = 0
        self._sizes: deque[int] = deque()  # bytes of memory of each batch
        self._bytes = 0
        self._news = asyncio.Event()
        self._closed = False

    @property
    def end(self) -> int:
        """The offset of the next batch."""
        return self._first + len(self._batches)

    def append(self, requests: Sequence[Request]) -> None:
        """Append requests as one batch. Raises `JournalFull` when too many commands wait, `JournalUnavailable` when closed."""
        if self._closed:
            raise JournalUnavailable("the journal is closed")
        if self._waiting >= part_of(self._waiting_max, requests):
            raise full(self._waiting, self._waiting_max)
        size = memory_bytes(requests)
        if self._bytes + size > part_of(WAITING_BYTES_MAX, requests):
            raise full_of_bytes(self._bytes)
        if requests:
            self._batches.append(CommandBatch(self.end, tuple(requests)))
            self._waiting += len(requests)
            self._sizes.append(size)
            self._bytes += size
            self._ring()

    def trim(self, to: int) -> None:
        """Drop the answered batches below `to`."""
        while self._first < to and self._batches:
            self._waiting -= len(self._batches.popleft().requests)
            self._bytes -= self._sizes.popleft()
            self._first += 1
        self._first = max(self._first, to)

    async def read(self, offset: int) -> AsyncGenerator[CommandBatch]:
        """Follow the batches from `offset` on, without end.

        Raises: `JournalUnavailable` when closed, or when the next batch was answered and dropped before this reader came to it.
        """
        while True:
            if self._closed:
                raise JournalUnavailable("the journal is closed")
            if offset < self._first:
                raise JournalUnavailable(f"commands below {self._first} are answered and gone; a reader that wants {offset} was overtaken")
            if offset < self.end:
                yield self._batches[offset - self._first]
                offset += 1
            else:
                await self._news.wait()

    def close(self) -> None:
        """Refuse new batches and end the readers."""
        self._closed = True
        self._ring()

    def _ring(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
