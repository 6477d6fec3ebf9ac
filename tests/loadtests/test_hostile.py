"""A hostile run as people start it, short; and against a server without limits, when it has to fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loadtests.attacks.table import ATTACKS
from loadtests.findings import Findings
from loadtests.honest_worker import Report
from loadtests.hostile_report import JUDGED, compare
from loadtests.latency import Latency
from loadtests.phases import NO_PHASE, Phases
from loadtests.story import Story
from loadtests.trail import Audit
from loadtests.watchdog import log_counts
from tests.loadtests.test_programs import ROOT, refused, report_of, run

#: A phase to warm up, two quiet and two hostile ones. How much slower it gets is judged in long runs: this machine does other things beside it.
SHORT = ("--minutes", "0.5", "--phase", "5", "--ratio", "50")


def test_honest_users_notice_nothing(tmp_path: Path) -> None:
    """With every attack at work, each honest line and purchase is answered, delivered and in the ledger, and the server stays as it was."""
    file = tmp_path / "report.json"
    report = report_of(run("loadtests.hostile", *SHORT, "--viewers", "20", "--json", str(file)), file)
    assert report["ok"]
    assert report["attacks"].keys() == ATTACKS.keys()
    assert report["honest"]["lines_delivered"] == report["honest"]["lines_expected"] > 100
    assert report["honest"]["purchases"] > 5
    assert report["clock_steps"] > 5


def test_without_limits_honest_users_notice(tmp_path: Path) -> None:
    """Silent connections to a server that does not limit them take every descriptor: newcomers are kept out, and the run fails."""
    file = tmp_path / "report.json"
    done = run("loadtests.hostile", *SHORT, "--without-limits", "--attacks", "silent,half_tls,silent_console", "--json", str(file))
    assert done.returncode == 1, done.stderr
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert {"kept_out", "not_healthy"} & set(report["wrong"]), done.stderr


def test_every_attack_is_explained() -> None:
    """The table of attacks in the docs names each of them."""
    words = (ROOT / "docs" / "load-tests.md").read_text(encoding="utf-8")
    assert [name for name in ATTACKS if f"`{name}`" not in words] == []


PHASES = Phases(start_ns=1_000, phase_ns=100, pairs=3)


def told(quiet_us: int, hostile_us: int) -> Report:
    latencies = []
    for number in range(PHASES.count):
        latency = Latency()
        latency.add(hostile_us if PHASES.hostile(number) else quiet_us, 100)
        latencies += [(number, what, latency.to_plain()) for what in JUDGED]
    return Report(Story(), Audit(), latencies, [], [], {}, {}, 0.0)


def test_phases_take_turns() -> None:
    """A run warms up hostile, and then quiet and hostile phases take turns; what is before or after belongs to none."""
    assert [PHASES.hostile(number) for number in range(PHASES.count)] == [True, False, True, False, True, False, True]
    assert [PHASES.number(ns) for ns in (999, 1_000, 1_099, 1_100, 1_699, 1_700)] == [NO_PHASE, 0, 0, 1, 6, NO_PHASE]
    assert not PHASES.hostile(NO_PHASE)


@pytest.mark.parametrize(("hostile_us", "wrong"), [(11_000, set()), (13_000, {"slower"})])
def test_a_slower_hostile_phase_is_found(hostile_us: int, wrong: set[str]) -> None:
    """p99 with attackers over p99 without is held against the limit."""
    findings = Findings()
    found = compare(told(10_000, hostile_us), PHASES, 1.2, findings)
    assert set(findings.counts) == wrong
    assert found["delivery"]["p99_ratio"] == pytest.approx(hostile_us / 10_000, rel=0.03)


def test_nothing_to_compare_is_no_success() -> None:
    """A run in which no line came in hostile phases shows nothing."""
    findings = Findings()
    compare(Report(Story(), Audit(), [], [], [], {}, {}, 0.0), PHASES, 1.2, findings)
    assert findings.counts == {"slower": len(JUDGED)}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ('{"level": "warning", "message": "many handshakes"}', False),
        ("liveroom: draining; a second Ctrl-C stops at once", False),
        ('{"level": "error", "message": "background work failed"}', True),
        ("Traceback (most recent call last):", True),
    ],
)
def test_errors_in_the_log_are_found(tmp_path: Path, line: str, wrong: bool) -> None:
    """Warnings are counted; an error, or words that no logger wrote, is a bug."""
    file, findings = tmp_path / "log", Findings()
    file.write_text(line + "\n", encoding="utf-8")
    log_counts(file, findings)
    assert bool(findings) is wrong


@pytest.mark.parametrize(
    "wrong",
    [("--minutes", "0.1"), ("--minutes", "9999"), ("--phase", "1"), ("--viewers", "1000"), ("--attacks", "silent,rudeness")],
)
def test_hostile_says_what_cannot_be(wrong: tuple[str, ...]) -> None:
    """Arguments that cannot be are said before anything is started, with exit code 2 and no traceback."""
    assert refused("loadtests.hostile", *wrong)
