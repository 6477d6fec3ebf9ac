"""`python -m loadtests round-trip` as people start it, on a real broker."""

from __future__ import annotations

import json
from pathlib import Path

from tests.broker import broker
from tests.loadtests.commands import ROOT, refused, run


def test_commands_are_measured_beside_kafka_alone(tmp_path: Path) -> None:
    """Every command is answered, and the report has p50 and p99 of each kind, the ratios and the verdict that follows from them."""
    file = tmp_path / "report.json"
    done = run("round-trip", "--kafka", broker(), "--commands", "5", "--repetitions", "2", "--json", str(file))
    report = json.loads(file.read_text(encoding="utf-8"))
    assert json.loads(done.stdout) == report, done.stderr
    words = (ROOT / "docs" / "load-tests.md").read_text(encoding="utf-8")
    assert [name for name in report if f"`{name}`" not in words] == [], "every part of a report is explained"
    for kind in ("bare", "reserve", "chat"):
        assert 0 < report["latency_ms"][kind]["p50"] <= report["latency_ms"][kind]["p99"]
    assert report["ok"] == all(ratio <= report["ratio_max"] for ratio in report["ratio_p50"].values())
    assert done.returncode == (0 if report["ok"] else 1)


def test_a_sale_must_have_units_for_all() -> None:
    """More commands than a sale has units are an error before anything starts."""
    assert refused("round-trip", "--commands", "10000", "--repetitions", "5")
