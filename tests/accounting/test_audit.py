"""`liveroom audit` and `export-money` on a journal that the real engine wrote: it passes unchanged, and every change to it is found."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from msgspec import structs

from liveroom.accounting.audit import LedgerReader, audit
from liveroom.accounting.export import COLUMNS, export_money
from liveroom.cli import main
from liveroom.config.schema import Config, JournalConfig, LiveroomConfig
from liveroom.features.coupon.messages import ClaimCoupon, CouponTerms, IssueCoupon
from liveroom.features.flash_sale.messages import AnnounceFlashSale, ConfirmHold, ReserveStock
from liveroom.features.red_envelope.messages import DropRedEnvelope, GrabRedEnvelope
from liveroom.features.showcase.messages import AddProduct
from liveroom.journal.base import PastEntry
from liveroom.journal.chain import chain_start, chained
from liveroom.journal.kafka.journal import KafkaJournal
from liveroom.journal.sqlite.file import FILE_NAME
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.journal.sqlite.mark import MARK_FILE
from liveroom.journal.sqlite.reader import SqliteReader, open_reader
from liveroom.messages.errors import AuditFailed, BadMessage, JournalDamaged, JournalUnavailable, LedgerBroken, LiveroomError
from liveroom.protocol.codec import encode
from liveroom.protocol.records import Sender
from liveroom.telemetry.metrics import Metrics
from tests.broker import kafka_config, kafka_flags
from tests.engine.conftest import Client, Clock, open_demo, running_engine
from tests.features.play import PLATFORM, SHIRT
from tests.journal.entries import stored

CONFIG = Config(journal=JournalConfig(kind="sqlite", partitions=2))
VERA, WANG = Sender("vera", "Vera"), Sender("wang", "Wang")

Entry = dict[str, Any]


async def an_evening(client: Client, room: str) -> None:
    """An envelope, a coupon, a sale with a paid and an open hold, and a retry."""
    await open_demo(client, room)
    envelope = int((await client.accepted(room, DropRedEnvelope(1_000, 3, opens_in_ms=0))).result["envelope"])
    for user in (VERA, WANG):
        await client.accepted(room, GrabRedEnvelope(envelope), user)
    await client.refused(room, GrabRedEnvelope(envelope), VERA)
    coupon = int((await client.accepted(room, IssueCoupon("Ten off", CouponTerms(percent_off=10), 4))).result["coupon"])
    code = str((await client.accepted(room, ClaimCoupon(coupon), VERA, "claim-1")).result["code"])
    assert (await client.send(room, ClaimCoupon(coupon), VERA, "claim-1")).repeated
    await client.accepted(room, AddProduct(SHIRT))
    sale = int((await client.accepted(room, AnnounceFlashSale("shirt", 10_000, 5, 2, opens_in_ms=0))).result["sale"])
    hold = int((await client.accepted(room, ReserveStock(sale, 2, code), VERA)).result["hold"])
    await client.accepted(room, ConfirmHold(hold, "payment-1"), PLATFORM)
    await client.accepted(room, ReserveStock(sale, 1), WANG)


@pytest_asyncio.fixture
async def data_dir(tmp_path: Path) -> AsyncIterator[Path]:
    """A journal with two rooms; the engine was started twice."""
    path = tmp_path / "data"
    clock = Clock()
    for name, room in (("engine-1", "demo"), ("engine-2", "other")):
        journal = await SqliteJournal.open(path, CONFIG.journal, Metrics())
        async with running_engine(journal, CONFIG, clock, name=name):
            client = Client(journal)
            await an_evening(client, room)
            await client.close()
        await journal.close()
        clock.now_ms += 1_000
    yield path


def on(data_dir: Path) -> Config:
    """Settings that name the journal in a directory."""
    return structs.replace(CONFIG, liveroom=LiveroomConfig(data_dir=str(data_dir)))


def link_again(file: sqlite3.Connection, partition: int) -> None:
    """Forge the hash chain, as somebody does who rewrites the file so that it fits."""
    meta = dict(file.execute("SELECT name, value FROM meta"))
    chain = chain_start(f"{meta['journal_id']} {meta['partitions']}")
    rows = file.execute("SELECT offset, CAST(body AS BLOB) FROM events WHERE partition = ? ORDER BY offset", (partition,)).fetchall()
    for offset, body in rows:
        chain = chained(chain, partition, offset, body)
        file.execute("UPDATE events SET chain = ? WHERE partition = ? AND offset = ?", (chain, partition, offset))
    file.execute("DELETE FROM snapshots")


def tampered(data_dir: Path, change: Callable[[Entry], bool], *, linked: bool = True) -> Path:
    """A copy without its mark, in which the first record that `change` changes, and says so by true, is another."""
    copy = data_dir.with_name("copy")
    shutil.copytree(data_dir, copy)
    (copy / MARK_FILE).unlink()
    with closing(sqlite3.connect(copy / FILE_NAME)) as file:
        for partition, offset, body in file.execute("SELECT partition, offset, body FROM events ORDER BY partition, offset").fetchall():
            entry = orjson.loads(body)
            if "demo" in entry.get("rooms", {}) | {command_reply["room"]: 0 for command_reply in entry.get("replies", [])} and change(entry):
                file.execute("UPDATE events SET body = ? WHERE partition = ? AND offset = ?", (orjson.dumps(entry).decode(), partition, offset))
                if linked:
                    link_again(file, partition)
                file.commit()
                return copy
    raise AssertionError("nothing was changed")


def on_event(kind: str, **changes: Any) -> Callable[[Entry], bool]:
    """Changes to the first event of a kind in the room demo."""

    def change(entry: Entry) -> bool:
        for event in entry.get("rooms", {}).get("demo", {}).get("events", []):
            if event["type"] == kind:
                event |= changes
                return True
        return False

    return change


def seq_of(data_dir: Path, kind: str) -> int:
    """The seq of the first event of a kind in the room demo."""
    with closing(sqlite3.connect(data_dir / FILE_NAME)) as file:
        found: int = file.execute("SELECT min(seq) FROM room_events WHERE room = 'demo' AND type = ?", (kind,)).fetchone()[0]
        return found


def test_a_journal_as_it_was_written_passes(data_dir: Path) -> None:
    """All rooms or one; the accounts are those of the evening."""
    for room, names in (("", {"demo", "other"}), ("demo", {"demo"})):
        rooms = {name: room_audit for one in audit(on(data_dir), room) for name, room_audit in one.rooms.items()}
        assert set(rooms) == names
        totals = rooms["demo"].ledger.totals()
        assert (totals.total_fen, totals.granted_fen + totals.remaining_fen) == (1_000, 1_000)
        assert (totals.claimed, totals.redeemed, totals.discount_fen) == (1, 1, 2_000)
        assert (totals.available, totals.held, totals.sold, totals.gross_fen) == (2, 1, 2, 18_000)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("red_envelope_grabbed", {"amount_fen": 1}),
        ("red_envelope_grabbed", {"envelope": 777}),
        ("coupon_left", {"left": 4}),
        ("coupon_redeemed", {"discount_fen": 1}),
        ("stock_reserved", {"quantity": 1}),
        ("hold_confirmed", {"paid_fen": 1}),
        ("stock_changed", {"available": 5}),
    ],
)
def test_a_changed_event_is_found(data_dir: Path, kind: str, changes: dict[str, Any]) -> None:
    """The room and the event's seq are named, and the rooms beside it still pass."""
    copy = tampered(data_dir, on_event(kind, **changes))
    with pytest.raises(AuditFailed) as failed:
        audit(on(copy))
    assert (failed.value.room, failed.value.seq) == ("demo", seq_of(data_dir, kind))
    audit(on(copy), "other")


