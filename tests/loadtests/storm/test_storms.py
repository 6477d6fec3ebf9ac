"""The storms as people start them, small, each against a server of its own that is killed in the middle."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.loadtests.commands import refused, report_of, run

#: A killed server is up within two seconds, so customers need not wait twenty before the next attempt.
SOON = ("--back-within", "2")


def test_red_envelope_through_a_kill(tmp_path: Path) -> None:
    """There are as many winners as shares, amounts add up, and each command has one answer, whatever is repeated, doubled, lost or killed."""
    file = tmp_path / "report.json"
    report = report_of(run("swarm", "red-envelope", "--viewers", "150", "--units", "30", "--kill", "1", *SOON, "--json", str(file)), file)
    assert report["ok"]
    assert report["granted"].pop("gone_after_ms") > 0
    assert report["granted"] == {"winners": 30, "granted_fen": 3_000, "refunded_fen": 0, "total_fen": 3_000}
    assert len(report["kills"]) == 1
    assert report["answers"]["repeated_after_kill"] > 0
    assert all(report["habits"][habit] > 0 for habit in ("duplicate", "impatient", "dropped", "again"))


def test_coupon_through_kills(tmp_path: Path) -> None:
    """Every code goes out, once, to users within their limit."""
    file = tmp_path / "report.json"
    arguments = ("--viewers", "120", "--units", "40", "--per-user", "2", "--kill", "2", *SOON, "--json", str(file))
    report = report_of(run("swarm", "coupon", *arguments), file)
    assert report["ok"]
    assert report["granted"]["codes"] == 40
    assert len(report["kills"]) == 2


def test_flash_sale_through_a_kill(tmp_path: Path) -> None:
    """All is sold and paid, what expired was sold again, nobody has more than two."""
    file = tmp_path / "report.json"
    arguments = ("--viewers", "120", "--units", "40", "--hold-ms", "1500", "--kill", "1", *SOON, "--json", str(file))
    report = report_of(run("swarm", "flash-sale", *arguments), file)
    assert report["ok"]
    assert report["granted"]["sold"] == 40
    assert report["granted"]["units_resold"] > 0
    assert report["ledger"]["gross_fen"] == report["granted"]["gross_fen"] == 40 * 9_900


def test_gates_keep_the_crowd_from_the_engine(tmp_path: Path) -> None:
    """Without a kill the engine sees few more commands than there are units; who cannot win is answered by the gateway."""
    file = tmp_path / "report.json"
    report = report_of(run("swarm", "red-envelope", "--viewers", "300", "--units", "10", "--json", str(file)), file)
    assert report["ok"]
    assert report["engine"]["commands"] <= 3 * 10 + 100
    assert report["answers"]["refused"]["envelope_empty"] >= 290


def test_fewer_users_than_units(tmp_path: Path) -> None:
    """Everybody wins, and the rest is refunded."""
    file = tmp_path / "report.json"
    report = report_of(run("swarm", "red-envelope", "--viewers", "20", "--units", "30", "--json", str(file)), file)
    assert report["granted"]["winners"] == 20
    assert report["granted"]["refunded_fen"] == 3_000 - report["granted"]["granted_fen"] > 0


@pytest.mark.parametrize(
    ("scenario", "wrong"),
    [
        ("red-envelope", ("--viewers", "0", "--units", "1")),
        ("red-envelope", ("--viewers", "5", "--units", "20000")),
        ("red-envelope", ("--viewers", "5", "--units", "3", "--kill", "3")),
        ("red-envelope", ("--viewers", "5", "--units", "3", "--unruly", "101")),
        ("red-envelope", ("--viewers", "5", "--units", "3", "--kill", "1", "--url", "ws://127.0.0.1:1", "--console", "http://127.0.0.1:1")),
        ("coupon", ("--viewers", "5", "--units", "3", "--per-user", "0")),
        ("flash-sale", ("--viewers", "5", "--units", "6")),
        ("flash-sale", ("--viewers", "5", "--units", "3", "--hold-ms", "10")),
        ("flash-sale", ("--viewers", "5", "--units", "3", "--unpaid", "100")),
    ],
)
def test_storms_say_what_cannot_be(scenario: str, wrong: tuple[str, ...]) -> None:
    """Invalid arguments are an error before anything starts, with exit code 2 and no traceback."""
    assert refused("swarm", scenario, *wrong)
