"""Only its owner can read a journal."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from liveroom.auth.tokens import kept_secret
from tests.journal.entries import append_all, snapshot, takeover
from tests.journal.sqlite.test_journal import made, opened


@pytest.fixture(autouse=True)
def no_mask() -> Iterator[None]:
    """The process takes no permission from what it makes: the modes are the server's own."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in [directory, *directory.iterdir()]}


async def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """The directory and every file in it, while it is open and afterwards."""
    data_dir = tmp_path / "data"
    kept_secret(data_dir / "dev-secret")
    journal = await opened(data_dir)
    await append_all(journal, [takeover()])
    await journal.save_snapshot(0, snapshot(1))
    names = {"dev-secret", "journal.lock", "journal.mark", "journal.sqlite", "journal.sqlite-shm", "journal.sqlite-wal"}
    assert modes(data_dir) == {"data": 0o700} | dict.fromkeys(names, 0o600)
    await journal.close()
    assert set(modes(data_dir).values()) == {0o700, 0o600}


async def test_files_that_others_could_read_are_tightened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each change is logged. The directory may serve other purposes, so it stays as it is, with a warning."""
    await made(tmp_path)
    kept_secret(tmp_path / "dev-secret")
    for path in [tmp_path, *tmp_path.iterdir()]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    with caplog.at_level(logging.WARNING):
        await (await opened(tmp_path)).close()
    kept_secret(tmp_path / "dev-secret")
    assert {name: mode for name, mode in modes(tmp_path).items() if mode != 0o600} == {tmp_path.name: 0o755}
    told = [record.getMessage() for record in caplog.records]
    assert sum("others could read a file of the journal" in words for words in told) == 3
    assert sum("others may enter the data directory" in words for words in told) == 1
