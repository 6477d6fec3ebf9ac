"""The engine over a journal: one outcome a command, recovery by folding, standing down, timers, keyframes, snapshots, poison."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import msgspec
import pytest

import liveroom.engine.step
import liveroom.rooms.entitlements
import liveroom.rooms.room
from liveroom.config.schema import Config, EngineConfig, JournalConfig
from liveroom.engine.engine import Engine
from liveroom.engine.owner import Owner
from liveroom.features.audience.messages import AudienceCounted, ReportAudience
from liveroom.features.chat.messages import ChatSent, SendChat
from liveroom.features.coupon.messages import CouponTerms, IssueCoupon
from liveroom.features.lifecycle.messages import RequestKeyframe, SetAnnouncement
from liveroom.features.showcase.messages import AddProduct, PinProduct, Product
from liveroom.journal.base import STOPPED_RUNBOOK, Journal
from liveroom.journal.memory import MemoryJournal
from liveroom.journal.room_index import load_whole
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.messages.errors import JournalDamaged
from liveroom.messages.fields import Role
from liveroom.protocol.records import RECORD_VERSION, Entry, Record, Sender, Takeover
from liveroom.rooms.room import encode_state
from liveroom.telemetry.metrics import Metrics
from tests.engine.conftest import GATEWAY, VIEWER, Client, Clock, open_demo, running_engine

CONFIG = Config(
    journal=JournalConfig(kind="memory", partitions=2),
    engine=EngineConfig(takeover_retry_ms=10, snapshot_records_max=1_000_000, snapshot_interval_ms=3_600_000),
)


def engine_states(engine: Engine) -> dict[str, bytes]:
    """Every room's state, encoded."""
    owners: list[Owner] = list(engine._owners.values())
    return {room: encode_state(state) for owner in owners for room, state in owner._state.rooms.items()}


