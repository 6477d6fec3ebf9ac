"""The embedded journal's file: opening it, what it refuses, snapshots, readers that are behind."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from liveroom.config.schema import JournalConfig
from liveroom.journal.acceptance import Acceptance
from liveroom.journal.base import DeadLetter
from liveroom.journal.chain import chained
from liveroom.journal.sqlite import file as sqlite_file
from liveroom.journal.sqlite import journal as sqlite_module
from liveroom.journal.sqlite.file import FILE_NAME, SCHEMA_VERSION
from liveroom.journal.sqlite.journal import RECENT_ENTRIES_MAX, SqliteJournal
from liveroom.messages.errors import JournalDamaged, JournalLocked, JournalMismatch, JournalUnavailable, JournalVersion
from liveroom.protocol import codec
from liveroom.protocol.records import Entry
from liveroom.telemetry.metrics import Metrics
from tests.journal.conftest import CONFIG
from tests.journal.entries import append_all, record, request, saved, stored, take, takeover


async def opened(data_dir: Path, config: JournalConfig = CONFIG, metrics: Metrics | None = None) -> SqliteJournal:
    return await SqliteJournal.open(data_dir, config, metrics or Metrics())


async def made(data_dir: Path, records: int = 3) -> None:
    """A journal with a takeover and some records in partition 0, closed."""
    journal = await opened(data_dir)
    await append_all(journal, [takeover(), *(record(0, n, n, n + 1, text=f"line {n}") for n in range(records))])
    await journal.close()


def change(data_dir: Path, sql: str, *values: object) -> None:
    """Change the file behind the journal's back."""
    with sqlite3.connect(data_dir / FILE_NAME) as connection:
        connection.execute(sql, values)
    connection.close()


async def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    """Entries, snapshots and the place where commands go on outlive the process."""
    journal = await opened(tmp_path)
    entries: list[Entry] = [takeover(), record(0, 0, 0, 2, text="hello 你好 \x00 😀"), record(9, 9, 9, 99), record(0, 1, 2, 5)]
    await append_all(journal, entries, 1)
    made = await saved(journal, 2, partition=1)
    await journal.close()
    journal = await opened(tmp_path)
    assert [s.entry for s in await stored(journal, 1)] == entries
    assert await journal.load_snapshots(1) == [made]
    assert await journal.get_parts(1, made.outcomes) == [b"\x00one", b"two"]
    assert await journal.append(1, takeover("b")) == 4
    await journal.close()


async def test_commands_go_on_at_the_last_accepted_to(tmp_path: Path) -> None:
    """After reopening, the first command gets the offset at which the last record that counts ended."""
    journal = await opened(tmp_path)
    await append_all(journal, [takeover(), record(0, 0, 0, 2), record(7, 1, 2, 50), record(0, 1, 2, 5)])
    await journal.close()
    journal = await opened(tmp_path)
    await journal.send_commands(0, [request()])
    assert (await take(journal.read_commands(0, 5), 1))[0].offset == 5
    with pytest.raises(JournalUnavailable, match="overtaken"):
        await anext(journal.read_commands(0, 4))
    await journal.close()


async def test_a_closed_journal_leaves_one_file_beside_its_lock(tmp_path: Path) -> None:
    """Closing copies the write-ahead log into the file, so that the file alone is a whole copy."""
    await made(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["journal.lock", "journal.mark", "journal.sqlite"]


async def test_a_second_journal_is_locked_out(tmp_path: Path) -> None:
    """While one is open, another in the same process raises `JournalLocked`; afterwards it opens."""
    journal = await opened(tmp_path)
    with pytest.raises(JournalLocked, match=f"in use by process {os.getpid()}"):
        await opened(tmp_path)
    await journal.close()
    await (await opened(tmp_path)).close()


async def test_a_second_process_is_locked_out(sqlite: SqliteJournal, tmp_path: Path) -> None:
    """Another process raises `JournalLocked` with the id of the process that owns the directory."""
    code = (
        "import asyncio, sys; from pathlib import Path; from liveroom.config.schema import JournalConfig\n"
        "from liveroom.journal.sqlite.journal import SqliteJournal; from liveroom.telemetry.metrics import Metrics\n"
        "asyncio.run(SqliteJournal.open(Path(sys.argv[1]), JournalConfig(), Metrics()))"
    )
    run = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=30)
    assert run.returncode == 1
    assert f"JournalLocked: {tmp_path}: is in use by process {os.getpid()}; stop it" in run.stderr


async def test_a_failed_open_releases_the_lock(tmp_path: Path) -> None:
    """An open that raised does not keep the directory."""
    await made(tmp_path)
    for _ in range(2):
        with pytest.raises(JournalMismatch):
            await opened(tmp_path, replace(CONFIG, partitions=3))
    await (await opened(tmp_path)).close()


