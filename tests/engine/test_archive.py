"""Closed rooms leave memory and come back whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from liveroom.config.schema import Config, EngineConfig, JournalConfig
from liveroom.engine import archive as archive_module
from liveroom.engine.archive import restore
from liveroom.engine.engine import Engine
from liveroom.engine.owner import Owner
from liveroom.engine.snapshots import PartitionSnapshots
from liveroom.features.audience.messages import ReportAudience
from liveroom.features.chat.messages import SendChat
from liveroom.features.coupon.messages import CouponTerms, IssueCoupon
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom, RequestKeyframe, SetAnnouncement
from liveroom.features.moderation.messages import BanUser, SetBannedWords
from liveroom.journal.base import SnapshotPart
from liveroom.journal.kafka.journal import KafkaJournal
from liveroom.journal.memory import MemoryJournal
from liveroom.journal.room_index import decode_entry
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Refused
from liveroom.protocol.records import Sender
from liveroom.rooms.room import encode_state
from liveroom.telemetry.metrics import Metrics
from tests.broker import kafka_config
from tests.engine.conftest import GATEWAY, VIEWER, WAIT_S, Client, Clock, open_demo, running_engine

AFTER_MS = 60_000
CONFIG = Config(
    journal=JournalConfig(kind="memory", partitions=1, snapshots_kept=2),
    engine=EngineConfig(takeover_retry_ms=10, snapshot_records_max=1_000_000, snapshot_interval_ms=10_000, archive_after_ms=AFTER_MS),
)


def owner_of(engine: Engine) -> Owner:
    return engine._owners[0]


@asynccontextmanager
async def serving(config: Config = CONFIG) -> AsyncIterator[tuple[MemoryJournal, Client, Clock, Engine]]:
    """A journal, an engine on it, a client."""
    journal, clock = MemoryJournal(config.journal), Clock()
    client = Client(journal)
    async with running_engine(journal, config, clock) as engine:
        yield journal, client, clock, engine
    await client.close()
    await journal.close()


async def until(condition: Any) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.002)


async def archived(client: Client, clock: Clock, engine: Engine, *rooms: str) -> None:
    """Let time pass until rooms are out of memory."""
    async with asyncio.timeout(WAIT_S):
        while any(room in owner_of(engine)._state.rooms for room in rooms):
            clock.now_ms += CONFIG.engine.snapshot_interval_ms
            await client.send("clockwork", SetAnnouncement(f"at {clock.now_ms}"))  # a step, whatever comes of it


async def used(client: Client, room: str) -> None:
    """A room with something of everything in it, closed."""
    await open_demo(client, room)
    await client.accepted(room, SetAnnouncement("Welcome"))
    await client.accepted(room, SetBannedWords(("spam",)))
    await client.accepted(room, SendChat("hello"), VIEWER)
    await client.accepted(room, BanUser("mallory", 365 * 86_400_000))
    await client.accepted(room, CloseRoom())


async def test_a_room_that_was_closed_for_long_leaves_memory_and_comes_back_whole() -> None:
    """Its state is the same byte for byte; opened again it has its stream id, its seq, its lists and its counts."""
    async with serving() as (_, client, clock, engine):
        await used(client, "demo")
        state = owner_of(engine)._state
        before = encode_state(state.rooms["demo"])
        stream_id, seq = state.rooms["demo"].stream_id, state.rooms["demo"].seq
        await archived(client, clock, engine, "demo")
        assert owner_of(engine).rooms_archived_count == 1
        await client.accepted("demo", RequestKeyframe(), GATEWAY)
        assert encode_state(state.rooms["demo"]) == before
        await archived(client, clock, engine, "demo")
        reply = await client.accepted("demo", OpenRoom("The second evening"))
        assert (reply.result["stream_id"], reply.seq) == (stream_id, seq + 1)
        assert (await client.refused("demo", SendChat("hello"), Sender("mallory", "Mallory"))).code == "banned"
        assert (await client.refused("demo", SendChat("buy spam"), Sender("bob", "Bob"))).code == "banned_words"
        assert [seq for seq, _ in client.events("demo")] == list(range(reply.seq))


async def test_rooms_that_are_open_or_wait_for_a_time_stay() -> None:
    """An expiring count and a valid coupon: timers fire at their time, then the room rests."""
    async with serving() as (_, client, clock, engine):
        for room in ("open", "watched", "coupon"):
            await open_demo(client, room)
        await client.accepted("coupon", IssueCoupon("Less", CouponTerms(5), 3, claimable_ms=1_000, valid_ms=20 * AFTER_MS))
        await client.accepted("watched", ReportAudience("gw", 3, (1, 2, 3)), GATEWAY)
        for room in ("watched", "coupon"):
            await client.accepted(room, CloseRoom())
        await archived(client, clock, engine, "watched")
        assert set(owner_of(engine)._state.rooms) == {"open", "coupon"}
        await archived(client, clock, engine, "coupon")
        assert type(client.events("coupon")[-1][1]).__name__ == "CouponExpired"


async def test_memory_holds_as_many_rooms_as_it_may_however_many_were_closed() -> None:
    """`rooms_max` counts rooms in memory: closed ones make place for those that open, and their commands go on to work."""
    config = replace(CONFIG, engine=replace(CONFIG.engine, rooms_max=5, archive_after_ms=86_400_000))
    async with serving(config) as (_, client, _, engine):
        for number in range(40):
            room = f"room-{number}"
            async with asyncio.timeout(WAIT_S):
                while isinstance((await client.send(room, OpenRoom("Evening"))).reply, Refused):
                    await asyncio.sleep(0.002)
            if number >= 3:
                await client.accepted(room, CloseRoom())
            assert len(owner_of(engine)._state.rooms) <= 5
        for number in range(3, 40):
            await client.accepted(f"room-{number}", RequestKeyframe(), GATEWAY)
            assert len(owner_of(engine)._state.rooms) <= 5 + 1


async def test_open_rooms_are_never_put_out() -> None:
    """When all of memory is open rooms the next one is refused, new or old, until one closes; then the same id opens it."""
    config = replace(CONFIG, engine=replace(CONFIG.engine, rooms_max=3))
    async with serving(config) as (_, client, clock, engine):
        await used(client, "old")
        await archived(client, clock, engine, "old")
        for number in range(3):
            await open_demo(client, f"room-{number}")
        for room in ("one-more", "old"):
            refused = await client.refused(room, OpenRoom("Evening"), command_id="open")
            assert (refused.code, refused.retry_after_ms) == ("overloaded", 1_000)
        await client.accepted("room-0", CloseRoom())
        async with asyncio.timeout(WAIT_S):
            while isinstance((await client.send("old", OpenRoom("Evening"), command_id="open")).reply, Refused):
                await asyncio.sleep(0.002)
        assert set(owner_of(engine)._state.rooms) == {"room-1", "room-2", "old"}


class CountingJournal(MemoryJournal):
    """Counts simultaneous reads."""

    most = 0

    async def get_parts(self, partition: int, parts: Any) -> list[bytes | None]:
        self.most = max(self.most, len(parts))
        return await super().get_parts(partition, parts)


async def test_asking_for_many_archived_rooms_fills_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many are brought back for a step, commands for others are refused and may be sent again, and what was only looked at goes first."""
    monkeypatch.setattr(archive_module, "BROUGHT_BACK_PER_STEP_MAX", 4)
    monkeypatch.setattr(archive_module, "BROUGHT_BACK_BYTES_MAX", 5_000)
    journal, clock = CountingJournal(CONFIG.journal), Clock()
    client = Client(journal)
    rooms = [f"room-{number}" for number in range(30)]
    async with running_engine(journal, CONFIG, clock) as engine:
        await open_demo(client, "live")
        for room in rooms:
            await used(client, room)
        await archived(client, clock, engine, *rooms)
        journal.most = 0
        replies = await asyncio.gather(*(client.send(room, RequestKeyframe(), GATEWAY) for room in rooms))
        refused = [command_reply.reply.code for command_reply in replies if isinstance(command_reply.reply, Refused)]
        assert set(refused) == {"overloaded"}
        assert journal.most <= 4
        for room in rooms:
            async with asyncio.timeout(WAIT_S):
                while isinstance((await client.send(room, RequestKeyframe(), GATEWAY)).reply, Refused):
                    await asyncio.sleep(0.002)
        await client.accepted("live", SetAnnouncement("and the others go on"))
        await until(lambda: owner_of(engine)._archive._brought_back_bytes <= 5_000)
        assert 1 < len(owner_of(engine)._state.rooms) < 15
    await client.close()
    await journal.close()


