"""A journal with an engine on it, and a client that sends commands and waits for their replies."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from liveroom.config.schema import Config
from liveroom.engine.clock import SteadyClock
from liveroom.engine.engine import Engine
from liveroom.features.lifecycle.messages import OpenRoom
from liveroom.journal.base import Journal
from liveroom.journal.follower import follow, newest_start
from liveroom.journal.idempotency import IdempotencyStore, Outcome
from liveroom.journal.partition import partition_of
from liveroom.messages.base import CommandBase
from liveroom.messages.fields import Role
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Accepted, Refused
from liveroom.protocol.records import CommandReply, Record, Request, Sender
from liveroom.telemetry.metrics import Metrics

ANCHOR = Sender("anna", "Anna", Role.anchor)
VIEWER = Sender("vera", "Vera", Role.viewer)
GATEWAY = Sender("gateway", "gateway", backend=True)
WAIT_S = 10


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


def leaping(clock: Callable[[], int], passed_ms: Callable[[], int] | None = None) -> SteadyClock:
    """A clock that is trusted however far it leaps, unless a test sets the elapsed time."""
    return SteadyClock(clock, passed_ms or itertools.count(step=10**15).__next__)


_VOICES = itertools.count(1)


class Client:
    """Sends commands to the journal and collects what readers accept."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.metrics = Metrics()
        self.records: dict[int, list[Record]] = {p: [] for p in range(journal.partitions)}
        self.skipped = 0
        self._waiting: dict[int, asyncio.Future[CommandReply]] = {}
        self._tickets = itertools.count(1)
        self._source = f"client-{next(_VOICES)}"  # the journal may hold replies to an earlier client's tickets
        self._changed = asyncio.Condition()
        self._tasks = [asyncio.create_task(self._follow(p)) for p in range(journal.partitions)]

    async def _follow(self, partition: int) -> None:
        async for item in follow(self.journal, partition, await newest_start(self.journal, partition), self._skip):
            self.records[partition].append(item.record)
            for command_reply in item.record.replies:
                if command_reply.source == self._source and command_reply.connection in self._waiting:
                    self._waiting.pop(command_reply.connection).set_result(command_reply)
            async with self._changed:
                self._changed.notify_all()

    def _skip(self, _: object) -> None:
        self.skipped += 1

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def send(self, room: str, command: CommandBase, sender: Sender = ANCHOR, command_id: str = "") -> CommandReply:
        """Send one command and wait for its reply."""
        ticket = next(self._tickets)
        future = self._waiting[ticket] = asyncio.get_running_loop().create_future()
        request = Request(command_id or f"c{ticket}", room, sender, command, self._source, ticket)
        await self.journal.send_commands(partition_of(room, self.journal.partitions), [request])
        return await asyncio.wait_for(future, WAIT_S)

    async def accepted(self, room: str, command: CommandBase, sender: Sender = ANCHOR, command_id: str = "") -> Accepted:
        """Send one command that must be accepted."""
        reply = (await self.send(room, command, sender, command_id)).reply
        assert isinstance(reply, Accepted), reply
        return reply

    async def refused(self, room: str, command: CommandBase, sender: Sender = ANCHOR, command_id: str = "") -> Refused:
        """Send one command that must be refused."""
        reply = (await self.send(room, command, sender, command_id)).reply
        assert isinstance(reply, Refused), reply
        return reply

    def events(self, room: str) -> list[tuple[int, Event]]:
        """The room's accepted events with their seqs."""
        found: list[tuple[int, Event]] = []
        for record in self.records[partition_of(room, self.journal.partitions)]:
            if span := record.rooms.get(room):
                found += list(enumerate(span.events, span.from_))
        return found

    async def until(self, condition: object) -> None:
        """Wait until `condition()` holds after some record."""
        assert callable(condition)
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(condition)


@asynccontextmanager
async def running_engine(
    journal: Journal, config: Config, clock: Clock, *, name: str = "engine-1", seed: int = 1, passed_ms: Callable[[], int] | None = None
) -> AsyncIterator[Engine]:
    """An engine that is ready and is stopped at the end. Without `passed_ms` the clock may leap."""
    engine = Engine(journal, config, name=name, metrics=Metrics(), clock=leaping(clock, passed_ms), rng=random.Random(seed))
    await engine.start()
    try:
        async with asyncio.timeout(WAIT_S):
            while not engine.ready:
                await asyncio.sleep(0.005)
        yield engine
    finally:
        await engine.stop()


def outcomes_of(outcomes: IdempotencyStore) -> list[Outcome]:
    """All that is remembered: what moved no money, then what did, each oldest first."""
    return [
        Outcome(command_reply.room, command_reply.user, time_ms, command_reply.digest, command_reply.reply, command_reply.money_role)
        for money in (False, True)
        for time_ms, replies in outcomes.since(outcomes.span(money=money)[0], money=money)
        for command_reply in replies
    ]


async def open_demo(client: Client, room: str = "demo") -> None:
    """Open a room."""
    await client.accepted(room, OpenRoom("Evening show"))
