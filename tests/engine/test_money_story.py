"""Each command has one outcome, and the journal alone gives the state, whatever users and the platform try and whenever the engine dies.

A real engine on a journal that gives back what it was given as bytes. It is stopped in the middle, also with commands under
way, and another one recovers from the newest snapshot and what came after it.
"""

from __future__ import annotations

import asyncio
import random
from asyncio import Future
from contextlib import aclosing
from itertools import pairwise
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from liveroom.accounting.ledger import Ledger
from liveroom.config.schema import Config, EngineConfig, JournalConfig
from liveroom.engine.archive import restore
from liveroom.engine.engine import Engine
from liveroom.engine.partition import PartitionState
from liveroom.features.showcase.messages import AddProduct
from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.memory import MemoryJournal
from liveroom.protocol.codec import decode_entry, encode
from liveroom.protocol.commands import Command
from liveroom.protocol.frames import Accepted, Refused
from liveroom.protocol.records import CommandReply, Entry, Record, Sender
from liveroom.rooms.room import encode_state
from liveroom.telemetry.metrics import Metrics
from tests.engine.conftest import WAIT_S, Client, Clock, leaping, open_demo, outcomes_of
from tests.features.play import SHIRT
from tests.ledgers import Things, random_command

CONFIG = Config(
    journal=JournalConfig(kind="memory", partitions=1),
    engine=EngineConfig(takeover_retry_ms=10, snapshot_records_max=10, snapshot_interval_ms=3_600_000, dedupe_window_ms=86_400_000),
)
ROOM = "demo"


class BytesJournal(MemoryJournal):
    """Gives back what it was given after a way through bytes, as a file does."""

    def append(self, partition: int, entry: Entry) -> Future[int]:
        return super().append(partition, decode_entry(encode(entry)))


class Money(RuleBasedStateMachine):
    """Traders, an engine, and the end of it again and again."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.Runner()
        self.loop.run(self._begin())

    async def _begin(self) -> None:
        self.clock = Clock()
        self.journal = BytesJournal(CONFIG.journal)
        self.client = Client(self.journal)
        self.things = Things()
        self.said: dict[str, tuple[Sender, Command]] = {}
        self.told: dict[str, Accepted | Refused] = {}
        await self._start()
        await open_demo(self.client, ROOM)
        await self.client.accepted(ROOM, AddProduct(SHIRT))

    async def _start(self) -> None:
        self.engine = Engine(self.journal, CONFIG, name="engine", metrics=Metrics(), clock=leaping(self.clock), rng=random.Random(1))
        await self.engine.start()
        async with asyncio.timeout(WAIT_S):
            while not self.engine.ready:
                await asyncio.sleep(0)

    @rule(chance=st.randoms(use_true_random=True), count=st.integers(5, 60))
    def trade(self, chance: Random, count: int) -> None:
        """Many at once, some of which repeat what was said before."""
        self.loop.run(self._trade(self._random_ids(chance, count)))

    @rule(chance=st.randoms(use_true_random=True), count=st.integers(5, 30), turns=st.integers(0, 12))
    def die_while_they_trade(self, chance: Random, count: int, turns: int) -> None:
        """Some of their commands are decided, some written, some neither."""
        self.loop.run(self._die(self._random_ids(chance, count), turns))

    @rule(duration_ms=st.sampled_from([1, 900, 1_000, 20_000, 200_000, -5_000, -5_000]))
    def time_passes(self, duration_ms: int) -> None:
        """Also backwards: the machine's clock was set."""
        self.clock.now_ms += duration_ms

    @rule()
    def restart(self) -> None:
        """A replay gives the decided state, from the journal's beginning and from the newest snapshot."""
        self.loop.run(self._restart())

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            try:
                self.restart()
            finally:
                self.loop.run(self._end())
                self.loop.close()

    def _random_ids(self, chance: Random, count: int) -> list[str]:
        command_ids = []
        for _ in range(count):
            if self.said and chance.random() < 0.2:
                command_ids.append(chance.choice(list(self.said)))
            else:
                command_id = f"c{len(self.said)}"
                self.said[command_id] = random_command(chance, self.things, len(self.said))
                command_ids.append(command_id)
        return command_ids

    async def _trade(self, command_ids: list[str]) -> None:
        replies = await asyncio.gather(
            *(self.client.send(ROOM, self.said[command_id][1], self.said[command_id][0], command_id) for command_id in command_ids)
        )
        for command_id, command_reply in zip(command_ids, replies, strict=True):
            self._note(command_id, command_reply)

    def _note(self, command_id: str, command_reply: CommandReply) -> None:
        """One outcome a command, however often it is asked for."""
        assert self.told.setdefault(command_id, command_reply.reply) == command_reply.reply
        if isinstance(command_reply.reply, Accepted):
            self.things.note(command_reply.reply.result)

    async def _die(self, command_ids: list[str], turns: int) -> None:
        trading = asyncio.create_task(self._trade(command_ids))
        for _ in range(turns):
            await asyncio.sleep(0)
        await self._restart()
        await trading

    async def _restart(self) -> None:
        live = self.engine._owners[0]._state
        await self.engine.stop()
        await asyncio.sleep(0)  # records in flight have reached the journal
        await self._check(live)
        await self._start()

    async def _check(self, live: PartitionState) -> None:
        whole = await self._fold(PartitionState(CONFIG.engine), 0)
        archive = await restore(self.journal, 0, CONFIG.engine, CONFIG.rooms)
        assert archive.snapshots.offset > 0, "the first one is taken at once"
        await archive.load(list(archive.state.index.keys() - archive.state.rooms.keys()), archive.state.time_ms)
        tail = await self._fold(archive.state, archive.snapshots.offset)
        assert _encoded(live) == _encoded(whole) == _encoded(tail)
        totals = (await self._accounts()).totals()
        assert totals.granted_fen + totals.remaining_fen + totals.refunded_fen == totals.total_fen
        assert totals.available + totals.held + totals.sold == totals.stock

    async def _fold(self, state: PartitionState, offset: int) -> PartitionState:
        """The state after all that is in the journal from `offset` on."""
        for record in await self._accepted(state.acceptance, offset):
            state.fold(record)
        return state

    async def _accounts(self) -> Ledger:
        ledger = Ledger()
        accepted = await self._accepted(Acceptance(), 0)
        assert all(before.time_ms <= after.time_ms for before, after in pairwise(accepted)), "time never goes back"
        for record in accepted:
            for span in record.rooms.values():
                for seq, event in enumerate(span.events, span.from_):
                    ledger.apply(event, seq, record.time_ms)
        return ledger

    async def _accepted(self, acceptance: Acceptance, offset: int) -> list[Record]:
        records = []
        end = await self.journal.events_end(0)
        async with aclosing(self.journal.read_events(0, offset)) as entries:
            while offset < end:
                stored = await anext(entries)
                offset = stored.offset + 1
                if acceptance.judge(stored.offset, stored.entry) is Verdict.accepted:
                    assert isinstance(stored.entry, Record)
                    records.append(stored.entry)
        return records

    async def _end(self) -> None:
        await self.client.close()
        await self.engine.stop()
        await self.journal.close()


def _encoded(state: PartitionState) -> tuple[int, dict[str, bytes], list[bytes]]:
    return (
        state.time_ms,
        {room: encode_state(kept) for room, kept in state.rooms.items()},
        [encode(outcome) for outcome in outcomes_of(state.outcomes)],
    )


TestMoney = Money.TestCase
TestMoney.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
