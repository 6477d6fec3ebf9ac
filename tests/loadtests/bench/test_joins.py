"""`python -m loadtests joins` as people start it, on a real broker."""

from __future__ import annotations

import json
from pathlib import Path

from tests.broker import broker
from tests.loadtests.commands import ROOT, refused, run


def test_joins_into_one_room_and_into_cold_rooms_are_measured(tmp_path: Path) -> None:
    """Every viewer joins in every run, and the report's parts are explained."""
    file = tmp_path / "report.json"
    done = run("joins", "--kafka", broker(), "--rooms", "20", "--repetitions", "1", "--json", str(file))
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text(encoding="utf-8"))
    words = (ROOT / "docs" / "load-tests.md").read_text(encoding="utf-8")
    assert [name for name in report if f"`{name}`" not in words] == []
    (one,), (cold,) = report["seconds"]["one_room"], report["seconds"]["cold_rooms"]
    assert report["ratio"] == cold / one > 0


def test_too_many_rooms_are_refused() -> None:
    """Before anything is started."""
    assert refused("joins", "--rooms", "5001")