async def test_other_partitions_are_refused(tmp_path: Path) -> None:
    """The number of partitions is fixed when the journal is made; both numbers are named."""
    await made(tmp_path)
    with pytest.raises(JournalMismatch, match=r"made with 2 partitions, the settings say 3 \(journal.partitions\)"):
        await opened(tmp_path, replace(CONFIG, partitions=3))


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """A file that a newer liveroom wrote is left alone; both versions are named."""
    await made(tmp_path)
    change(tmp_path, "UPDATE meta SET value = ? WHERE name = 'schema_version'", str(SCHEMA_VERSION + 1))
    with pytest.raises(JournalVersion, match=f"schema version {SCHEMA_VERSION + 1}, this liveroom knows up to {SCHEMA_VERSION}"):
        await opened(tmp_path)


async def test_an_older_schema_is_refused(tmp_path: Path) -> None:
    """A file whose entries this liveroom reads otherwise is left alone, and is not called damaged."""
    await made(tmp_path)
    change(tmp_path, "UPDATE meta SET value = ? WHERE name = 'schema_version'", str(SCHEMA_VERSION - 1))
    with pytest.raises(JournalVersion, match=f"schema version {SCHEMA_VERSION - 1}, this liveroom reads {SCHEMA_VERSION} alone"):
        await opened(tmp_path)


async def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    """A database of something else is not written to."""
    change(tmp_path, "CREATE TABLE people (name)")
    with pytest.raises(JournalMismatch, match="not a journal of liveroom"):
        await opened(tmp_path)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Other bytes under the journal's name are damage, and stay as they are."""
    (tmp_path / FILE_NAME).write_bytes(b"not a database, but long enough to be looked at " * 100)
    with pytest.raises(JournalDamaged, match="is damaged"):
        await opened(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes().startswith(b"not a database")


async def test_damaged_pages_are_found(tmp_path: Path) -> None:
    """A file whose pages were overwritten raises `JournalDamaged`, not something else."""
    await made(tmp_path, records=500)
    path = tmp_path / FILE_NAME
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size // 2] + b"\xff" * (size - size // 2))
    with pytest.raises(JournalDamaged):
        await opened(tmp_path)


async def test_a_hole_is_found(tmp_path: Path) -> None:
    """An entry that is missing in the middle raises `JournalDamaged` with its offset."""
    await made(tmp_path)
    change(tmp_path, "DELETE FROM events WHERE offset = 2")
    with pytest.raises(JournalDamaged, match="partition 0 has no entry 2"):
        await opened(tmp_path)


async def test_an_entry_that_cannot_be_read_is_found(tmp_path: Path) -> None:
    """A row that is no entry raises `JournalDamaged` with its offset and what is wrong with it, though its hash fits."""
    await made(tmp_path)
    body = '{"type": "record", "v": "x"}'
    with sqlite3.connect(tmp_path / FILE_NAME) as file:
        (before,) = file.execute("SELECT chain FROM events WHERE offset = 1").fetchone()
    file.close()
    change(tmp_path, "UPDATE events SET body = ?, chain = ? WHERE offset = 2", body, chained(before, 0, 2, body.encode()))
    with pytest.raises(JournalDamaged, match=r"entry 2 of partition 0 cannot be read: .*v"):
        await opened(tmp_path)


async def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    """A path through a file raises `JournalUnavailable` that names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalUnavailable, match=r"file/data.*: cannot be written: Not a directory"):
        await opened(tmp_path / "file" / "data")


async def test_a_file_that_another_program_keeps_locked_is_unavailable(
    sqlite: SqliteJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An append that cannot begin raises `JournalUnavailable`; when the file is free again, it works again."""
    monkeypatch.setattr(sqlite_file, "BUSY_S", 0.05)
    await append_all(sqlite, [takeover()])
    await asyncio.to_thread(_spoil, tmp_path, 1)
    with pytest.raises(JournalUnavailable):
        await sqlite.append(0, record(0, 0, 0, 1))  # the next append opens the file again, with the short wait
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalUnavailable, match="another program keeps it locked"):
        await sqlite.append(0, record(0, 0, 0, 1))
    other.close()
    assert await sqlite.append(0, record(0, 0, 0, 1)) == 2


async def test_entries_that_turn_out_to_be_in_the_file_are_given_to_readers(sqlite: SqliteJournal, tmp_path: Path) -> None:
    """After a failure the file is looked at again: what stands there is reported, and offsets go on behind it."""
    await append_all(sqlite, [takeover()])
    reader = sqlite.read_events(0, 1)
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.to_thread(_spoil, tmp_path, 1)
    with pytest.raises(JournalUnavailable, match="UNIQUE"):
        await sqlite.append(0, takeover("b"))
    assert await sqlite.append(0, takeover("c")) == 2
    assert (await waiting).entry == takeover("spoiler")
    assert (await anext(reader)).entry == takeover("c")
    await reader.aclose()


