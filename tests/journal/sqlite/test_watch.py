"""A journal whose files are removed, replaced or cut while it is open acknowledges nothing more and says what happened."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from liveroom.journal.sqlite import writer as sqlite_writer
from liveroom.journal.sqlite.file import FILE_NAME
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.journal.sqlite.lock import LOCK_FILE
from liveroom.journal.sqlite.mark import MARK_FILE, read_mark
from liveroom.messages.errors import JournalDamaged, JournalError
from tests.journal.entries import append_all, record, request, stored, takeover
from tests.journal.sqlite.test_journal import opened

FOUND_S = 10
WAL = FILE_NAME + "-wal"


def remove(data_dir: Path) -> None:
    for name in (FILE_NAME, WAL, FILE_NAME + "-shm"):
        (data_dir / name).unlink()


def replace(data_dir: Path) -> None:
    shutil.copy(data_dir / FILE_NAME, data_dir / "copy")
    os.replace(data_dir / "copy", data_dir / FILE_NAME)


def cut(data_dir: Path) -> None:
    os.truncate(data_dir / FILE_NAME, 0)


def cut_wal(data_dir: Path) -> None:
    os.truncate(data_dir / WAL, 0)


def remove_wal(data_dir: Path) -> None:
    (data_dir / WAL).unlink()


def write_over(data_dir: Path) -> None:
    """Overwrite the file like `cp` of another file of the same size."""
    path = data_dir / FILE_NAME
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"x" * (path.stat().st_size - path.stat().st_size // 2))


def remove_lock(data_dir: Path) -> None:
    (data_dir / LOCK_FILE).unlink()


def rename_directory(data_dir: Path) -> None:
    data_dir.rename(data_dir.with_name("elsewhere"))


DAMAGES: dict[Callable[[Path], None], str] = {
    remove: "journal.sqlite: was removed while it was in use",
    replace: "journal.sqlite: was replaced by another file",
    cut: r"journal.sqlite: was cut from \d+ to 0 bytes",
    cut_wal: "journal.sqlite-wal: was cut while it was in use|was cut short",
    remove_wal: "journal.sqlite-wal: was removed while it was in use",
    write_over: "journal.sqlite: is damaged|journal.sqlite: was written over while it was in use",
    remove_lock: "journal.lock: was removed while it was in use",
    rename_directory: "journal.sqlite: was removed while it was in use",
}


@pytest.fixture(autouse=True)
def looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_writer, "WATCH_S", 0.05)


@pytest.fixture
async def journal(tmp_path: Path) -> SqliteJournal:
    """Some of it in the file, some in the write-ahead log."""
    journal = await opened(tmp_path / "data")
    await append_all(journal, [takeover(), *(record(0, n, n, n + 1, text="x" * 500) for n in range(20))])
    return journal


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: str(damage.__name__))
async def test_it_is_noticed_without_a_write(journal: SqliteJournal, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Within moments; from then on nothing is taken, written or read."""
    damage(tmp_path / "data")
    found = await asyncio.wait_for(journal.until_damaged(), FOUND_S)
    assert isinstance(found, JournalDamaged)
    with pytest.raises(JournalDamaged, match=DAMAGES[damage]):
        await journal.send_commands(0, [request()])
    with pytest.raises(JournalDamaged):
        await journal.append(0, takeover("b"))
    with pytest.raises(JournalDamaged):
        await journal.events_end(0)
    await asyncio.wait_for(journal.close(), FOUND_S)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: str(damage.__name__))
