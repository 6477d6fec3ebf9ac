"""A hostile run as people start it, short; and against a server without limits, when it has to fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from loadtests.crowd.frame_audit import AuditResult
from loadtests.honest.messages import HonestReport
from loadtests.hostile.attacks.table import ATTACKS
from loadtests.hostile.report import ADDED_MS_MAX, BY_RATIO, compare
from loadtests.hostile.watchdog import Watchdog, log_counts
from loadtests.lib.findings import Findings
from loadtests.lib.latency import Latency
from loadtests.lib.meters import ProcessReading
from loadtests.lib.phases import NO_PHASE, Phases
from loadtests.storm.transcript import Transcript
from tests.loadtests.commands import ROOT, refused, report_of, run

#: A phase to warm up, a quiet and a hostile one. CI's own run of some minutes judges how much slower it gets: here other tests run beside it.
SHORT = ("--minutes", "0.25", "--phase", "5", "--ratio", "50")


def test_honest_users_notice_nothing(tmp_path: Path) -> None:
    """With every attack at work, each honest line and purchase is answered, delivered and in the ledger, and the server stays as it was."""
    file = tmp_path / "report.json"
    report = report_of(run("hostile", *SHORT, "--viewers", "20", "--json", str(file)), file)
    assert report["ok"]
    assert report["attacks"].keys() == ATTACKS.keys()
    assert report["honest"]["lines_delivered"] == report["honest"]["lines_expected"] > 100
    assert report["honest"]["purchases"] > 5
    assert report["clock_steps"] > 5
    assert report["restored"]["lines_delivered_after"] > 50


def test_without_limits_honest_users_notice() -> None:
    """Silent connections to a server that does not limit them take every descriptor: newcomers are kept out, and the run fails."""
    done = run("hostile", "--minutes", "1", "--fail-fast", "--without-limits", "--attacks", "silent,half_tls,silent_console")
    assert done.returncode == 1, done.stderr
    assert "an honest user noticed something: kept_out" in done.stderr or "an honest user noticed something: not_healthy" in done.stderr


def test_every_attack_is_explained() -> None:
    """The table of attacks in the docs names each of them."""
    words = (ROOT / "docs" / "load-tests.md").read_text(encoding="utf-8")
    assert [name for name in ATTACKS if f"`{name}`" not in words] == []


PHASES = Phases(start_ns=1_000, phase_ns=100, pairs=3)


def reported(quiet_us: dict[str, int], hostile_us: dict[str, int]) -> HonestReport:
    latencies = []
    for number in range(PHASES.count):
        for what, us in (hostile_us if PHASES.hostile(number) else quiet_us).items():
            latency = Latency()
            latency.add(us, 100)
            latencies.append((number, what, latency.to_plain()))
    return HonestReport(Transcript(), AuditResult(), latencies, [], [], {}, {}, 0.0)


def test_phases_take_turns() -> None:
    """A run warms up hostile, and then quiet and hostile phases take turns; what is before or after belongs to none."""
    assert [PHASES.hostile(number) for number in range(PHASES.count)] == [True, False, True, False, True, False, True]
    assert [PHASES.number(ns) for ns in (999, 1_000, 1_099, 1_100, 1_699, 1_700)] == [NO_PHASE, 0, 0, 1, 6, NO_PHASE]
    assert not PHASES.hostile(NO_PHASE)


QUIET = {"delivery": 10_000, "purchase": 10_000}


@pytest.mark.parametrize(
    ("hostile", "wrong"),
    [
        ({"delivery": 11_000, "purchase": 10_000}, 0),
        ({"delivery": 13_000, "purchase": 10_000}, 1),
        ({"delivery": 10_000, "purchase": 58_000}, 0),
        ({"delivery": 10_000, "purchase": 63_000}, 1),
        ({"delivery": 13_000, "purchase": 63_000}, 2),
    ],
)
def test_a_slower_hostile_phase_is_found(hostile: dict[str, int], wrong: int) -> None:
    """p99 with attackers is held against p99 without: a delivery by the ratio that was asked for, a purchase by the ms that it may take more."""
    findings = Findings()
    found = compare(reported(QUIET, hostile), PHASES, 1.2, findings)
    assert findings.counts.get("slower", 0) == wrong
    for what, us in hostile.items():
        assert found[what]["p99_ratio"] == pytest.approx(us / QUIET[what], rel=0.03)
        assert found[what]["p99_added_ms"] == pytest.approx((us - QUIET[what]) / 1_000, abs=0.02 * us / 1_000)


def test_nothing_to_compare_is_no_success() -> None:
    """A run without deliveries or purchases shows nothing."""
    findings = Findings()
    compare(HonestReport(Transcript(), AuditResult(), [], [], [], {}, {}, 0.0), PHASES, 1.2, findings)
    assert findings.counts == {"slower": len(BY_RATIO) + len(ADDED_MS_MAX)}


MIB = 2**20
FILLS_S = 30.0


@pytest.mark.parametrize(
    ("rss_mib", "files", "wrong"),
    [
        (lambda at_s: 100 + 2 * min(at_s, FILLS_S), lambda at_s: 50, set()),
        (lambda at_s: 100 + 2 * at_s, lambda at_s: 50, {"memory_grows"}),
        (lambda at_s: 301 if at_s == 25 else 100, lambda at_s: 50, {"memory_grows"}),
        (lambda at_s: 100, lambda at_s: 50 + at_s // 10, {"descriptors_grow"}),
        (lambda at_s: 100, lambda at_s: 81 if at_s == 95 else 50, {"descriptors_grow"}),
    ],
    ids=["while windows fill", "all the time", "beyond its bound", "files all the time", "files beyond their bound"],
)
def test_growth_is_found(rss_mib: Callable[[int], int], files: Callable[[int], int], wrong: set[str]) -> None:
    """Memory may grow while the server fills its windows and stays as it is then; open files stay as they are; both have a bound."""
    phases = Phases(start_ns=0, phase_ns=5_000_000_000, pairs=15)
    now_s, findings = 0, Findings()
    watchdog = Watchdog(lambda: ProcessReading(0.0, int(rss_mib(now_s) * MIB), files(now_s)), phases, FILLS_S)
    for now_s in range(0, 155, 5):
        watchdog.sample(now_s * 1_000_000_000)
    watchdog.judge(300 * MIB, 80, findings)
    assert set(findings.counts) == wrong


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
    """Invalid arguments are an error before anything starts, with exit code 2 and no traceback."""
    assert refused("hostile", *wrong)