def _spoil(data_dir: Path, offset: int) -> None:
    body = codec.encode(takeover("spoiler"))
    with sqlite3.connect(data_dir / FILE_NAME) as file:
        (before,) = file.execute("SELECT chain FROM events WHERE partition = 0 AND offset = ?", (offset - 1,)).fetchone()
    file.close()
    change(data_dir, "INSERT INTO events VALUES (0, ?, 'takeover', ?, ?)", offset, chained(before, 0, offset, body), body.decode())


async def test_appends_are_committed_in_groups(tmp_path: Path) -> None:
    """Entries that wait together share a commit, and a commit holds at most `group_commit_records_max`."""
    metrics = Metrics()
    journal = await opened(tmp_path, replace(CONFIG, group_commit_records_max=10), metrics)
    await append_all(journal, [takeover(), *(record(0, n, n, n + 1) for n in range(99))])
    await journal.close()
    samples = {s.name + s.labels.get("le", ""): s.value for metric in metrics.journal_commit_records.collect() for s in metric.samples}
    assert samples["liveroom_journal_commit_records_sum"] == 100
    assert samples["liveroom_journal_commit_records_bucket10.0"] == samples["liveroom_journal_commit_records_count"] <= 12


async def test_the_partitions_records_of_one_turn_share_a_commit(tmp_path: Path) -> None:
    """The writer's thread is woken once for a turn of the event loop, not by the first of its records."""
    metrics = Metrics()
    journal = await opened(tmp_path, CONFIG, metrics)
    appended = [journal.append(partition, takeover()) for partition in range(journal.partitions)]
    assert journal.partitions > 1
    time.sleep(0.1)  # noqa: ASYNC251 - blocks the loop as a long turn does, and gives the thread its chance
    await asyncio.gather(*appended)
    await journal.close()
    samples = {s.name: s.value for metric in metrics.journal_commit_records.collect() for s in metric.samples if not s.labels}
    assert samples["liveroom_journal_commit_records_count"] == 1
    assert samples["liveroom_journal_commit_records_sum"] == journal.partitions


async def test_readers_at_the_tail_share_the_entries(sqlite: SqliteJournal) -> None:
    """Readers share appended entries without decoding them again; old entries come from the file."""
    entry = takeover()
    await append_all(sqlite, [entry])
    assert (await take(sqlite.read_events(0, 0), 1))[0].entry is entry
    await append_all(sqlite, [record(0, n, n, n + 1) for n in range(RECENT_ENTRIES_MAX)])
    again = (await take(sqlite.read_events(0, 0), 1))[0].entry
    assert again == entry
    assert again is not entry


async def test_a_reader_that_is_far_behind_catches_up(sqlite: SqliteJournal) -> None:
    """From the file into memory, while more is appended, without a gap or a double."""
    await append_all(sqlite, [takeover(), *(record(0, n, n, n + 1) for n in range(2 * RECENT_ENTRIES_MAX))])
    seen = []
    reader = sqlite.read_events(0, 0)
    async for item in reader:
        seen.append(item.offset)
        if item.offset % 1_000 == 0:
            await append_all(sqlite, [record(0, 9, 9, 9)] * 10)
        if item.offset == 2 * RECENT_ENTRIES_MAX + 30:
            break
    await reader.aclose()
    assert seen == list(range(2 * RECENT_ENTRIES_MAX + 31))


