"""Chaos as people start it, a few short rounds on a real broker; and without a check of the rule, when it has to find the damage."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.broker import broker, can_start_broker
from tests.loadtests.commands import refused, report_of, run

#: Three brokers start slowly on a busy machine.
THREE_S = 400

SMALL = ("--viewers", "20", "--units", "12", "--within", "2", "--session-ms", "1000")


def chaos(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("chaos", *SMALL, "--kafka", broker(), "--json", str(file), *arguments)


def test_money_is_right_when_engines_die_and_zombies_write(tmp_path: Path) -> None:
    """An engine is killed, one wakes up after its takeover: no answer is lost or changed, no stream has a gap, all accounts add up."""
    file = tmp_path / "report.json"
    report = report_of(chaos(file, "--rounds", "2", "--kinds", "engine_killed,engine_paused"), file)
    assert report["ok"]
    assert report["takeover_ms"]["count"] >= 2
    assert report["answers"] > 200


def test_money_is_right_when_one_of_three_brokers_goes(tmp_path: Path) -> None:
    """A leader is killed, a follower hangs: the rooms go on, and all accounts add up."""
    can_start_broker()
    file, kinds = tmp_path / "report.json", ("leader_killed", "follower_paused")
    done = run(
        "chaos",
        *SMALL,
        "--brokers",
        "3",
        "--json",
        str(file),
        "--rounds",
        str(len(kinds)),
        "--kinds",
        ",".join(kinds),
        within_s=THREE_S,
    )
    report = report_of(done, file)
    assert report["ok"]
    assert report["kinds"] == dict.fromkeys(report["kinds"], 1)
    assert report["kinds"].keys() == set(kinds)
    assert report["answers"] > 200


@pytest.mark.parametrize(
    ("check", "kind", "damage"),
    [("fencing_epoch", "two_pauses", {"two_answers", "journal_otherwise"}), ("after", "behind", {"audit_failed"})],
)
def test_without_a_check_of_the_rule_money_is_wrong(tmp_path: Path, check: str, kind: str, damage: set[str]) -> None:
    """A zombie's record lands in any case. Without the check that skips it, customers or accounts see two histories."""
    file = tmp_path / "report.json"
    done = chaos(file, "--rounds", "1", "--kinds", kind, "--without", check, "--timeout", "10")
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert done.returncode == 1, done.stderr
    assert damage & set(report["wrong"]), done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ("--rounds", "0"),
        ("--rounds", "1", "--kinds", "flood"),
        ("--rounds", "1", "--kinds", "broker_killed", "--kafka", "127.0.0.1:1"),
        ("--rounds", "1", "--kinds", "leader_killed"),
        ("--rounds", "1", "--viewers", "5", "--units", "6"),
    ],
)
def test_chaos_says_what_cannot_be(wrong: tuple[str, ...]) -> None:
    """Invalid arguments are an error before anything starts, with exit code 2 and no traceback."""
    assert refused("chaos", *wrong)
