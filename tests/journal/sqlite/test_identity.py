"""The embedded journal knows itself: what is lost, older or another is found at the start, and nothing is made in its place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from liveroom.config.schema import Config, JournalConfig, LiveroomConfig
from liveroom.journal.acceptance import Acceptance
from liveroom.journal.base import Snapshot
from liveroom.journal.sqlite.file import FILE_NAME
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.journal.sqlite.mark import MARK_FILE
from liveroom.journal.stored_log import open_stored_log
from liveroom.messages.errors import JournalDamaged
from liveroom.protocol.records import Entry
from tests.journal.entries import append_all, record, saved, snapshot, stored, takeover
from tests.journal.sqlite.test_journal import change, made, opened


async def refused(data_dir: Path, words: str) -> None:
    """The start says what it found and ends, and leaves the directory as it was."""
    before = _content(data_dir)
    with pytest.raises(JournalDamaged, match=words):
        await opened(data_dir)
    assert _content(data_dir) == before


def _content(data_dir: Path) -> dict[str, bytes]:
    """The files that hold anything; an empty write-ahead log comes and goes with readers."""
    return {path.name: content for path in data_dir.iterdir() if path.suffix not in (".lock", ".sqlite-shm") and (content := path.read_bytes())}


async def append(data_dir: Path, *entries: Entry) -> None:
    journal = await opened(data_dir)
    await append_all(journal, entries)
    await journal.close()


async def test_a_removed_journal_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    """The mark says what was here; the ways out are named."""
    await made(tmp_path)
    (tmp_path / FILE_NAME).unlink()
    await refused(
        tmp_path, r"journal.sqlite: is missing, but journal [0-9a-f]{32} with 4 entries was here; put back .* `liveroom restore-journal FILE`"
    )


async def test_a_journal_cut_to_nothing_is_not_begun_again(tmp_path: Path) -> None:
    """An empty file is a new database for SQLite, and damage here."""
    await made(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b"")
    await refused(tmp_path, "is empty, but journal")


async def test_a_write_ahead_log_alone_is_no_new_journal(tmp_path: Path) -> None:
    """Where even the mark is gone, the log still says that something was here."""
    (tmp_path / (FILE_NAME + "-wal")).write_bytes(b"frames")
    with pytest.raises(JournalDamaged, match=r"its write-ahead log journal.sqlite-wal is here"):
        await opened(tmp_path)
    assert (tmp_path / (FILE_NAME + "-wal")).read_bytes() == b"frames"


@pytest.mark.parametrize("left", [0, 1_000, 20_000])
async def test_a_lost_write_ahead_log_is_found(sqlite: SqliteJournal, tmp_path: Path, left: int) -> None:
    """A write-ahead log that lost its end, or everything, after a kill has less than the mark says."""
    await append_all(sqlite, [takeover(), *(record(0, n, n, n + 1, text="x" * 2_000) for n in range(30))])
    copy = tmp_path.with_name(tmp_path.name + "-copy")
    shutil.copytree(tmp_path, copy, ignore=shutil.ignore_patterns("*-shm"))
    os.truncate(copy / (FILE_NAME + "-wal"), left)
    await refused(copy, r"partition 0 ends at|journal.sqlite: holds nothing, but journal")


async def test_an_older_copy_is_not_taken_for_the_present(tmp_path: Path) -> None:
    """It ends before the mark; both ends are named."""
    await made(tmp_path)
    older = (tmp_path / FILE_NAME).read_bytes()
    await append(tmp_path, takeover("b"))
    (tmp_path / FILE_NAME).write_bytes(older)
    await refused(tmp_path, "partition 0 ends at 4, but 5 entries of it had been written; put back")


async def test_another_journal_is_not_taken_for_this_one(tmp_path: Path) -> None:
    """Each has an id of its own; both are named."""
    for name in ("one", "two"):
        await made(tmp_path / name)
    shutil.copy(tmp_path / "two" / FILE_NAME, tmp_path / "one" / FILE_NAME)
    await refused(tmp_path / "one", r"is journal [0-9a-f]{32}, but [0-9a-f]{32} was here")


async def test_another_history_of_the_same_length_is_found(tmp_path: Path) -> None:
    """Two copies that went on differently have different chains."""
    await made(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    await append(tmp_path / "one", takeover("b"))
    await append(tmp_path / "two", takeover("c"))
    shutil.copy(tmp_path / "two" / FILE_NAME, tmp_path / "one" / FILE_NAME)
    await refused(tmp_path / "one", "entry 4 of partition 0 is not the one that was here")


async def test_a_file_without_a_mark_is_taken_under_a_new_incarnation(tmp_path: Path) -> None:
    """Its former length is unknown, so readers' cursors belong to another history. From then on it has a mark."""
    await made(tmp_path)
    journal = await opened(tmp_path)
    assert journal.incarnation(0) == "", "a journal that was always here has none"
    await journal.close()
    (tmp_path / MARK_FILE).unlink()
    incarnations = []
    for _ in range(2):
        journal = await opened(tmp_path)
        incarnations.append(journal.incarnation(0))
        assert len(await stored(journal)) == 4
        await journal.close()
    assert incarnations[0]
    assert incarnations[0] == incarnations[1]


