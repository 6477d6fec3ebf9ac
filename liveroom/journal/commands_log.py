"""`commands[p]` in memory, for the journals that may let unanswered commands pass through it."""

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

#: One in so many of the commands that may wait, and of their bytes, is kept for the anchors and the platform.
WAITING_STAFF_PART: Final = 8
#: Bytes of memory that the waiting commands of one partition may take.
WAITING_BYTES_MAX: Final = 64 * 1024 * 1024


def is_staffs(request: Request) -> bool:
    """Whether an anchor or the platform sent it: a part of every limit of waiting commands is kept for them."""
    return request.sender.role in ANCHORS and not request.sender.backend


def part_of(limit: int, requests: Sequence[Request] = ()) -> int:
    """How much of a limit this batch may use: all of it when staff sent every command, otherwise what is not kept for staff."""
    if requests and all(map(is_staffs, requests)):
        return limit
    return limit - limit // WAITING_STAFF_PART


def full(waiting: int, waiting_max: int) -> JournalFull:
    """The error that too many commands wait."""
    return JournalFull(f"{waiting} commands wait for an answer; at most {waiting_max} may (journal.commands_waiting_max)")


def full_of_bytes(waiting_bytes: int) -> JournalFull:
    """The error that the commands that wait take too much memory."""
    return JournalFull(f"the commands that wait for an answer take {waiting_bytes} bytes; at most {WAITING_BYTES_MAX} may be taken")


class CommandsLog:
    """Batches from `first` on, kept until the record that answers them is durable.

    An unanswered command was never promised, so nothing is lost when the process ends: its sender
    repeats it by its id, and the log goes on at the `to` of the last record that counts.
    """

    def __init__(self, first: int, waiting_max: int) -> None:
        self._first = first
        self._waiting_max = waiting_max
        self._batches: deque[CommandBatch] = deque()
        self._waiting = 0
        self._sizes: deque[int] = deque()  # of the batches, in bytes of memory
        self._bytes = 0
        self._news = asyncio.Event()
        self._closed = False

    @property
    def end(self) -> int:
        """The offset that the next batch will get."""
        return self._first + len(self._batches)

    def append(self, requests: Sequence[Request]) -> None:
        """Take requests as one batch; raises `JournalFull` when as many commands wait as may, `JournalUnavailable` when closed."""
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
        """Forget the batches below `to`: they are answered."""
        while self._first < to and self._batches:
            self._waiting -= len(self._batches.popleft().requests)
            self._bytes -= self._sizes.popleft()
            self._first += 1
        self._first = max(self._first, to)

    async def read(self, offset: int) -> AsyncGenerator[CommandBatch]:
        """Follow from `offset` on without end.

        Raises: `JournalUnavailable` when closed, or when what comes next was answered and is gone: the reader was overtaken.
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
        """Take nothing more and end the readers."""
        self._closed = True
        self._ring()

    def _ring(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