async def test_memory_for_recent_entries_is_bounded_in_bytes_too(sqlite: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large entries push out more; a reader finds all of them nevertheless."""
    source = sqlite._partitions[0]
    monkeypatch.setattr(source, "_bytes_max", 50_000)
    monkeypatch.setattr(sqlite_module, "READ_BYTES_MAX", 20_000)
    await append_all(sqlite, [takeover(), *(record(0, n, n, n + 1, text="x" * 5_000) for n in range(100))])
    assert sum(source._sizes) == source._bytes <= 50_000
    assert [s.offset for s in await stored(sqlite)] == list(range(101))


async def test_a_cancelled_reader_leaves_the_journal_whole(tmp_path: Path) -> None:
    """Readers that are cancelled while the file is read for them do no harm."""
    await made(tmp_path, records=300)
    journal = await opened(tmp_path)
    for _ in range(20):
        task = asyncio.ensure_future(anext(journal.read_events(0, 0)))
        await asyncio.sleep(0)
        task.cancel()
    assert len(await stored(journal)) == 301
    await journal.close()


async def test_only_the_newest_snapshots_are_kept(sqlite: SqliteJournal, tmp_path: Path) -> None:
    """`snapshots_kept` stay per partition, with their parts and nobody else's."""
    await append_all(sqlite, [takeover(), *(record(0, n, n, n + 1) for n in range(5))])
    for offset in range(6):
        await saved(sqlite, offset, before=offset - 1)
    await saved(sqlite, 0, partition=1)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert connection.execute("SELECT partition, offset FROM snapshots ORDER BY 1, 2").fetchall() == [(0, 4), (0, 5), (1, 0)]
        lists = 2 + 0  # lists of deleted parts: one for each snapshot that builds on another
        assert connection.execute("SELECT count(*) FROM parts").fetchone() == (3 * 2 + lists,)
    connection.close()


async def test_fewer_snapshots_may_be_kept_than_before(tmp_path: Path) -> None:
    """With a smaller `snapshots_kept` several are dropped at once, with the parts of each."""
    journal = await opened(tmp_path, replace(CONFIG, snapshots_kept=5))
    await append_all(journal, [takeover(), *(record(0, n, n, n + 1) for n in range(6))])
    for offset in range(5):
        await saved(journal, offset, before=offset - 1)
    await journal.close()
    journal = await opened(tmp_path, replace(CONFIG, snapshots_kept=2))
    await saved(journal, 5, before=4)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert connection.execute("SELECT offset FROM snapshots ORDER BY 1").fetchall() == [(4,), (5,)]
        kept = connection.execute("SELECT count(*) FROM parts").fetchone()
    connection.close()
    await saved(journal, 6, before=5)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert connection.execute("SELECT count(*) FROM parts").fetchone() == kept
    connection.close()
    await journal.close()


async def test_parts_of_snapshots_that_were_never_finished_go(sqlite: SqliteJournal, tmp_path: Path) -> None:
    """An engine that died in the middle of one leaves parts behind; the next snapshot that is saved takes them away, and no others."""
    await append_all(sqlite, [takeover(), *(record(0, n, n, n + 1) for n in range(5))])
    await sqlite.put_parts(0, [b"never", b"finished"])
    await saved(sqlite, 1, (b"first",))
    await sqlite.put_parts(0, [b"nor", b"these"])
    await sqlite.put_parts(1, [b"of another partition"])
    await saved(sqlite, 2, (b"second",), before=1)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        bodies = {body for (body,) in connection.execute("SELECT body FROM parts")}
    connection.close()
    assert bodies >= {b"first", b"second", b"of another partition"}
    assert not bodies & {b"never", b"finished", b"nor", b"these"}


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE snapshots SET body = replace(body, '\"fencing_epoch\":0', '\"fencing_epoch\":1') WHERE id = 2",
        "UPDATE snapshots SET body = '{}' WHERE id = 2",
        "UPDATE snapshots SET offset = 4 WHERE id = 2",
        "UPDATE snapshots SET offset = 400, hash = '' WHERE id = 2",
        "DELETE FROM snapshots WHERE id = 2",
    ],
)
async def test_a_damaged_snapshot_falls_back_to_the_one_before(tmp_path: Path, damage: str) -> None:
    """The newest snapshot that is whole is loaded; a torn or changed one is passed over, and the journal opens."""
    journal = await opened(tmp_path)
    await append_all(journal, [takeover(), *(record(0, n, n, n + 1) for n in range(5))])
    older = await saved(journal, 2, acceptance=Acceptance(0, 1, 1))
    await saved(journal, 3, before=2, acceptance=Acceptance(0, 2, 2))
    await journal.close()
    change(tmp_path, damage)
    journal = await opened(tmp_path)
    assert await journal.load_snapshots(0) == [older]
    await journal.send_commands(0, [request()])
    assert (await take(journal.read_commands(0, 5), 1))[0].offset == 5
    made = await saved(journal, 6, (b"six",), before=2)
    assert await journal.load_snapshots(0) == [made, older]
    assert await journal.get_parts(0, made.outcomes) == [b"six"]
    await journal.close()


async def test_dead_letters_are_rows_and_bounded(sqlite: SqliteJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest `DEAD_LETTERS_KEPT` stay, with everything that is known of them."""
    monkeypatch.setattr(sqlite_module, "DEAD_LETTERS_KEPT", 3)
    for n in range(5):
        await sqlite.write_dead_letter(DeadLetter(1, n, 1_000 + n, f"reason {n}", '{"id": "c1"}'))
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        rows = connection.execute("SELECT partition, offset, time_ms, reason, payload FROM dead_letters ORDER BY id").fetchall()
    connection.close()
    assert rows == [(1, n, 1_000 + n, f"reason {n}", '{"id": "c1"}') for n in (2, 3, 4)]
