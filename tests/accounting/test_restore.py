"""`liveroom restore-journal`: an older copy becomes the present journal on purpose, or everything stays as it was."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from liveroom.accounting.restore import restore_journal
from liveroom.cli import main
from liveroom.config.schema import Config, JournalConfig, LiveroomConfig
from liveroom.journal.sqlite import restore as sqlite_restore
from liveroom.journal.sqlite.file import FILE_NAME
from liveroom.journal.sqlite.mark import MARK_FILE, Mark, read_mark
from liveroom.messages.errors import AuditFailed, BadConfig, JournalDamaged, JournalError, JournalLocked, JournalMismatch, JournalUnavailable
from tests.journal.entries import append_all, record, stored, takeover
from tests.journal.sqlite.test_journal import change, opened

COPIED = 4


def on(data_dir: Path, **changes: int | str) -> Config:
    journal = structs.replace(JournalConfig(partitions=2), **changes)
    return Config(liveroom=LiveroomConfig(data_dir=str(data_dir)), journal=journal)


@pytest.fixture
async def data_dir(tmp_path: Path) -> Path:
    """A journal of six entries, and `copy.sqlite` of when it had four."""
    data_dir = tmp_path / "data"
    journal = await opened(data_dir)
    await append_all(journal, [takeover(), *(record(0, n, n, n + 1, text=f"line {n}") for n in range(3))])
    with closing(sqlite3.connect(data_dir / FILE_NAME)) as source, closing(sqlite3.connect(tmp_path / "copy.sqlite")) as target:
        source.backup(target)
    await append_all(journal, [record(0, n, n, n + 1, text=f"line {n}") for n in range(3, 5)])
    await journal.close()
    return data_dir


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file() and path.suffix not in (".lock", ".sqlite-shm")}


async def is_the_copy(data_dir: Path) -> str:
    """The incarnation of the journal, which is that of the copy and goes on."""
    journal = await opened(data_dir)
    assert len(await stored(journal)) == COPIED
    assert await journal.append(0, takeover("b")) == COPIED
    await journal.close()
    return journal.incarnation(0)


async def test_a_copy_becomes_the_present_journal(data_dir: Path) -> None:
    """Each restore makes a new incarnation, keeps the old journal, and reports how much is lost."""
    before = (data_dir / FILE_NAME).read_bytes()
    restored = restore_journal(on(data_dir), data_dir.parent / "copy.sqlite")
    assert (restored.entries, restored.missing) == (COPIED, 2)
    assert restored.replaced is not None
    assert (restored.replaced / FILE_NAME).read_bytes() == before
    first = await is_the_copy(data_dir)
    shutil.rmtree(restored.replaced)
    restore_journal(on(data_dir), data_dir.parent / "copy.sqlite")
    second = await is_the_copy(data_dir)
    assert first
    assert second
    assert first != second


async def test_a_copy_is_restored_where_nothing_is(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command, into a directory that it makes; it prints the heads."""
    main(["restore-journal", str(data_dir.parent / "copy.sqlite"), "--data-dir", str(tmp_path / "new"), "--journal-partitions", "2"])
    words = capsys.readouterr().out
    assert f"{COPIED} entries; 0 entries of the replaced journal are gone" in words
    assert "head of partition 0: 4 entries, chain " in words
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["journal.lock", MARK_FILE, FILE_NAME]
    assert await is_the_copy(tmp_path / "new")


async def test_nothing_is_left_beside_the_copy(data_dir: Path, tmp_path: Path) -> None:
    """A journal holds coupon codes and seeds: reading a copy makes no other files, which would be unguarded."""
    folder = tmp_path / "backups"
    folder.mkdir()
    copy = (tmp_path / "copy.sqlite").rename(folder / "copy.sqlite")
    restore_journal(on(data_dir), copy)
    assert [path.name for path in folder.iterdir()] == ["copy.sqlite"]


def copy_files(data_dir: Path, copy: Path) -> None:
    """The database and its write-ahead log, as a file system's copy has them."""
    copy.mkdir()
    for end in ("", "-wal"):
        shutil.copy(data_dir / (FILE_NAME + end), copy / (FILE_NAME + end))


async def test_what_the_copys_write_ahead_log_holds_is_restored(data_dir: Path, tmp_path: Path) -> None:
    """Files that were copied together from a killed server are a whole copy; they stay what they were."""
    journal = await opened(data_dir)
    await append_all(journal, [takeover("b")])
    copy = tmp_path / "killed"
    copy_files(data_dir, copy)
    await journal.close()
    assert restore_journal(on(data_dir), copy / FILE_NAME).entries == 7
    assert sorted(path.name for path in copy.iterdir()) == [FILE_NAME, FILE_NAME + "-wal"]