async def test_rooms_come_back_from_kafka() -> None:
    """A room comes back whole, as with any journal: for another engine, after many snapshots, and if only the log dropped a part."""
    kafka = kafka_config(CONFIG.journal)
    config = replace(kafka, engine=CONFIG.engine)
    clock = Clock()
    for life in range(3):
        journal = await KafkaJournal.open(config, Metrics(), f"life-{life}")
        client = Client(journal)
        async with running_engine(journal, config, clock, name=f"life-{life}") as engine:
            if life == 0:
                await open_demo(client, "live")
                for number in range(3):
                    await used(client, f"room-{number}")
                before = {room: encode_state(state) for room, state in owner_of(engine)._state.rooms.items() if room != "live"}
            await archived(client, clock, engine, *before)
            if life == 2:
                entry = decode_entry(owner_of(engine)._state.index["room-1"])
                owner_of(engine)._state.index["room-1"] = encode(replace(entry, part=SnapshotPart(entry.part.place + 1, entry.part.hash)))
            for room, state in before.items():
                async with asyncio.timeout(WAIT_S):
                    while isinstance((await client.send(room, RequestKeyframe(), GATEWAY)).reply, Refused):
                        await asyncio.sleep(0.01)
                assert encode_state(owner_of(engine)._state.rooms[room]) == state
            await archived(client, clock, engine, *before)
        await client.close()
        await journal.close()