@pytest.mark.parametrize(("kind", "runbook"), [("kafka", STOPPED_RUNBOOK), ("sqlite", "")])
def test_a_partition_that_stopped_names_the_page_that_helps(kind: Literal["kafka", "sqlite"], runbook: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log line links to the table of its possible errors: a section of that page by this name."""
    config = Config(journal=JournalConfig(kind=kind))
    engine = Engine(MemoryJournal(CONFIG.journal), config, name="e", metrics=Metrics())
    engine._stop_partition(1, JournalDamaged("events[1]: entry 7 cannot be read"))
    (line,) = caplog.records
    assert getattr(line, "runbook", "") == runbook
    page, _, anchor = STOPPED_RUNBOOK.partition("#")
    assert f"\n## {anchor.replace('-', ' ').capitalize()}\n" in (Path(__file__).parents[2] / page).read_text(encoding="utf-8")


async def test_a_command_gets_exactly_one_outcome_and_a_retry_the_original() -> None:
    """A retry under the same id gets the original reply and makes no second event; another command under it is refused."""
    journal = MemoryJournal(CONFIG.journal)
    client = Client(journal)
    async with running_engine(journal, CONFIG, Clock()):
        await open_demo(client)
        first = await client.accepted("demo", SendChat("hello"), VIEWER, "once")
        again = await client.send("demo", SendChat("hello"), VIEWER, "once")
        assert again.reply == first
        assert again.repeated
        other = await client.refused("demo", SendChat("something else"), VIEWER, "once")
        assert other.code == "id_reused"
        same_id_of_another_user = await client.accepted("demo", SendChat("hello"), Sender("otto", "Otto"), "once")
        assert same_id_of_another_user.seq == first.seq + 1
        assert [e.text for _, e in client.events("demo") if isinstance(e, ChatSent)] == ["hello", "hello"]
    await client.close()
    await journal.close()


async def test_recovery_folds_and_never_decides_again(tmp_path: Path) -> None:
    """After a restart the state equals the state before, ids are still remembered and seqs go on without a gap."""
    clock = Clock()
    config = msgspec.structs.replace(CONFIG, journal=JournalConfig(kind="sqlite", partitions=2))
    journal: Journal = await SqliteJournal.open(tmp_path, config.journal, Metrics())
    client = Client(journal)
    async with running_engine(journal, config, clock) as engine:
        for room in ("one", "two", "three"):
            await open_demo(client, room)
            await client.accepted(room, AddProduct(Product("p1", "Scarf", 9_900)))
            await client.accepted(room, PinProduct("p1"))
            for i in range(20):
                clock.now_ms += 1_100
                await client.accepted(room, SendChat(f"line {i}"), VIEWER, f"{room}-{i}")
        before = engine_states(engine)
    seqs = {room: len(client.events(room)) for room in ("one", "two", "three")}
    await client.close()
    await journal.close()

    journal = await SqliteJournal.open(tmp_path, config.journal, Metrics())
    client = Client(journal)
    async with running_engine(journal, config, clock, seed=2) as engine:
        assert engine_states(engine) == before
        again = await client.send("one", SendChat("line 3"), VIEWER, "one-3")
        assert again.repeated
        await client.accepted("two", SetAnnouncement("we are back"))
        await client.until(lambda: len(client.events("two")) == seqs["two"] + 1)
        assert [seq for seq, _ in client.events("two")] == list(range(seqs["two"] + 1))
    await client.close()
    await journal.close()


async def test_a_snapshot_and_its_tail_give_the_same_state_as_the_whole_log(tmp_path: Path) -> None:
    """An engine that starts from a snapshot holds what one that folds everything holds, and the ids too."""
    clock = Clock()
    config = Config(
        journal=JournalConfig(kind="sqlite", partitions=1),
        engine=EngineConfig(snapshot_records_max=10, snapshot_interval_ms=3_600_000),
    )
    journal: Journal = await SqliteJournal.open(tmp_path, config.journal, Metrics())
    client = Client(journal)
    async with running_engine(journal, config, clock) as engine:
        await open_demo(client)
        for i in range(35):
            clock.now_ms += 1_100
            await client.accepted("demo", SendChat(f"line {i}"), VIEWER, f"c-{i}")
        before = engine_states(engine)
    whole = await load_whole(journal, 0)
    assert whole is not None
    assert whole.snapshot.offset > 20
    assert list(whole.entries()) == ["demo"]
    async with running_engine(journal, config, clock) as engine:
        assert engine_states(engine) == before
        again = await client.send("demo", SendChat("line 1"), VIEWER, "c-1")
        assert again.repeated, "an outcome from before the snapshot is remembered"
    await client.close()
    await journal.close()


async def test_an_engine_that_sees_a_foreign_takeover_stands_down_and_takes_over_again() -> None:
    """After a foreign takeover nothing of the old fencing epoch counts; the engine folds what is there and goes on without a gap."""
    journal = MemoryJournal(CONFIG.journal)
    client = Client(journal)
    async with running_engine(journal, CONFIG, Clock()) as engine:
        await open_demo(client)
        partition = next(p for p, records in client.records.items() if records)
        stale_fencing_epoch = engine._owners[partition]._fencing_epoch
        takeover = await journal.append(partition, Takeover(RECORD_VERSION, "somebody-else", 1))
        zombie = Record(v=1, fencing_epoch=stale_fencing_epoch, step=engine._owners[partition]._step, from_=1, to=1, time_ms=1)
        await journal.append(partition, zombie)
        for i in range(5):
            await client.accepted("demo", SetAnnouncement(f"still here {i}"))
        assert engine._owners[partition]._fencing_epoch > takeover
        assert client.skipped >= 1
        assert [seq for seq, _ in client.events("demo")] == list(range(6))
    await client.close()
    await journal.close()


async def test_timers_are_events_like_any_other() -> None:
    """A gateway that stops reporting expires: an event removes its viewers from the count, without any command."""
    clock = Clock()
    journal = MemoryJournal(CONFIG.journal)
    client = Client(journal)
    async with running_engine(journal, CONFIG, clock):
        await open_demo(client)
        await client.accepted("demo", ReportAudience("gw-1", 7, (1, 2, 3)), GATEWAY)
        clock.now_ms += 31_000
        await client.accepted("demo", ReportAudience("gw-2", 1, ()), GATEWAY)

        def counted() -> list[int]:
            return [e.viewers for _, e in client.events("demo") if isinstance(e, AudienceCounted)]

        await client.until(lambda: counted()[-1:] == [1])
    await client.close()
    await journal.close()


async def test_what_users_own_is_handed_over_before_the_detail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that asks for it too gets it in chunks, each in a record of its own, then the detail that says how many: all of one moment."""
    monkeypatch.setattr(liveroom.rooms.entitlements, "ENTITLEMENTS_CHUNK_BYTES_MAX", 220)
    clock = Clock()
    journal = MemoryJournal(CONFIG.journal)
    client = Client(journal)
    async with running_engine(journal, CONFIG, clock):
        await open_demo(client)
        partition = next(p for p, records in client.records.items() if records)
        for title in ("Less", "Much less", "Nothing at all"):
            await client.accepted("demo", IssueCoupon(title, CouponTerms(5), 3))
        await asyncio.gather(*(client.accepted("demo", RequestKeyframe(entitlements), GATEWAY) for entitlements in (True, False)))
        await client.until(lambda: any(d.entitlements is not None for r in client.records[partition] for d in r.details))
        records = client.records[partition]
        last = next(i for i, r in enumerate(records) if any(d.entitlements is not None for d in r.details))
        (found,) = records[last].details
        assert found.entitlements == 3
        chunks = [chunk for record in records[last - 3 : last] for chunk in record.entitlements]
        assert [(c.room, c.stream_id, c.seq, c.number) for c in chunks] == [
            ("demo", found.keyframe.stream_id, found.keyframe.seq, i) for i in range(3)
        ]
        assert [one.title for c in chunks for one in c.coupons] == ["Less", "Much less", "Nothing at all"]
        assert all(not r.rooms and not r.replies and r.from_ == r.to for r in records[last - 3 : last + 1])
    await client.close()
    await journal.close()


async def test_keyframes_come_after_change_and_details_when_asked() -> None:
    """A room that opens gets a keyframe at once; a gateway that asks gets a detail as of its record's end."""
    clock = Clock()
    journal = MemoryJournal(CONFIG.journal)
    client = Client(journal)
    async with running_engine(journal, CONFIG, clock):
        await open_demo(client)
        partition = next(p for p, records in client.records.items() if records)
        assert any(k.room == "demo" and k.open for r in client.records[partition] for k in r.keyframes)
        await client.accepted("demo", AddProduct(Product("p1", "Scarf", 9_900)))
        await client.accepted("demo", RequestKeyframe(), GATEWAY)
        await client.until(lambda: any(r.details for r in client.records[partition]))
        found = next(r.details[0] for r in client.records[partition] if r.details)
        assert found.keyframe.seq == 2
        assert [p.id for p in found.products] == ["p1"]
        assert found.entitlements is None
        unknown = await client.refused("nowhere", RequestKeyframe(), GATEWAY)
        assert unknown.code == "room_not_found"
    await client.close()
    await journal.close()


async def test_a_command_whose_decision_raises_is_set_aside_and_the_partition_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poison: the sender gets `internal_error`, the dead-letter log a line, and the next command its reply."""
    journal = MemoryJournal(CONFIG.journal)
    client = Client(journal)
    real = liveroom.rooms.room.decide

    def poisoned(state, request, now_ms, rng, rules):  # type: ignore[no-untyped-def]
        if isinstance(request.command, SetAnnouncement) and request.command.text == "poison":
            raise ZeroDivisionError("a rule divides by nothing")
        return real(state, request, now_ms, rng, rules)

    monkeypatch.setattr(liveroom.engine.step, "decide", poisoned)
    letters = []
    real_write_dead_letter = journal.write_dead_letter

    async def remember(letter):  # type: ignore[no-untyped-def]
        letters.append(letter)
        await real_write_dead_letter(letter)

    monkeypatch.setattr(journal, "write_dead_letter", remember)
    async with running_engine(journal, CONFIG, Clock()):
        await open_demo(client)
        refused = await client.refused("demo", SetAnnouncement("poison"))
        assert refused.code == "internal_error"
        await client.accepted("demo", SetAnnouncement("fine"))
    assert [letter.reason for letter in letters] == ["ZeroDivisionError: a rule divides by nothing"]
    assert "poison" in letters[0].payload
    await client.close()
    await journal.close()


async def test_a_step_stays_within_its_limits() -> None:
    """No record replies more than `step_commands_max` commands, however many wait, and all are answered in order."""
    config = msgspec.structs.replace(CONFIG, engine=EngineConfig(step_commands_max=10))
    clock = Clock()
    journal = MemoryJournal(config.journal)
    client = Client(journal)
    async with running_engine(journal, config, clock):
        await open_demo(client)
        senders = [Sender(f"user-{i}", f"User {i}", Role.viewer) for i in range(100)]
        replies = await asyncio.gather(*(client.accepted("demo", SendChat("hi"), sender) for sender in senders))
        assert sorted(r.result["message"] for r in replies) == list(range(1, 101))
        assert max(len(r.replies) for records in client.records.values() for r in records) <= 10
    await client.close()
    await journal.close()


async def test_an_append_that_hangs_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hangs gives no append's time; how long the oldest has waited by now is what an alert can see, and it ends with the append."""
    journal = MemoryJournal(CONFIG.journal)
    client = Client(journal)
    async with running_engine(journal, CONFIG, Clock()) as engine:
        await open_demo(client)
        append, hanging = journal.append, asyncio.get_running_loop().create_future()
        appended: list[asyncio.Future[int]] = []

        def hang(partition: int, entry: Entry) -> asyncio.Future[int]:
            appended.append(append(partition, entry))
            return hanging

        monkeypatch.setattr(journal, "append", hang)
        sending = asyncio.create_task(client.send("demo", SendChat("hello"), VIEWER))
        gauge = engine._metrics.engine_append_waiting_seconds
        async with asyncio.timeout(10):
            while not gauge._value.get():
                await asyncio.sleep(0.01)
            monkeypatch.setattr(journal, "append", append)
            hanging.set_result(await appended[0])
            while gauge._value.get():
                await asyncio.sleep(0.01)
        await sending
    await client.close()
    await journal.close()
