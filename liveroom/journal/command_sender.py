"""Sends commands to the journal in batches, and gives each caller the reply."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
from msgspec import Struct

from liveroom.journal.base import Journal
from liveroom.journal.commands_log import is_staffs
from liveroom.journal.partition import partition_of
from liveroom.messages.errors import JournalError, JournalFull
from liveroom.process.clock import SYSTEM_CLOCK, Clock
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Refused, Reply
from liveroom.protocol.records import CommandReply, Request
from liveroom.telemetry.metrics import Metrics

__all__ = ["CommandSender", "ReplyCallback"]

#: Takes the reply to a command.
ReplyCallback = Callable[[Reply], None]

#: The batches that a command may join: its partition, and whether staff sent it.
_Lane = tuple[int, bool]

#: Pause between two checks for commands that waited too long.
SWEEP_S = 0.25

#: Time for which a command that failed without a reply still counts toward its partition's silence.
FAILURE_COUNTS_S = 30.0

NEVER = float("-inf")

CLOSED = "this process is shutting down; retry with the same id"


class _Waiting(Struct, frozen=True, eq=False):
    deadline: float
    id: str
    partition: int
    on_reply: ReplyCallback


class _Silence(Struct, eq=False):
    """The silence of one partition: since when no command was answered although one should have been."""

    since: float
    waiting: int = 0
    failed_at: float = NEVER


class CommandSender:
    """The command sender of a gateway or console; `source` names it in requests and replies.

    A command is answered exactly once.
    The reply comes from the journal, is `overloaded` when too many commands wait, or is `unavailable` after `reply_wait_ms`.
    After `unavailable` the outcome is unknown, and a retry with the same id finds it.
    A request that cannot be written is refused alone.
    If a batch fails for another reason, each of its commands still gets a reply.
    """

    def __init__(
        self,
        journal: Journal,
        source: str,
        metrics: Metrics,
        *,
        batch_commands_max: int,
        batch_wait_ms: int,
        reply_wait_ms: int,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._journal = journal
        self._isolated = metrics.isolated
        self._source = source
        self._clock = clock
        self._now_s = clock.monotonic_s
        self._batch_commands_max = batch_commands_max
        self._batch_wait_s = batch_wait_ms / 1000
        self._reply_wait_s = reply_wait_ms / 1000
        self._ticket = 0
        self._waiting: dict[int, _Waiting] = {}  # by ticket, oldest first
        self._silences: dict[int, _Silence] = {}  # by partition, while commands wait or after a failure
        # Staff commands go in batches of their own.
        # A journal reserves places for them, which viewers' commands in the same batch would take.
        self._batches: dict[_Lane, list[Request]] = {}
        self._flushed_s = NEVER  # when all lanes were sent together last
        self._flush_is_due = False
        self._senders: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._closed = False

    @property
    def waiting(self) -> int:
        """The number of commands without a reply."""
        return len(self._waiting)

    def waits(self, partition: int) -> bool:
        """Whether a command of the partition waits for its reply."""
        silence = self._silences.get(partition)
        return silence is not None and silence.waiting > 0

    def silence_s(self, partition: int) -> float:
        """Seconds for which no command of the partition was answered although one should have been; 0 when all is well."""
        silence = self._silences.get(partition)
        if silence is None:
            return 0.0
        now = self._now_s()
        if not silence.waiting and now - silence.failed_at > FAILURE_COUNTS_S:
            del self._silences[partition]
            return 0.0
        return now - silence.since

    def submit(self, request: Request, on_reply: ReplyCallback) -> None:
        """Send a request.

        Calls `on_reply` once, later, in the event loop.
        Sets `source` and `connection` of the request.
        """
        loop = asyncio.get_running_loop()
        if self._closed:  # `on_reply` may submit the next command of a queue; a closing sender accepts none.
            loop.call_soon(on_reply, Refused(id=request.id, code="unavailable", detail=CLOSED, retry_after_ms=1_000))
            return
        self._ticket += 1
        now = self._now_s()
        partition = partition_of(request.room, self._journal.partitions)
        self._waiting[self._ticket] = _Waiting(now + self._reply_wait_s, request.id, partition, on_reply)
        self._silences.setdefault(partition, _Silence(now)).waiting += 1
        lane = (partition, is_staffs(request))
        batch = self._batches.setdefault(lane, [])
        batch.append(msgspec.structs.replace(request, source=self._source, connection=self._ticket))
        if not self._flush_is_due:
            self._flush_is_due = True
            # A command after a pause goes out at once, because collecting a batch only pays off in a crowd.
            loop.call_later(max(0.0, self._flushed_s + self._batch_wait_s - now), self._flush)
        if len(batch) >= self._batch_commands_max:
            self._send(lane)
        if self._sweeper is None:
            self._sweeper = loop.create_task(self._sweep())

    def deliver(self, command_reply: CommandReply) -> None:
        """Pass a reply of an accepted record to its caller. Ignores replies for other sources."""
        if command_reply.source == self._source:
            self._answer(command_reply.connection, command_reply.reply, heard=True)

    async def drain(self, timeout_s: float) -> bool:
        """Wait at most `timeout_s` until every command is answered; gives whether all are."""
        if self._waiting:
            self._settled.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), timeout_s)
        return not self._waiting

    async def close(self) -> None:
        """Stop. Waiting and later commands are answered `unavailable`."""
        self._closed = True
        self._batches.clear()  # their commands are answered below and never sent
        tasks = [*self._senders, *([self._sweeper] if self._sweeper else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for ticket in list(self._waiting):
            self._refuse(ticket, "unavailable", CLOSED)

    def _flush(self) -> None:
        """Send all lanes together, so that the partitions' records share one commit."""
        self._flush_is_due = False
        self._flushed_s = self._now_s()
        for lane in list(self._batches):
            self._send(lane)

    def _send(self, lane: _Lane) -> None:
        batch = [request for request in self._batches.pop(lane, ()) if self._can_be_written(request)]
        if batch:
            task = asyncio.get_running_loop().create_task(self._append(lane[0], batch))
            self._senders.add(task)
            task.add_done_callback(self._senders.discard)

    async def _append(self, partition: int, batch: list[Request]) -> None:
        try:
            await self._journal.send_commands(partition, batch)
        except JournalFull:
            self._refuse_all(batch, "overloaded", "too many commands are waiting; try again")
        except JournalError as error:
            self._refuse_all(batch, "unavailable", str(error))
        except Exception:
            self._isolated.note("command_batch", partition=partition, commands=len(batch))
            self._refuse_all(batch, "unavailable", "the command could not be handed over; its outcome is unknown, retry with the same id")

    def _can_be_written(self, request: Request) -> bool:
        """Whether the request can be encoded. One that cannot must not fail the others of its batch."""
        try:
            encode(request)
        except Exception:
            self._isolated.note("command_request", room=request.room, user=request.sender.user, command_id=request.id)
            self._refuse(request.connection, "internal_error", "the command cannot be written")
            return False
        return True

    def _refuse_all(self, batch: list[Request], code: str, detail: str) -> None:
        for request in batch:
            self._refuse(request.connection, code, detail)

    def _refuse(self, ticket: int, code: str, detail: str) -> None:
        if waiting := self._waiting.get(ticket):
            retry_after_ms = 0 if code == "internal_error" else 1_000
            self._answer(ticket, Refused(id=waiting.id, code=code, detail=detail, retry_after_ms=retry_after_ms), heard=False)

    def _answer(self, ticket: int, reply: Reply, *, heard: bool) -> None:
        if waiting := self._waiting.pop(ticket, None):
            self._note(waiting.partition, heard)
            try:
                waiting.on_reply(reply)
            except Exception:
                self._isolated.note("command_answer", command_id=waiting.id)
            if not self._waiting:
                self._settled.set()

    def _note(self, partition: int, heard: bool) -> None:
        """Note that one command of the partition stopped waiting: the journal answered it, or it failed here."""
        silence, now = self._silences[partition], self._now_s()
        silence.waiting -= 1
        if not heard:
            silence.failed_at = now
        elif silence.waiting:
            silence.since, silence.failed_at = now, NEVER
        else:
            del self._silences[partition]

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_S)
            now = self._now_s()
            late = []
            for ticket, waiting in self._waiting.items():
                if waiting.deadline > now:
                    break
                late.append(ticket)
            for ticket in late:
                self._refuse(ticket, "unavailable", "no reply in time; the outcome is unknown, retry with the same id")