class BytesJournal(MemoryJournal):
    """Notes with each record what brought-back rooms take in memory, and how large one load of parts was at most."""

    engine: Engine | None = None
    most_bytes = 0
    load_bytes = 0

    async def get_parts(self, partition: int, parts: Any) -> list[bytes | None]:
        bodies = await super().get_parts(partition, parts)
        self.load_bytes = max(self.load_bytes, sum(len(body) for body in bodies if body is not None))
        return bodies

    def append(self, partition: int, entry: Any) -> asyncio.Future[int]:
        if self.engine is not None:
            self.most_bytes = max(self.most_bytes, owner_of(self.engine)._archive._brought_back_bytes)
        return super().append(partition, entry)


async def test_brought_back_rooms_stay_within_their_bytes_while_commands_keep_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that wait all the time, each for another archived room, hold no more in memory than the limit and one load."""
    limit = 5_000
    monkeypatch.setattr(archive_module, "BROUGHT_BACK_PER_STEP_MAX", 1)
    monkeypatch.setattr(archive_module, "BROUGHT_BACK_BYTES_MAX", limit)
    config = replace(CONFIG, engine=replace(CONFIG.engine, step_commands_max=1))
    journal, clock = BytesJournal(config.journal), Clock()
    client = Client(journal)
    rooms = [f"room-{number}" for number in range(40)]
    async with running_engine(journal, config, clock) as engine:
        await open_demo(client, "live")
        for room in rooms:
            await used(client, room)
        await archived(client, clock, engine, *rooms)
        journal.engine, journal.load_bytes = engine, 0
        replies = await asyncio.gather(*(client.send(room, RequestKeyframe(), GATEWAY) for room in rooms))
        assert sum(not isinstance(command_reply.reply, Refused) for command_reply in replies) > 30
        assert 0 < journal.most_bytes <= limit + journal.load_bytes
        journal.engine = None
    await client.close()
    await journal.close()


async def snapshot_taken(engine: Engine) -> None:
    """Let the engine take a snapshot, and wait until it holds all that happened."""
    owner = owner_of(engine)
    owner._snapshot_due_ms = 0
    owner._wake.set()
    await until(lambda: not owner._state.changed and owner._saving is None)


LONG = replace(CONFIG.engine, snapshot_interval_ms=3_600_000, archive_after_ms=86_400_000)


async def test_full_memory_of_resting_rooms_costs_a_step_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With exactly `rooms_max` rooms in memory a step looks at the rooms of its commands, not at all that rest."""
    count = 200
    async with serving(replace(CONFIG, engine=replace(LONG, rooms_max=count))) as (_, client, _, engine):
        await open_demo(client, "live")
        for number in range(count - 1):
            await open_demo(client, f"room-{number}")
            await client.accepted(f"room-{number}", CloseRoom())
        await snapshot_taken(engine)
        owner = owner_of(engine)
        assert owner.rooms_count == count
        has, looks = PartitionSnapshots.has, 0

        def counted(snapshots: PartitionSnapshots, room: str) -> bool:
            nonlocal looks
            looks += 1
            return has(snapshots, room)

        monkeypatch.setattr(PartitionSnapshots, "has", counted)
        await client.accepted("live", SetAnnouncement("Welcome"))
        assert 0 < looks < 20
        assert owner.rooms_count == count