async def test_nothing_is_acknowledged_afterwards(
    journal: SqliteJournal, tmp_path: Path, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very next entry fails, also when nobody had looked in between, and so does what is queued behind it."""
    monkeypatch.setattr(sqlite_writer, "WATCH_S", 60.0)
    monkeypatch.setattr(sqlite_writer, "LOOKED_S", 0.0)
    damage(tmp_path / "data")
    next_, behind = journal.append(0, takeover("b")), journal.append(1, takeover("c"))
    with pytest.raises(JournalDamaged):
        await asyncio.wait_for(next_, FOUND_S)
    with pytest.raises(JournalError):  # the error of an append queued behind it, or of a later one
        await asyncio.wait_for(behind, FOUND_S)
    await asyncio.wait_for(journal.close(), FOUND_S)


async def test_a_database_that_is_written_over_under_load_is_noticed(journal: SqliteJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the middle of commits, and between two of this process' own checkpoints."""
    monkeypatch.setattr(sqlite_writer, "CHECKPOINT_PAGES", 40)

    async def write_on() -> None:
        while True:
            await journal.append(0, takeover("b"))

    writing = asyncio.create_task(write_on())
    for _ in range(20):
        await journal.append(1, takeover("c"))
    assert not writing.done()
    write_over(tmp_path / "data")
    found = await asyncio.wait_for(journal.until_damaged(), FOUND_S)
    assert "is damaged" in str(found) or "was written over" in str(found)
    with pytest.raises(JournalDamaged):
        await writing
    await journal.close()


async def test_its_own_checkpoints_are_no_damage(journal: SqliteJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the write-ahead log is copied into the database, by whichever work: nothing has to be checked, and the log does not grow."""
    monkeypatch.setattr(sqlite_writer, "CHECKPOINT_PAGES", 40)
    monkeypatch.setattr(sqlite_writer, "check_pages_of_small", lambda *_: pytest.fail("no other program wrote"))
    database, before = tmp_path / "data" / FILE_NAME, (tmp_path / "data" / FILE_NAME).stat().st_mtime_ns
    for number in range(100):
        await journal.append(0, takeover("b" * 2_000))
        if number % 10 == 0:
            await asyncio.sleep(0.06)  # it is looked at in between
    assert database.stat().st_mtime_ns > before
    assert (tmp_path / "data" / WAL).stat().st_size < 100 * 2_000
    assert len(await stored(journal)) == 121
    await journal.close()


async def test_a_writer_that_fails_is_damage_and_no_silence(journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that ended would leave everybody waiting."""

    def fail(writer: object) -> None:
        raise PermissionError("cannot be looked at")

    monkeypatch.setattr(sqlite_writer.SqliteWriter, "_keep_mark", fail)
    found = await asyncio.wait_for(journal.until_damaged(), FOUND_S)
    assert "the journal's writer failed (PermissionError: cannot be looked at)" in str(found)
    with pytest.raises(JournalDamaged):
        await asyncio.wait_for(journal.append(0, takeover("b")), FOUND_S)
    await journal.close()


async def test_a_directory_that_cannot_be_looked_at_for_a_moment_is_no_damage(
    journal: SqliteJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The open files are as they were."""
    look = os.stat
    denied = 0

    def stat(path: object, **named: object) -> os.stat_result:
        nonlocal denied
        if str(path).startswith(str(tmp_path / "data")):
            denied += 1
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", stat)
        async with asyncio.timeout(FOUND_S):
            while denied < 10:
                await journal.append(0, takeover("b"))
    assert await asyncio.wait_for(journal.append(0, takeover("b")), FOUND_S) > 21
    await journal.close()


async def test_a_removed_write_ahead_log_loses_nothing(journal: SqliteJournal, tmp_path: Path) -> None:
    """The process still has it open: at its end what was in it is in the file, and the next start finds all."""
    before = await stored(journal)
    remove_wal(tmp_path / "data")
    await asyncio.wait_for(journal.until_damaged(), FOUND_S)
    await journal.close()
    journal = await opened(tmp_path / "data")
    assert await stored(journal) == before
    assert journal.incarnation(0) == ""
    await journal.close()


async def test_a_write_ahead_log_that_was_copied_into_the_file_may_be_cut(journal: SqliteJournal, tmp_path: Path) -> None:
    """Another program's checkpoint is no damage: nothing is missing."""
    with sqlite3.connect(tmp_path / "data" / FILE_NAME) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        assert (tmp_path / "data" / WAL).stat().st_size == 0
    assert await journal.append(0, takeover("b")) == 21
    assert len(await stored(journal)) == 22
    other.close()
    await journal.close()


async def test_a_mark_of_another_process_ends_this_one(journal: SqliteJournal, tmp_path: Path) -> None:
    """Two processes that write one journal would write over each other's marks without end."""
    mark = tmp_path / "data" / MARK_FILE
    shutil.copy(mark, tmp_path / "other")
    os.replace(tmp_path / "other", mark)
    found = await asyncio.wait_for(journal.until_damaged(), FOUND_S)
    assert "journal.mark: was replaced while it was in use" in str(found)
    await journal.close()


async def test_a_removed_mark_is_written_again(journal: SqliteJournal, tmp_path: Path) -> None:
    """It protects the journal, it is not the journal: the process goes on."""
    mark = tmp_path / "data" / MARK_FILE
    mark.unlink()
    async with asyncio.timeout(FOUND_S):
        while not mark.exists():
            await asyncio.sleep(0.01)
    await journal.append(0, takeover("b"))
    marked = read_mark(tmp_path / "data")
    assert marked is not None
    assert marked.heads[0].end == 22
    await journal.close()


async def test_a_removed_mark_is_written_again_on_a_busy_journal(journal: SqliteJournal, tmp_path: Path) -> None:
    """A journal that is never idle looks for its mark, too: otherwise a kill would leave it without one."""
    mark = tmp_path / "data" / MARK_FILE
    mark.unlink()
    async with asyncio.timeout(FOUND_S):
        while not mark.exists():
            await journal.append(0, takeover("b"))  # no second without a write
    await journal.close()
