"""Damage to an embedded journal is found, or makes no difference; the program that tries it notices when it is not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from liveroom.app import App
from liveroom.console.health import NotReady
from liveroom.journal.sqlite.file import FILE_NAME
from liveroom.journal.sqlite.mark import MARK_FILE
from loadtests.chaos import bitflips
from tests.accounting.test_audit import link_again
from tests.loadtests.commands import report_of, run


def test_damage_is_found_or_makes_no_difference(tmp_path: Path) -> None:
    """Single bits of the database, the write-ahead log and the mark; cut, deleted and older files. Every start serves or ends with words."""
    file = tmp_path / "report.json"
    report = report_of(run("bitflips", "--flips", "8", "--seed", "3", "--json", str(file)), file)
    assert report["ok"]
    assert report["trials"] == 3 * 8 + 3 + 9
    assert report["targets"]["flip: mark"] == {"found_at_start": 8}
    assert report["targets"]["older copy"] == {"found_at_start": 1}


async def test_it_notices_what_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that is never ready is half alive; a forged story that passes the audit is another one."""
    data_dir = (await bitflips._make(tmp_path))["stopped"]
    stories = bitflips._stories(data_dir)
    assert all(len(lines) > bitflips.LINES for lines in stories.values())
    with monkeypatch.context() as context:
        context.setattr(App, "_not_ready_reason", lambda _: NotReady("something"))
        context.setattr(bitflips, "START_S", 1.0)
        assert (await bitflips._outcome(data_dir, stories))[0] == "half_alive"
    with closing(sqlite3.connect(data_dir / FILE_NAME)) as file:
        changed = file.execute("UPDATE events SET body = replace(body, 'line 7 of stopped-0', 'line 8 of stopped-0')").rowcount
        assert changed
        for partition in range(bitflips.PARTITIONS):
            link_again(file, partition)
        file.commit()
    (data_dir / MARK_FILE).unlink()
    outcome, words = await bitflips._outcome(data_dir, stories)
    assert outcome == "changed"
    assert "room stopped-0 has other events" in words
