"""A server that is killed again and again, as people start it; and what the clients' own log finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loadtests.chaos.reply_log import judge_log
from loadtests.lib.findings import Findings
from tests.loadtests.commands import refused, report_of, run


def test_nothing_that_was_acknowledged_is_lost_or_doubled(tmp_path: Path) -> None:
    """Through kills while it serves and while it starts, every outcome is repeated to the letter under its id and stands in the journal once."""
    file = tmp_path / "report.json"
    report = report_of(run("kills", "--kills", "5", "--viewers", "8", "--json", str(file)), file)
    assert report["ok"]
    assert report["kills"] == 5
    assert report["acknowledged"]["accepted"] > 20
    assert report["acknowledged"]["repeated"] == report["acknowledged"]["outcomes"]


LINE = {"type": "accepted", "id": "c1", "seq": 8, "result": {"message": 7, "shown": True}}
HOLD = {"type": "accepted", "id": "c2", "seq": 9, "result": {"hold": 8, "until_ms": 5, "due_fen": 9}}
PAID = {"type": "accepted", "id": "hold-8", "seq": 10, "result": {"quantity": 1, "returned": 0, "paid_fen": 9}}
LOG: list[list[Any]] = [
    ["u", "send_chat", LINE],
    ["u", "reserve_stock", HOLD],
    ["p", "confirm_hold", PAID],
    ["u", "reserve_stock", {"type": "refused", "id": "c3", "code": "per_user_limit", "detail": ""}],
    ["u", "send_chat", LINE],
]
EVENTS: list[dict[str, Any]] = [
    {"type": "chat_sent", "seq": 7, "user": "u"},
    {"type": "stock_reserved", "seq": 8, "user": "u"},
    {"type": "hold_confirmed", "seq": 9, "hold": 8, "quantity": 1, "paid_fen": 9},
]


def judged(tmp_path: Path, log: list[list[Any]], events: list[dict[str, Any]]) -> tuple[dict[str, int], Findings]:
    file, findings = tmp_path / "log", Findings()
    file.write_text("".join(json.dumps(line) + "\n" for line in log), encoding="utf-8")
    return judge_log(file, events, findings), findings


def test_a_log_that_agrees_with_the_journal(tmp_path: Path) -> None:
    """Nothing is found, and everything is counted."""
    figures, findings = judged(tmp_path, LOG, EVENTS)
    assert not findings, findings.to_plain()
    assert figures == {"outcomes": 4, "accepted": 3, "replies_with_repeats": 5, "repeated": 1}


@pytest.mark.parametrize(
    ("log", "events", "code"),
    [
        (LOG, EVENTS[1:], "lost_outcome"),
        ([*LOG, ["u", "send_chat", {**LINE, "result": {"message": 9, "shown": True}}]], EVENTS, "lost_outcome"),
        ([*LOG, ["u", "reserve_stock", {"type": "refused", "id": "c2", "code": "per_user_limit", "detail": ""}]], EVENTS, "lost_outcome"),
        (LOG, [*EVENTS, EVENTS[2]], "doubled_outcome"),
        (LOG, [*EVENTS, {"type": "stock_reserved", "seq": 12, "user": "u"}], "doubled_outcome"),
        ([*LOG, ["u", "reserve_stock", {**HOLD, "id": "c4"}]], EVENTS, "doubled_outcome"),
    ],
    ids=["no event", "another answer", "no instead of yes", "two events", "an event of nobody", "one effect for two ids"],
)
def test_a_log_that_does_not_agree(tmp_path: Path, log: list[list[Any]], events: list[dict[str, Any]], code: str) -> None:
    """An outcome that is gone, changed or there twice is found."""
    _, findings = judged(tmp_path, log, events)
    assert list(findings.counts) == [code]


@pytest.mark.parametrize("wrong", [("--kills", "0"), ("--kills", "5", "--viewers", "1000"), ("--kills", "20000")])
def test_kills_say_what_cannot_be(wrong: tuple[str, ...]) -> None:
    """Invalid arguments are an error before anything starts, with exit code 2 and no traceback."""
    assert refused("kills", *wrong)
