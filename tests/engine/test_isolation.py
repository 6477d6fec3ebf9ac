"""One command, timer or room that fails stops no partition: it is set aside, its room is as before, and every other one goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import liveroom.engine.owner
import liveroom.engine.partition
import liveroom.engine.rebuild
import liveroom.engine.snapshots
import liveroom.engine.step
import liveroom.rooms.room
from liveroom.config.schema import Config, EngineConfig, JournalConfig
from liveroom.engine.engine import Engine
from liveroom.engine.owner import TIMER_AGAIN_MS, Owner
from liveroom.features.audience.messages import AudienceCounted, ReportAudience
from liveroom.features.chat.messages import SendChat
from liveroom.features.decision import Decided
from liveroom.features.lifecycle.messages import AnnouncementSet, OpenRoom, SetAnnouncement
from liveroom.features.likes.state import change
from liveroom.journal.base import DeadLetter, Journal
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.protocol.frames import Accepted, Refused
from liveroom.protocol.records import Request
from liveroom.rooms.room import encode_state
from liveroom.telemetry.metrics import Metrics
from tests.engine.conftest import ANCHOR, GATEWAY, VIEWER, WAIT_S, Client, Clock, open_demo, running_engine
from tests.journal.entries import newest

CONFIG = Config(
    journal=JournalConfig(kind="sqlite", partitions=1),
    engine=EngineConfig(takeover_retry_ms=10, snapshot_records_max=1_000_000, snapshot_interval_ms=3_600_000),
)


class LettersKept(SqliteJournal):
    """Remembers the dead letters."""

    letters: list[DeadLetter]

    async def write_dead_letter(self, letter: DeadLetter) -> None:
        self.letters.append(letter)
        await super().write_dead_letter(letter)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[LettersKept]:
    opened = await LettersKept.open(tmp_path, CONFIG.journal, Metrics())
    assert isinstance(opened, LettersKept)
    opened.letters = []
    yield opened
    await opened.close()


@pytest.fixture
async def client(journal: Journal) -> AsyncIterator[Client]:
    made = Client(journal)
    yield made
    await made.close()


def owner_of(engine: Engine) -> Owner:
    return engine._owners[0]


def states(engine: Engine) -> dict[str, bytes]:
    return {room: encode_state(state) for room, state in owner_of(engine)._state.rooms.items()}


def isolated(engine: Engine, place: str) -> float:
    return engine._metrics.registry.get_sample_value("liveroom_errors_isolated_total", {"place": place}) or 0.0


async def until_accepted(client: Client, room: str, text: str, command_id: str) -> Accepted:
    """Repeat a command under its id for as long as its room is being derived again."""
    async with asyncio.timeout(WAIT_S):
        while True:
            reply = (await client.send(room, SetAnnouncement(text), ANCHOR, command_id)).reply
            if isinstance(reply, Accepted):
                return reply
            assert reply.code == "overloaded", reply


def folds_of(text: str) -> Any:
    """A fold that changes the room and then raises for an announcement of `text`."""
    real = liveroom.rooms.room.evolve_all

    def broken(state, events, seq, time_ms):  # type: ignore[no-untyped-def]
        if any(isinstance(event, AnnouncementSet) and event.text == text for event in events):
            state.title, change(state).total = "half changed", 77
            raise ZeroDivisionError("a fold divides by nothing")
        return real(state, events, seq, time_ms)

    return broken


async def test_a_command_whose_events_cannot_be_folded_is_set_aside(journal: LettersKept, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sender is refused and a letter is kept; the half-changed room is derived again from the log, and other rooms never wait."""
    monkeypatch.setattr(liveroom.engine.step, "evolve_all", folds_of("broken"))
    async with running_engine(journal, CONFIG, Clock()) as engine:
        for room in ("demo", "beside"):
            await open_demo(client, room)
            await client.accepted(room, SetAnnouncement("before"))
        before = states(engine)
        refused = await client.refused("demo", SetAnnouncement("broken"), ANCHOR, "c-broken")
        assert refused.code == "internal_error"
        await client.accepted("beside", SetAnnouncement("no wait"))
        await until_accepted(client, "demo", "after", "c-after")
        assert not engine.stopped_partitions
        again = await client.send("demo", SetAnnouncement("broken"), ANCHOR, "c-broken")
        assert (again.repeated, again.reply) == (True, refused)
        assert [e.text for _, e in client.events("demo") if isinstance(e, AnnouncementSet)] == ["before", "after"]
        assert [(letter.reason, "broken" in letter.payload) for letter in journal.letters] == [("ZeroDivisionError: a fold divides by nothing", True)]
        assert isolated(engine, "engine_command") == 1
        live = states(engine)
    async with running_engine(journal, CONFIG, Clock()) as engine:
        assert states(engine) == live
        assert before.keys() == live.keys()