@pytest.mark.parametrize("links", ["file", "directory"])
async def test_a_link_to_a_copy_is_the_copy(data_dir: Path, tmp_path: Path, links: str) -> None:
    """Its write-ahead log lies beside the file that a link leads to, and counts; `latest` may be a link to a file or to a directory."""
    journal = await opened(data_dir)
    await append_all(journal, [takeover("b")])
    copy = tmp_path / "monday"
    copy_files(data_dir, copy)
    await journal.close()
    latest = tmp_path / "latest"
    latest.symlink_to(copy / FILE_NAME if links == "file" else copy)
    assert restore_journal(on(data_dir), latest if links == "file" else latest / FILE_NAME).entries == 7


async def test_another_program_at_the_copy_is_not_disturbed(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that comes during the restore keeps the index that it made: without it, its writes would damage the copy."""
    journal = await opened(data_dir)
    await append_all(journal, [takeover("b")])
    copy = tmp_path / "killed"
    copy_files(data_dir, copy)
    await journal.close()
    others: list[sqlite3.Connection] = []

    def opened_with_another(*given: Any) -> sqlite3.Connection:
        others.append(sqlite3.connect(copy / FILE_NAME))
        others[0].execute("SELECT count(*) FROM events").fetchone()
        return open_copy(*given)

    open_copy = sqlite_restore._open_copy
    monkeypatch.setattr(sqlite_restore, "_open_copy", opened_with_another)
    assert restore_journal(on(data_dir), copy / FILE_NAME).entries == 7
    assert (copy / (FILE_NAME + "-shm")).exists()
    others[0].close()


async def test_a_copy_that_changes_meanwhile_is_refused(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a copy would mix two times, so it is refused and everything stays as it was."""
    copy, before = data_dir.parent / "copy.sqlite", content(data_dir)

    def written_meanwhile(*given: Any) -> sqlite3.Connection:
        connection = open_copy(*given)
        with closing(sqlite3.connect(copy, isolation_level=None)) as other:
            other.execute("UPDATE meta SET value = 'x' WHERE name = 'opened_ms'")
        return connection

    open_copy = sqlite_restore._open_copy
    monkeypatch.setattr(sqlite_restore, "_open_copy", written_meanwhile)
    with pytest.raises(JournalUnavailable, match="another program writes it"):
        restore_journal(on(data_dir), copy)
    assert content(data_dir) == before


async def test_a_copy_that_was_not_finished_is_refused(data_dir: Path) -> None:
    """An interrupted `.backup` leaves a rollback journal beside it. One that is done with, empty or zeroed, changes nothing."""
    copy, before = data_dir.parent / "copy.sqlite", content(data_dir)
    rollback = copy.with_name("copy.sqlite-journal")
    rollback.write_bytes(bytes.fromhex("d9d505f920a163d7") + bytes(504))
    with pytest.raises(JournalUnavailable, match=r"copy\.sqlite-journal beside it says that a write was not finished"):
        restore_journal(on(data_dir), copy)
    assert content(data_dir) == before
    for done in (b"", bytes(512)):
        rollback.write_bytes(done)
        restored = restore_journal(on(data_dir), copy)
        assert restored.entries == COPIED
        assert restored.replaced is not None
        shutil.rmtree(restored.replaced)  # its name is the second


async def test_damaged_first_pages_name_the_way_out(data_dir: Path) -> None:
    """The refusal names the way out as every refused start does: with a mark beside the file, and whatever SQLite's error is."""
    path = data_dir / FILE_NAME
    path.write_bytes(b"\0" * 8_192 + path.read_bytes()[8_192:])
    with pytest.raises(JournalDamaged, match="liveroom restore-journal FILE"):
        await opened(data_dir)
    restore_journal(on(data_dir), data_dir.parent / "copy.sqlite")
    assert await is_the_copy(data_dir)


async def test_an_older_file_that_was_put_there_is_accepted(data_dir: Path) -> None:
    """The journal's own file may be named: what the start refused is then the present."""
    shutil.copy(data_dir.parent / "copy.sqlite", data_dir / FILE_NAME)
    with pytest.raises(JournalDamaged):
        await opened(data_dir)
    restored = restore_journal(on(data_dir), data_dir / FILE_NAME)
    assert (restored.missing, restored.replaced) == (2, None)
    assert await is_the_copy(data_dir)


async def test_a_journal_with_a_damaged_mark_is_accepted(data_dir: Path) -> None:
    """The words of the damaged mark name this command."""
    (data_dir / MARK_FILE).write_bytes(b"something else")
    with pytest.raises(JournalDamaged, match=f"restore-journal {data_dir / FILE_NAME}"):
        await opened(data_dir)
    restore_journal(on(data_dir), data_dir / FILE_NAME)
    journal = await opened(data_dir)
    assert journal.incarnation(0)
    await journal.close()


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ("UPDATE events SET body = replace(body, 'line 1', 'line 7') WHERE offset = 2", JournalDamaged),
        ("UPDATE events SET verdict = 'accepted' WHERE offset = 0", JournalDamaged),
        ("DELETE FROM events WHERE offset = 2", JournalDamaged),
        ("DROP TABLE meta", JournalDamaged),
    ],
)
async def test_a_copy_that_is_not_whole_changes_nothing(data_dir: Path, damage: str, error: type[Exception]) -> None:
    """It is audited before anything is moved."""
    copy = data_dir.parent / "journal.sqlite"
    shutil.copy(data_dir.parent / "copy.sqlite", copy)
    change(data_dir.parent, damage)
    before = content(data_dir)
    with pytest.raises(error):
        restore_journal(on(data_dir), copy)
    assert content(data_dir) == before
    assert not (data_dir / sqlite_restore.RESTORING).exists()