async def test_a_new_journal_is_made_where_none_was(tmp_path: Path) -> None:
    """A directory with nothing in it, or with a lock that a failed start left, is no damage."""
    (tmp_path / "journal.lock").touch()
    await made(tmp_path)
    assert (tmp_path / MARK_FILE).exists()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE events SET body = replace(body, 'line 2', 'line 3') WHERE offset = 3",
        "UPDATE events SET chain = x'00' WHERE offset = 3",
        "UPDATE meta SET value = 'another' WHERE name = 'journal_id'",
        "UPDATE meta SET value = 'another' WHERE name = 'incarnation'",
        "DROP VIEW room_events",
    ],
)
async def test_a_changed_byte_is_found_at_the_start(tmp_path: Path, damage: str) -> None:
    """The start verifies everything that it reads: entries from the newest snapshot on, the journal's name, its tables."""
    await made(tmp_path)
    change(tmp_path, damage)
    await refused(tmp_path, "is not the one that was written|was here|is not as liveroom made it")


async def test_a_changed_identity_is_found_without_a_mark(tmp_path: Path) -> None:
    """The first entry is linked to the journal's id and its number of partitions."""
    await made(tmp_path)
    (tmp_path / MARK_FILE).unlink()
    change(tmp_path, "UPDATE meta SET value = 'another' WHERE name = 'journal_id'")
    await refused(tmp_path, "entry 0 of partition 0 is not the one that was written")


async def test_a_changed_byte_below_a_snapshot_is_found_when_it_is_read(tmp_path: Path) -> None:
    """The start does not read it. A later reader gets no changed entry, and the journal stops."""
    journal = await opened(tmp_path)
    await append_all(journal, [takeover(), *(record(0, n, n, n + 1, text=f"line {n}") for n in range(5))])
    await journal.save_snapshot(0, Snapshot(5, 0, Acceptance(0, 4, 4), (), ()))
    await journal.close()
    change(tmp_path, "UPDATE events SET body = replace(body, 'line 1', 'line 2') WHERE offset = 2")
    journal = await opened(tmp_path)
    with pytest.raises(JournalDamaged, match="entry 2 of partition 0 is not the one that was written"):
        await stored(journal)
    assert "entry 2" in str(await journal.until_damaged())
    with pytest.raises(JournalDamaged):
        await journal.append(0, takeover("b"))
    await journal.close()


async def test_a_snapshot_beyond_the_end_is_damage(tmp_path: Path) -> None:
    """Snapshots are written after their entries: one that is whole proves that entries are gone."""
    journal = await opened(tmp_path)
    await append_all(journal, [takeover(), *(record(0, n, n, n + 1) for n in range(5))])
    await journal.save_snapshot(0, snapshot(6))
    await journal.close()
    change(tmp_path, "DELETE FROM events WHERE offset > 2")
    (tmp_path / MARK_FILE).unlink()
    await refused(tmp_path, "partition 0 has no entry 5")


async def test_a_snapshot_of_other_entries_is_damage(tmp_path: Path) -> None:
    """A snapshot carries the chain value of the entry that it was taken after."""
    journal = await opened(tmp_path)
    await append_all(journal, [takeover(), *(record(0, n, n, n + 1) for n in range(5))])
    await journal.save_snapshot(0, snapshot(6))
    await journal.close()
    change(tmp_path, "UPDATE snapshots SET chain = (SELECT chain FROM events WHERE offset = 4)")
    await refused(tmp_path, "are not those that its snapshot was made of")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE parts SET body = x'00'", "the snapshot of partition 0 at 4 is not the one"),
        ("UPDATE snapshots SET chain = x'00'", "are not those that its snapshot was made of"),
        ("DELETE FROM events WHERE offset = 3", "has no entry 3|ends at 3"),
    ],
)
async def test_what_stands_beside_the_entries_is_verified_on_request(tmp_path: Path, damage: str, words: str) -> None:
    """Snapshots and the mark, as `liveroom audit` asks for."""
    await made(tmp_path)
    journal = await opened(tmp_path)
    await saved(journal, 4)
    await journal.close()
    config = Config(liveroom=LiveroomConfig(data_dir=str(tmp_path)), journal=JournalConfig(partitions=2))
    with open_stored_log(config) as stored_log:
        stored_log.verify()
    change(tmp_path, damage)
    with open_stored_log(config) as stored_log, pytest.raises(JournalDamaged, match=words):
        stored_log.verify()


async def test_a_reader_of_a_removed_journal_says_what_was_here(tmp_path: Path) -> None:
    """`tail` and `audit` do not speak of a directory that was never used."""
    await made(tmp_path)
    (tmp_path / FILE_NAME).unlink()
    config = Config(liveroom=LiveroomConfig(data_dir=str(tmp_path)))
    with pytest.raises(JournalDamaged, match="is missing, but journal"):
        open_stored_log(config)