def test_a_missing_event_is_found(data_dir: Path) -> None:
    """Seqs run without a gap, also where no money is."""

    def drop(entry: Entry) -> bool:
        return bool(
            [entry["rooms"].pop("demo") for span in [entry.get("rooms", {}).get("demo")] if span and span["events"][0]["type"] == "product_added"]
        )

    with pytest.raises(AuditFailed, match="missing or repeated") as failed:
        audit(on(tampered(data_dir, drop)))
    assert failed.value.seq == seq_of(data_dir, "product_added")


def test_a_second_outcome_is_found(data_dir: Path) -> None:
    """A retry that was decided again, or got another reply than its command, is a fault."""

    def again(entry: Entry) -> bool:
        return bool([command_reply.pop("repeated") for command_reply in entry["replies"] if command_reply.get("repeated")])

    def another(entry: Entry) -> bool:
        repeated = [command_reply for command_reply in entry["replies"] if command_reply.get("repeated")]
        for command_reply in repeated:
            command_reply["reply"]["result"]["code"] = "A" * 16
        return bool(repeated)

    for change, words in ((again, "two outcomes"), (another, "another reply")):
        copy = tampered(data_dir, change)
        with pytest.raises(AuditFailed, match=f"room demo.*'claim-1' of vera.*{words}|'claim-1' of vera got {words}"):
            audit(on(copy))
        shutil.rmtree(copy)