async def test_a_room_that_waits_for_a_snapshot_keeps_no_other_in_memory() -> None:
    """The first resting room cannot leave while another room is set aside, since there is no snapshot then; the next one leaves instead."""
    async with serving(replace(CONFIG, engine=replace(LONG, rooms_max=3))) as (_, client, clock, engine):
        for room in ("first", "second"):
            await open_demo(client, room)
            await client.accepted(room, CloseRoom())
        await snapshot_taken(engine)
        owner = owner_of(engine)
        owner._state.set_aside("broken")
        await client.accepted("first", BanUser("mallory", 365 * 86_400_000))
        clock.now_ms += 1_000
        await client.accepted("second", RequestKeyframe(), GATEWAY)
        await open_demo(client, "third")
        await open_demo(client, "fourth")
        assert set(owner._state.rooms) == {"first", "third", "fourth"}
        clock.now_ms += 2 * LONG.archive_after_ms
        await client.accepted("third", SetAnnouncement("Welcome"))
        assert "first" in owner._state.rooms
        assert (await client.refused("fifth", OpenRoom("Evening"))).code == "overloaded"


async def test_rooms_of_one_step_make_no_place_for_each_other() -> None:
    """A resting room that the same step opens again stays; the one behind it leaves for a new room."""
    async with serving(replace(CONFIG, engine=replace(LONG, rooms_max=2))) as (_, client, clock, engine):
        for room in ("first", "second"):
            await open_demo(client, room)
            await client.accepted(room, CloseRoom())
            clock.now_ms += 1_000
        await snapshot_taken(engine)
        replies = await asyncio.gather(*(client.send(room, OpenRoom("Evening")) for room in ("first", "new", "newer")))
        assert [isinstance(command_reply.reply, Refused) for command_reply in replies] == [False, False, True]
        assert set(owner_of(engine)._state.rooms) == {"first", "new"}


async def test_the_archived_are_those_of_the_index_that_are_not_in_memory() -> None:
    """A room whose state is being derived again and that no snapshot has yet takes nothing from their number."""
    async with serving(replace(CONFIG, engine=LONG)) as (_, client, _, engine):
        await open_demo(client, "saved")
        await snapshot_taken(engine)
        await open_demo(client, "new")
        owner = owner_of(engine)
        for room in ("new", "saved"):
            owner._state.put_away(room)
            assert owner.rooms_archived_count == 0


async def test_many_rooms_leave_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rooms are due at once, one turn archives so many, and the next turns the others."""
    monkeypatch.setattr(archive_module, "ARCHIVED_PER_TURN_MAX", 2)
    async with serving(replace(CONFIG, engine=LONG)) as (_, client, _, engine):
        for number in range(5):
            await open_demo(client, f"room-{number}")
            await client.accepted(f"room-{number}", CloseRoom())
        await snapshot_taken(engine)
        archive = owner_of(engine)._archive
        counts = []
        while archive.next_ms() is not None:
            archive.tidy(2**62)
            counts.append(len(archive.state.rooms))
        assert counts == [3, 1, 0]


class AwayJournal(MemoryJournal):
    """Its parts can be away."""

    away = False

    async def _get_parts(self, partition: int, places: Any) -> list[bytes | None]:
        return [None] * len(places) if self.away else await super()._get_parts(partition, places)


async def test_a_room_whose_part_is_gone_is_derived_again() -> None:
    """Its commands are refused as `overloaded` until the log was read; nothing of it is lost."""
    journal, clock = AwayJournal(CONFIG.journal), Clock()
    client = Client(journal)
    async with running_engine(journal, CONFIG, clock) as engine:
        await used(client, "demo")
        before = encode_state(owner_of(engine)._state.rooms["demo"])
        await archived(client, clock, engine, "demo")
        journal.away = True
        async with asyncio.timeout(WAIT_S):
            while isinstance(reply := (await client.send("demo", RequestKeyframe(), GATEWAY)).reply, Refused):
                assert reply.code == "overloaded"
                await asyncio.sleep(0.002)
        assert encode_state(owner_of(engine)._state.rooms["demo"]) == before
    await client.close()
    await journal.close()


async def test_an_engine_starts_with_the_rooms_that_do_not_rest() -> None:
    """Thousands of closed rooms cost a start their index alone."""
    async with serving() as (journal, client, clock, engine):
        await open_demo(client, "open")
        for number in range(20):
            await used(client, f"room-{number}")
        await archived(client, clock, engine, *(f"room-{number}" for number in range(20)))
        archive = await restore(journal, 0, CONFIG.engine, CONFIG.rooms)
        assert set(archive.state.rooms) == {"open"}
        assert archive.archived_count == 20
