"""The file is read by others while it is written."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from liveroom.journal.sqlite.file import FILE_NAME
from liveroom.journal.sqlite.journal import SqliteJournal
from liveroom.journal.sqlite.reader import CHUNK_ENTRIES, open_reader
from liveroom.messages.errors import JournalDamaged, JournalUnavailable, JournalVersion
from liveroom.telemetry.metrics import Metrics
from tests.journal.conftest import CONFIG
from tests.journal.entries import append_all, record, stored, takeover


async def test_a_reader_sees_what_is_durable_while_the_journal_is_open(sqlite: SqliteJournal, tmp_path: Path) -> None:
    """It gives every entry up to the end, and more when it is asked again from the next offset."""
    await append_all(sqlite, [takeover(), *(record(0, n, n, n + 1, text="hi") for n in range(2 * CHUNK_ENTRIES))])
    with open_reader(tmp_path) as reader:
        assert reader.partitions == CONFIG.partitions
        assert [(s.offset, s.entry) for s in reader.entries(0)] == [(s.offset, s.entry) for s in await stored(sqlite)]
        assert list(reader.entries(1)) == []
        assert list(reader.entries(0, 2 * CHUNK_ENTRIES + 1)) == []
        await append_all(sqlite, [takeover("b")])
        assert [s.entry for s in reader.entries(0, 2 * CHUNK_ENTRIES + 1)] == [takeover("b")]


async def test_a_reader_in_another_process(sqlite: SqliteJournal, tmp_path: Path) -> None:
    """A process that knows nothing but the directory reads along."""
    await append_all(sqlite, [takeover(), record(0, 0, 0, 1)])
    code = (
        "import sys; from pathlib import Path; from liveroom.journal.sqlite.reader import open_reader\n"
        "with open_reader(Path(sys.argv[1])) as reader: print([s.offset for s in reader.entries(0)])"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=30)  # noqa: ASYNC221
    assert run.stdout == "[0, 1]\n", run.stderr


async def test_a_reader_of_a_closed_journal(tmp_path: Path) -> None:
    """The file can be read when nothing runs, and opened for writing afterwards."""
    journal = await SqliteJournal.open(tmp_path, CONFIG, Metrics())
    await append_all(journal, [takeover()])
    await journal.close()
    with open_reader(tmp_path) as reader:
        assert [s.entry for s in reader.entries(0)] == [takeover()]
    journal = await SqliteJournal.open(tmp_path, CONFIG, Metrics())
    assert await journal.append(0, takeover("b")) == 1
    await journal.close()


async def test_a_reader_writes_nothing(sqlite: SqliteJournal, tmp_path: Path) -> None:
    """Its connection refuses to change the journal."""
    with open_reader(tmp_path) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM events")


def test_no_journal(tmp_path: Path) -> None:
    """Where there is no file it says so, and makes none."""
    with pytest.raises(JournalUnavailable, match="there is no journal"):
        open_reader(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sql", "error", "words"),
    [
        ("UPDATE meta SET value = '99' WHERE name = 'schema_version'", JournalVersion, "schema version 99"),
        ("DROP TABLE meta", JournalDamaged, "no journal of liveroom or damaged"),
    ],
)
async def test_a_file_that_it_does_not_know(tmp_path: Path, sql: str, error: type[Exception], words: str) -> None:
    """A newer or a foreign file gets a clear error."""
    await (await SqliteJournal.open(tmp_path, CONFIG, Metrics())).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute(sql)
    connection.close()
    with pytest.raises(error, match=words):
        open_reader(tmp_path)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """Other bytes under the journal's name are damage."""
    (tmp_path / FILE_NAME).write_bytes(b"something else entirely " * 1_000)
    with pytest.raises(JournalDamaged, match="is damaged"):
        open_reader(tmp_path)