def test_a_changed_byte_is_found_even_where_the_accounts_add_up(data_dir: Path) -> None:
    """The name under a chat line moves no money; the chain says which entry is another."""
    copy = tampered(data_dir, on_event("red_envelope_grabbed", name="Somebody else"), linked=False)
    with pytest.raises(JournalDamaged, match=r"entry \d+ of partition \d is not the one that was written"):
        audit(on(copy))


def test_anybody_can_compute_the_heads(data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The program of docs/journal.md, which knows nothing of liveroom, prints what the audit found."""
    page = (Path(__file__).parents[2] / "docs" / "journal.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(data_dir.parent)
    exec(compile(program, "docs/journal.md", "exec"), {})
    printed = [tuple(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert printed == [(str(one.partition), str(one.head.end), one.head.chain.hex()) for one in audit(on(data_dir))]
    assert sum(one.head.end for one in audit(on(data_dir))) > 10


def test_the_command_line_prints_a_table_or_the_first_difference(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0 with the totals by room, 1 with one line on standard error."""
    main(["audit", "--data-dir", str(data_dir)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["room", "envelopes", "total_fen"]
    assert {line.split()[0] for line in lines[1:3]} == {"demo", "other"}
    assert lines[3].startswith("2 rooms, ")
    assert lines[3].endswith("; 0 entries do not count")
    assert [line.rpartition(" ")[0].rpartition(", ")[0].split(":")[0] for line in lines[4:6]] == ["head of partition 0", "head of partition 1"]
    assert lines[6].startswith("verdict: ")
    copy = tampered(data_dir, on_event("red_envelope_grabbed", amount_fen=1))
    with pytest.raises(SystemExit) as ended:
        main(["audit", "demo", "--data-dir", str(copy)])
    out, err = capsys.readouterr()
    assert (ended.value.code, out, len(err.splitlines())) == (1, "", 1)
    assert f"room demo, seq {seq_of(data_dir, 'red_envelope_grabbed')}: " in err


def test_what_cannot_be_audited_says_so(data_dir: Path, tmp_path: Path) -> None:
    """An unknown room, a room id of a wrong form, no journal."""
    with pytest.raises(AuditFailed, match="no such room"):
        audit(on(data_dir), "nowhere")
    with pytest.raises(BadMessage):
        audit(on(data_dir), "no way")
    with pytest.raises(JournalUnavailable):
        audit(on(tmp_path / "none"))


async def test_a_servers_ledger_goes_on_where_it_was(data_dir: Path) -> None:
    """A statement holds all that is durable at that moment; a room without events has an empty one."""
    reader = LedgerReader(on(data_dir))
    before = await reader.read("demo")
    assert (before.totals.sold, len(before.sales), before.omitted) == (2, 1, 0)
    journal = await SqliteJournal.open(data_dir, CONFIG.journal, Metrics())
    async with running_engine(journal, CONFIG, Clock(), name="engine-3"):
        client = Client(journal)
        await client.accepted("demo", ReserveStock(before.sales[0].sale, 1), Sender("yi", "Yi"))
        after = await reader.read("demo")
        await client.close()
    await journal.close()
    assert (before.totals.held, after.totals.held) == (1, 2)
    assert after.seq > before.seq
    assert (await reader.read("nowhere")).seq == -1


async def test_a_servers_ledger_stays_broken(data_dir: Path) -> None:
    """After a difference no numbers are shown."""
    reader = LedgerReader(on(tampered(data_dir, on_event("red_envelope_grabbed", amount_fen=1))))
    for _ in range(2):
        with pytest.raises(AuditFailed, match="room demo"):
            await reader.read("demo")


async def test_a_servers_ledger_stays_damaged(data_dir: Path) -> None:
    """After a damaged entry no later entry is shown."""
    with closing(sqlite3.connect(data_dir / FILE_NAME)) as connection, connection:
        connection.execute("UPDATE events SET verdict = 'wrong_step' WHERE offset = (SELECT max(offset) FROM events WHERE verdict = 'accepted')")
    reader = LedgerReader(on(data_dir))
    for _ in range(2):
        with pytest.raises(JournalDamaged, match="is stored as"):
            await reader.read("demo")


async def test_a_ledger_that_is_closed_reads_no_more(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends does not wait until a long journal was read; waiting callers get an error."""
    taken: list[int] = []

    class Closing(SqliteReader):
        def entries(self, partition: int, offset: int = 0) -> Iterator[PastEntry]:
            for one in super().entries(partition, offset):
                taken.append(one.offset)
                if len(taken) == 3:
                    reader.close()
                yield one

    @contextmanager
    def opened(config: Config) -> Iterator[Closing]:
        with open_reader(data_dir) as real:
            yield Closing(real._path, real._connection, real._identity)

    monkeypatch.setattr("liveroom.accounting.audit.open_stored_log", opened)
    reader = LedgerReader(on(data_dir))
    for _ in range(2):
        with pytest.raises(JournalUnavailable, match="closed"):
            await reader.read("demo")
    assert len(taken) == 3


async def test_a_journal_in_kafka_is_read_by_the_same_commands(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same evening there: audit, export, tail, the envelope's proof and the server's ledger say the same, while the journal is open."""
    config = kafka_config(structs.replace(CONFIG.journal, kind="kafka"))
    journal = await KafkaJournal.open(config, Metrics(), "test")
    clock = Clock()
    async with running_engine(journal, config, clock, name="engine-1"):
        client = Client(journal)
        await an_evening(client, "demo")
        await client.close()
        statement = await LedgerReader(config).read("demo")

        async def said(command: str, *more: str, flags: tuple[str, ...]) -> str:
            await asyncio.to_thread(main, [command, "demo", *more, *flags])
            out = capsys.readouterr().out
            return "".join(line for line in out.splitlines(keepends=True) if not line.startswith("head of"))  # other bytes than the file's

        envelope = str(statement.envelopes[0].envelope)
        for command, *more in (("audit",), ("export-money",), ("export-money", "--format", "csv"), ("tail",), ("verify-envelope", envelope)):
            there = await said(command, *more, flags=(*kafka_flags(config.kafka), "--journal-partitions", "7"))
            assert there == await said(command, *more, flags=("--data-dir", str(data_dir))), command
        for partition_audit in await asyncio.to_thread(audit, config):
            chain = chain_start(f"{config.kafka.topic_prefix}.events")
            for one in await stored(journal, partition_audit.partition):
                chain = chained(chain, partition_audit.partition, one.offset, encode(one.entry))
            assert partition_audit.head.chain == chain
    await journal.close()
    assert statement == await LedgerReader(on(data_dir)).read("demo")


def test_export_has_a_row_for_every_money_event(data_dir: Path) -> None:
    """JSON lines and CSV have the same values, and the amounts add up to the ledger's."""
    rows = [orjson.loads(line) for line in export_money(on(data_dir), "demo", "jsonl")]
    assert all(tuple(row) == COLUMNS for row in rows)
    table = list(csv.DictReader(io.StringIO("\n".join(export_money(on(data_dir), "demo", "csv")))))
    assert table == [{name: str(value) for name, value in row.items()} for row in rows]
    assert [row["type"] for row in rows] == [
        "red_envelope_dropped",
        *["red_envelope_grabbed"] * 2,
        "coupon_issued",
        "coupon_claimed",
        "flash_sale_announced",
        "stock_reserved",
        "coupon_redeemed",
        "hold_confirmed",
        "stock_reserved",
    ]
    paid = next(row for row in rows if row["type"] == "hold_confirmed")
    assert (paid["user"], paid["quantity"], paid["amount_fen"], paid["discount_fen"], paid["reference"]) == ("vera", 2, 18_000, 2_000, "payment-1")
    assert paid["hold"] == next(row["seq"] for row in rows if row["type"] == "stock_reserved")


def test_export_stops_at_what_does_not_add_up(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing beyond a difference is exported, an unknown room is an error, and the command line prints the rows."""
    with pytest.raises(LedgerBroken):
        list(export_money(on(tampered(data_dir, on_event("hold_confirmed", paid_fen=1))), "demo", "csv"))
    with pytest.raises(LiveroomError, match="no room nowhere"):
        export_money(on(data_dir), "nowhere", "jsonl")
    main(["export-money", "demo", "--format", "csv", "--data-dir", str(data_dir)])
    assert capsys.readouterr().out.splitlines()[0] == ",".join(COLUMNS)