async def test_what_cannot_be_restored_says_so(data_dir: Path) -> None:
    """No file, no database, a server that runs, other partitions, a journal of another kind."""
    copy = data_dir.parent / "copy.sqlite"
    before = content(data_dir)

    def refused(error: type[JournalError | BadConfig | AuditFailed], words: str, config: Config, file: Path = copy) -> None:
        with pytest.raises(error, match=words):
            restore_journal(config, file)
        assert content(data_dir) == before

    refused(JournalUnavailable, "there is no such file", on(data_dir), copy.with_name("nothing"))
    other = copy.with_name("text")
    other.write_bytes(b"no database at all " * 100)
    refused(JournalDamaged, "is damaged", on(data_dir), other)
    refused(JournalMismatch, "the copy has 2 partitions, the settings say 3", on(data_dir, partitions=3))
    refused(BadConfig, "journal.kind", on(data_dir, kind="kafka"))
    journal = await opened(data_dir)
    with pytest.raises(JournalLocked):
        restore_journal(on(data_dir), copy)
    await journal.close()


async def test_a_copy_that_cannot_be_looked_at_says_so(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words, and everything stays as it was; the superuser may look anywhere, so the system's answer is played."""
    copy, before = data_dir.parent / "copy.sqlite", content(data_dir)
    looked_at = Path.stat

    def denied(path: Path, **how: Any) -> os.stat_result:
        if path == copy:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return looked_at(path, **how)

    monkeypatch.setattr(Path, "stat", denied)
    with pytest.raises(JournalUnavailable, match="Permission denied"):
        restore_journal(on(data_dir), copy)
    with pytest.raises(JournalUnavailable, match="Permission denied"):
        sqlite_restore.copy_into(data_dir, copy)
    assert content(data_dir) == before


async def test_what_a_killed_restore_left_is_not_emptied(data_dir: Path) -> None:
    """A copy that lies in the folder of an unfinished restore is refused with an explanation, and stays unchanged."""
    left = data_dir / sqlite_restore.RESTORING / FILE_NAME
    left.parent.mkdir()
    shutil.copy(data_dir.parent / "copy.sqlite", left)
    before = left.read_bytes()
    with pytest.raises(JournalUnavailable, match="move it elsewhere first"):
        restore_journal(on(data_dir), left)
    assert left.read_bytes() == before
    moved = left.rename(data_dir.parent / "moved.sqlite")
    assert restore_journal(on(data_dir), moved).entries == COPIED


async def test_a_restore_that_is_killed_is_found(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the mark is written the next start refuses; the command can be given again."""

    class Killed(BaseException):
        pass

    def killed(*_: object) -> Mark:
        raise Killed

    for owner, name in ((Mark, "begin"), (sqlite_restore, "sync_directory")):
        with monkeypatch.context() as context:
            context.setattr(owner, name, killed)
            with pytest.raises(Killed):
                restore_journal(on(data_dir), data_dir.parent / "copy.sqlite")
        with pytest.raises(JournalDamaged, match="incarnation"):
            await opened(data_dir)
        shutil.rmtree(next(data_dir.glob("replaced-*")))
    restore_journal(on(data_dir), data_dir.parent / "copy.sqlite")
    assert await is_the_copy(data_dir)
    marked = read_mark(data_dir)
    assert marked is not None
    assert marked.incarnation