async def test_a_room_is_as_before_the_command_that_could_not_be_folded(
    journal: LettersKept, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte, also when the same step holds other events of the room."""
    monkeypatch.setattr(liveroom.engine.step, "evolve_all", folds_of("broken"))
    async with running_engine(journal, CONFIG, Clock()) as engine:
        await open_demo(client)
        requests = [Request(f"b{n}", "demo", ANCHOR, SetAnnouncement(text), "batch", n) for n, text in enumerate(("one", "two", "broken", "three"))]
        await journal.send_commands(0, requests)
        await client.until(lambda: any(len(record.replies) == 4 for record in client.records[0]))
        (record,) = [record for record in client.records[0] if len(record.replies) == 4]
        codes = [command_reply.reply.code if isinstance(command_reply.reply, Refused) else "" for command_reply in record.replies]
        assert codes == ["", "", "internal_error", "overloaded"]
        async with asyncio.timeout(WAIT_S):
            while "demo" not in owner_of(engine)._state.rooms:
                await asyncio.sleep(0.005)
        live = states(engine)
    async with running_engine(journal, CONFIG, Clock()) as engine:
        assert states(engine) == live
    assert b"half changed" not in live["demo"]


async def test_a_command_whose_events_cannot_be_written_is_set_aside(journal: LettersKept, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its own room is rolled back, and that room's other commands happen when they are sent again under their ids."""
    real = liveroom.rooms.room.decide

    def half_a_pair(state, request, now_ms, rng, rules):  # type: ignore[no-untyped-def]
        decision = real(state, request, now_ms, rng, rules)
        if getattr(request.command, "text", "") == "broken":
            return Decided((AnnouncementSet("broken \ud83d"),))
        return decision

    monkeypatch.setattr(liveroom.engine.step, "decide", half_a_pair)
    async with running_engine(journal, CONFIG, Clock()) as engine:
        for room in ("demo", "beside"):
            await open_demo(client, room)
        said = [("demo", "one"), ("beside", "two"), ("demo", "broken"), ("demo", "three")]
        requests = [Request(f"b{n}", room, ANCHOR, SetAnnouncement(text), "batch", n) for n, (room, text) in enumerate(said)]
        await journal.send_commands(0, requests)
        await client.until(lambda: any(len(record.replies) == 4 for record in client.records[0]))
        (record,) = [record for record in client.records[0] if len(record.replies) == 4]
        codes = [command_reply.reply.code if isinstance(command_reply.reply, Refused) else "" for command_reply in record.replies]
        assert codes == ["overloaded", "", "internal_error", "overloaded"]
        await until_accepted(client, "demo", "one", "b0")
        await client.accepted("demo", SetAnnouncement("three"), ANCHOR, "b3")
        assert [e.text for _, e in client.events("demo") if isinstance(e, AnnouncementSet)] == ["one", "three"]
        (letter,) = journal.letters
        assert letter.reason.startswith("cannot be encoded: UnicodeEncodeError")
        assert not engine.stopped_partitions
        live = states(engine)
    monkeypatch.undo()
    async with running_engine(journal, CONFIG, Clock()) as engine:
        assert states(engine) == live


@pytest.mark.parametrize("how", ["folded", "written"])
async def test_a_room_that_cannot_be_opened_does_not_exist(how: str, journal: LettersKept, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failure in its first event no snapshot looks for the room, and it can be opened."""
    decides, folds, broken = liveroom.rooms.room.decide, liveroom.rooms.room.evolve_all, {"demo"}

    def half_a_pair(state, request, now_ms, rng, rules):  # type: ignore[no-untyped-def]
        decision = decides(state, request, now_ms, rng, rules)
        if request.room in broken and how == "written" and isinstance(decision, Decided):
            return Decided(tuple(msgspec.structs.replace(event, title="\ud83d") for event in decision.events))
        return decision

    def once(state, events, seq, time_ms):  # type: ignore[no-untyped-def]
        if state is None and events[0].title == "Evening show" and broken and how == "folded":
            raise ZeroDivisionError("a bug")
        return folds(state, events, seq, time_ms)

    monkeypatch.setattr(liveroom.engine.step, "decide", half_a_pair)
    monkeypatch.setattr(liveroom.engine.step, "evolve_all", once)
    snapshots = msgspec.structs.replace(CONFIG, engine=EngineConfig(snapshot_records_max=10, snapshot_interval_ms=1_000))
    async with running_engine(journal, snapshots, Clock()) as engine:
        await client.accepted("beside", OpenRoom("Beside"))
        assert (await client.refused("demo", OpenRoom("Evening show"))).code == "internal_error"
        for n in range(30):
            await client.accepted("beside", SetAnnouncement(f"number {n}"))
        async with asyncio.timeout(WAIT_S):
            while not await journal.load_snapshots(0):
                await asyncio.sleep(0.005)
        broken.clear()
        await open_demo(client)
        for n in range(30):
            await client.accepted("demo", SetAnnouncement(f"number {n}"))
        assert not engine.stopped_partitions
        live = states(engine)
    async with running_engine(journal, CONFIG, Clock()) as engine:
        assert states(engine) == live


async def test_a_room_that_broke_in_the_step_that_opened_it_can_be_opened(
    journal: LettersKept, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step opens a room, fails to fold another command of it, and cannot be written: there is no such room, and nothing is derived again."""
    decides = liveroom.rooms.room.decide

    def half_a_pair(state, request, now_ms, rng, rules):  # type: ignore[no-untyped-def]
        decision = decides(state, request, now_ms, rng, rules)
        if isinstance(request.command, OpenRoom) and request.id == "b0" and isinstance(decision, Decided):
            return Decided(tuple(msgspec.structs.replace(event, title="\ud83d") for event in decision.events))
        return decision

    monkeypatch.setattr(liveroom.engine.step, "decide", half_a_pair)
    monkeypatch.setattr(liveroom.engine.step, "evolve_all", folds_of("broken"))
    async with running_engine(journal, CONFIG, Clock()) as engine:
        opens = Request("b0", "demo", ANCHOR, OpenRoom("Evening show"), "batch", 0)
        await journal.send_commands(0, [opens, Request("b1", "demo", ANCHOR, SetAnnouncement("broken"), "batch", 1)])
        await client.until(lambda: any(len(record.replies) == 2 for record in client.records[0]))
        assert not owner_of(engine)._state.away
        await open_demo(client)
        await client.accepted("demo", SetAnnouncement("it goes on"))
        assert owner_of(engine).rooms_set_aside_count == 0
        assert not engine.stopped_partitions


async def test_a_timer_that_raises_stops_nothing(journal: LettersKept, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other rooms' timers are served, the engine does not spin, one letter is kept, and it is tried again later."""
    clock, real, failing = Clock(), liveroom.rooms.room.decide_due, {"demo"}

    def broken(state, now_ms):  # type: ignore[no-untyped-def]
        if state.title == "Evening show" and "demo" in failing and state.anchor_name == "demo":
            raise ZeroDivisionError("a timer divides by nothing")
        return real(state, now_ms)

    monkeypatch.setattr(liveroom.engine.owner, "decide_due", broken)
    async with running_engine(journal, CONFIG, clock) as engine:
        for room in ("demo", "beside"):
            await open_demo(client, room)
            await client.accepted(room, ReportAudience("gw-1", 7, (1, 2, 3)), GATEWAY)
        owner_of(engine)._state.rooms["demo"].anchor_name = "demo"

        def counted(room: str) -> list[int]:
            return [e.viewers for _, e in client.events(room) if isinstance(e, AudienceCounted)]

        clock.now_ms += 31_000
        await client.accepted("beside", SendChat("wake up"), VIEWER)
        await client.until(lambda: counted("beside")[-1:] == [0])
        for n in range(5):
            await client.accepted("demo", SetAnnouncement(f"still here {n}"))
        assert isolated(engine, "engine_timer") == 1
        assert [(letter.offset, letter.payload) for letter in journal.letters] == [(-1, "demo")]
        failing.clear()
        clock.now_ms += TIMER_AGAIN_MS
        await client.accepted("beside", SetAnnouncement("later"))
        await client.until(lambda: counted("demo")[-1:] == [0])
        assert isolated(engine, "engine_timer") == 1


async def test_a_keyframe_that_cannot_be_made_stops_nothing(journal: LettersKept, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The room goes without it; its commands and the other rooms' keyframes are as always."""
    real = liveroom.rooms.room.keyframe

    def broken(room, *rest):  # type: ignore[no-untyped-def]
        if room == "demo":
            raise ZeroDivisionError("a bug")
        return real(room, *rest)

    monkeypatch.setattr(liveroom.engine.owner, "keyframe", broken)
    async with running_engine(journal, CONFIG, Clock()) as engine:
        await open_demo(client, "demo")
        await open_demo(client, "beside")
        await client.accepted("demo", SetAnnouncement("hello"))
        assert {keyframe.room for record in client.records[0] for keyframe in record.keyframes} == {"beside"}
        assert isolated(engine, "engine_keyframe") >= 1


async def test_a_room_whose_log_cannot_be_folded_is_set_aside_alone(journal: LettersKept, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other rooms are served, no snapshot forgets it, its commands are refused; an engine that can fold it has it back, whole."""
    async with running_engine(journal, CONFIG, Clock()) as engine:
        for room in ("demo", "beside"):
            await open_demo(client, room)
            await client.accepted(room, SetAnnouncement("in the log" if room == "demo" else "fine"))
        whole = states(engine)
    snapshots = msgspec.structs.replace(CONFIG, engine=EngineConfig(snapshot_records_max=10, snapshot_interval_ms=1_000))
    before = await newest(journal)
    monkeypatch.setattr(liveroom.engine.partition, "evolve_all", folds_of("in the log"))
    async with running_engine(journal, snapshots, Clock()) as engine:
        assert not engine.stopped_partitions
        assert owner_of(engine).rooms_set_aside_count == 1
        for n in range(20):
            await client.accepted("beside", SetAnnouncement(f"number {n}"))
        for command in (SetAnnouncement("anything"), SendChat("hello")):
            assert (await client.refused("demo", command)).code == "internal_error"
        assert await newest(journal) == before
    monkeypatch.undo()
    async with running_engine(journal, snapshots, Clock()) as engine:
        assert states(engine)["demo"] == whole["demo"]
        assert owner_of(engine).rooms_set_aside_count == 0
        await client.accepted("demo", SetAnnouncement("back"))


async def test_a_dead_letter_that_cannot_be_written_stops_nothing(journal: LettersKept, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom it is about is refused all the same."""
    monkeypatch.setattr(liveroom.engine.step, "evolve_all", folds_of("broken"))

    async def raising(letter: DeadLetter) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(journal, "write_dead_letter", raising)
    async with running_engine(journal, CONFIG, Clock()) as engine:
        await open_demo(client)
        assert (await client.refused("demo", SetAnnouncement("broken"))).code == "internal_error"
        await until_accepted(client, "demo", "after", "c-after")
        assert isolated(engine, "engine_dead_letter") == 1


async def test_what_cannot_be_weighed_is_set_aside(journal: LettersKept, client: Client) -> None:
    """A request that no door let through, put into the journal by a bug: its batch is set aside, and the next one is answered."""
    async with running_engine(journal, CONFIG, Clock()):
        await open_demo(client)
        await journal.send_commands(0, [Request("c1", "demo", ANCHOR, SetAnnouncement("half \ud83d"))])
        await client.accepted("demo", SetAnnouncement("fine"))
        (letter,) = journal.letters
        assert letter.reason.startswith("UnicodeEncodeError")


@pytest.mark.parametrize("moment", ["while it is saved", "before the room changes"])
async def test_a_room_that_cannot_be_encoded_costs_a_snapshot_and_nothing_else(
    moment: str, journal: LettersKept, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No command is refused for it and no owner ends; the next snapshot that succeeds holds all that changed since the last one."""
    real, failing = liveroom.rooms.room.encode_state, {"demo"}

    def broken(state):  # type: ignore[no-untyped-def]
        if failing and state.anchor_name == "Anna" and state.title == "Evening show":
            raise ZeroDivisionError("a bug")
        return real(state)

    monkeypatch.setattr(liveroom.engine.snapshots, "encode_state", broken)
    snapshots = msgspec.structs.replace(CONFIG, engine=EngineConfig(snapshot_records_max=10, snapshot_interval_ms=3_600_000))
    async with running_engine(journal, snapshots, Clock()) as engine:
        await client.accepted("beside", OpenRoom("Beside"))
        await open_demo(client)
        for n in range(40):
            await client.accepted("demo" if moment != "while it is saved" or n % 20 == 0 else "beside", SetAnnouncement(f"number {n}"))
        async with asyncio.timeout(WAIT_S):
            while not isolated(engine, "engine_snapshot"):
                await asyncio.sleep(0.005)
        before = await newest(journal)
        failing.clear()
        for n in range(40):
            await client.accepted("beside", SetAnnouncement(f"again {n}"))
        async with asyncio.timeout(WAIT_S):
            while await newest(journal) == before:
                await asyncio.sleep(0.005)
        assert not engine.stopped_partitions
        assert owner_of(engine)._fencing_epoch == 0, "it is still the first owner"
        live = states(engine)
    async with running_engine(journal, CONFIG, Clock()) as engine:
        assert states(engine) == live
