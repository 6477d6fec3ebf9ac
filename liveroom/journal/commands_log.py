"""`commands[p]` in memory, for the journals that may let unanswered commands pass through it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence

from liveroom.errors import JournalFull, JournalUnavailable
from liveroom.journal.base import CommandBatch
from liveroom.messages.records import Request

__all__ = ["CommandsLog"]


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
        self._news = asyncio.Event()
        self._closed = False

    @property
    def end(self) -> int:
        """The offset that the next batch will get."""
        return self._first + len(self._batches)

    def append(self, requests: Sequence[Request]) -> None:
        """Take requests as one batch; raises `JournalFull` when `waiting_max` commands wait already, `JournalUnavailable` when closed."""
        if self._closed:
            raise JournalUnavailable("the journal is closed")
        if self._waiting >= self._waiting_max:
            raise JournalFull(f"{self._waiting} commands wait for an answer; at most {self._waiting_max} may (journal.commands_waiting_max)")
        if requests:
            self._batches.append(CommandBatch(self.end, tuple(requests)))
            self._waiting += len(requests)
            self._ring()

    def trim(self, to: int) -> None:
        """Forget the batches below `to`: they are answered."""
        while self._first < to and self._batches:
            self._waiting -= len(self._batches.popleft().requests)
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
