"""The scenarios of a crowd: their judgement with made-up figures, and each of them small against a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from loadtests.crowd.join import JoinFigures, judge_join
from loadtests.crowd.many_rooms import RoomsFigures, judge_many_rooms
from loadtests.crowd.overload import OverloadFigures, RampStep, is_full, judge_overload, recovery_s
from loadtests.crowd.reconnect import judge_reconnect
from loadtests.crowd.scenario import audit_bounds
from loadtests.crowd.slow import SlowFigures, judge_slow
from loadtests.lib.bounds import Bound, kept
from loadtests.lib.latency import LatencySeries
from tests.loadtests.commands import charts_of, refused, report_of, run

SECOND_NS = 1_000_000_000


def broken(bounds: list[Bound]) -> list[str]:
    return [bound.name for bound in bounds if not bound.ok]


# Judgement


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"join_s": 10.1}, "Time until all are in"),
        ({"cpu_us_per_join": 301.0}, "CPU time a join"),
        ({"cpu_us_per_join": None}, "CPU time a join"),
        ({"frames_per_viewer": 37.0}, "Frames that a viewer received while others joined"),
    ],
)
def test_a_slow_dear_or_noisy_join_fails(change: dict[str, Any], name: str) -> None:
    """Everybody is in soon and cheaply, and a filling room sends its viewers at most two frames a second more than its announcements."""
    good = JoinFigures(join_s=9.0, cpu_us_per_join=200.0, frames_per_viewer=36.0, rate=2.0)
    assert kept(judge_join(good, 10.0, 300.0))
    assert broken(judge_join(replace(good, **change), 10.0, 300.0)) == [name]


def test_who_comes_back_late_or_without_resume_fails() -> None:
    """Ten thousand viewers are back within the limit, every one of them with resume."""
    assert kept(judge_reconnect(100, 4.9, {"resumed": 100}, 5.0))
    assert broken(judge_reconnect(100, 5.1, {"resumed": 100}, 5.0)) == ["Time until all are back"]
    assert broken(judge_reconnect(100, None, {"resumed": 99}, 5.0)) == ["Time until all are back", "Viewers that are back with resume"]
    assert broken(judge_reconnect(100, 1.0, {"resumed": 99, "keyframe": 1}, 5.0)) == ["Viewers that are back with resume"]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"p99_ms": 111.0}, "Latency p99 of the readers while others do not read"),
        ({"p99_before_ms": None}, "Latency p99 of the readers while others do not read"),
        ({"growth_mib": 40.0}, "Growth of the server's memory"),
        ({"skipped": 0}, "Slow viewers that fell off the ring"),
        ({"behind": 1}, "Slow viewers that did not catch up"),
        ({"disconnected": 1}, "Slow viewers disconnected"),
        ({"lost": 1}, "Events lost by slow viewers without `skipped`"),
    ],
)
def test_slow_viewers_who_disturb_or_lose_something_fail(change: dict[str, Any], name: str) -> None:
    """Readers wait at most twice as long and a tick; memory is bounded by viewer; a run in which nobody fell off the ring shows nothing."""
    good = SlowFigures(slow=100, p99_before_ms=30.0, p99_ms=110.0, growth_mib=33.5, skipped=90, behind=0, disconnected=0, lost=0)
    assert kept(judge_slow(good))
    assert broken(judge_slow(replace(good, **change))) == [name]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"sent_per_s": 1_400.0}, "Load beside saturation"),
        ({"saturation": 0.0}, "Load beside saturation"),
        ({"core_percent": 50.0}, "The server's core under load"),
        ({"p99_ms": 5_001.0}, "Latency p99 of announcements under load"),
        ({"p99_ms": None}, "Latency p99 of announcements under load"),
        ({"growth_mib": 129.0}, "Growth of the server's memory"),
        ({"recovery_s": 5.5}, "Recovery after the load"),
        ({"recovery_s": None}, "Recovery after the load"),
        ({"unanswered": 1}, "Lines without an answer"),
    ],
)
def test_an_overload_that_is_none_or_breaks_a_bound_fails(change: dict[str, Any], name: str) -> None:
    """The load is above saturation, and latency, memory, recovery and answers keep their bounds."""
    good = OverloadFigures(saturation=1_000.0, sent_per_s=1_900.0, core_percent=97.0, p99_ms=4_000.0, growth_mib=100.0, recovery_s=1.0, unanswered=0)
    assert kept(judge_overload(good))
    assert broken(judge_overload(replace(good, **change))) == [name]


def test_a_step_of_the_ramp_is_full() -> None:
    """The server does not decide as many lines as were sent."""
    step = RampStep(rate=100.0, sent_per_s=100.0, decided_per_s=90.0, core_percent=99.0)
    assert not is_full(step)
    assert is_full(replace(step, decided_per_s=89.0))


@pytest.mark.parametrize(
    ("bad_seconds", "recovered_s"),
    [((), 0.0), ((20,), 0.5), ((20, 21), 1.5), ((20, 23), 3.5), (range(20, 30), None), ((29,), None)],
)
def test_recovery_lasts_until_the_last_bad_second(bad_seconds: tuple[int, ...], recovered_s: float | None) -> None:
    """The load ended at 20.5 s; every second after the recovery is good, and one without any event is a bad one."""
    latency = LatencySeries()
    for second in range(10, 30):
        latency.add(second * SECOND_NS, 900_000 if second in bad_seconds else 20_000)
    assert recovery_s(latency, range(10, 15), int(20.5 * SECOND_NS), 30 * SECOND_NS) == recovered_s
    del latency.by_second[24]
    late = recovery_s(latency, range(10, 15), int(20.5 * SECOND_NS), 30 * SECOND_NS)
    assert late is None if recovered_s is None else late == 4.5
    assert recovery_s(latency, range(1, 2), int(20.5 * SECOND_NS), 30 * SECOND_NS) is None, "nothing to compare with"


def test_many_rooms_cost_little_more() -> None:
    """The ratio of CPU time a frame is bounded, and both halves have a frame for each line at each viewer."""
    one = RoomsFigures(frames=1_000, lines=10, viewers=100, cpu_s=0.010, refused=0)
    many = replace(one, cpu_s=0.024)
    assert kept(judge_many_rooms(many, one, 2.5))
    assert broken(judge_many_rooms(replace(many, cpu_s=0.026), one, 2.5)) == ["CPU time a frame in many rooms, in times that of one room"]
    assert broken(judge_many_rooms(replace(many, cpu_s=None), one, 2.5)) == ["CPU time a frame in many rooms, in times that of one room"]
    assert broken(judge_many_rooms(replace(many, frames=800, cpu_s=0.01), one, 2.5)) == ["Frames in many rooms, of the lines at all viewers"]
    assert broken(judge_many_rooms(many, replace(one, refused=1), 2.5)) == ["Lines refused or not shown"]


def test_the_audit_is_part_of_every_verdict() -> None:
    """A lost, doubled, wrong or skipped event, a viewer without an audit and a lost connection break a bound each."""
    names = ("lost", "doubled", "out_of_order", "unexpected", "rewritten", "gaps", "skipped", "disconnected")
    clean = dict.fromkeys(names, 0)
    assert kept(audit_bounds(clean, 10, 10))
    assert broken(audit_bounds(clean, 10, 9)) == ["Readers that were not audited"]
    for name in names:
        assert len(broken(audit_bounds(clean | {name: 1}, 10, 10))) == 1, name


# Small runs


def small(tmp_path: Path, scenario: str, *options: str) -> dict[str, Any]:
    file, page = tmp_path / "report.json", tmp_path / "report.html"
    report = report_of(run("swarm", scenario, *options, "--json", str(file), "--html", str(page)), file)
    assert {"CPU time", "Memory", "Frames at all viewers"} <= charts_of(page)
    assert report["ok"]
    assert report["delivered"] >= report["expected"] > 0
    return report


def test_join(tmp_path: Path) -> None:
    """Everybody gets in, and gets every announcement from then on."""
    report = small(tmp_path, "join", "--viewers", "60", "--rate", "10", "--cpu-us", "50000")
    assert report["lost"] == 0
    assert report["joins_per_s"] > 0
    assert report["cpu_us_per_join"] > 0


def test_reconnect(tmp_path: Path) -> None:
    """After a cut of all connections every viewer resumes, and has lost nothing."""
    report = small(tmp_path, "reconnect", "--viewers", "60", "--rate", "20")
    assert report["back_kinds"] == {"resumed": 60}
    assert report["delivered"] == report["expected"]
    assert report["back_ms"]["max"] <= 5_000


def test_slow(tmp_path: Path) -> None:
    """Viewers who stop reading fall off the ring and catch up; the others get everything."""
    report = small(tmp_path, "slow", "--viewers", "20", "--rate", "200", "--seconds", "3")
    assert report["slow"]["viewers"] == 5
    assert report["slow"]["skipped"] > 0


def test_many_rooms(tmp_path: Path) -> None:
    """Every viewer of every room gets each line of the room."""
    report = small(tmp_path, "many-rooms", "--viewers", "40", "--rooms", "8", "--rate", "2", "--seconds", "2", "--rest", "1", "--ratio", "100")
    assert report["frames"]["many"] >= 0.9 * 40 * 4
    assert report["cpu_us_per_frame"]["one"] > 0


def test_overload(tmp_path: Path) -> None:
    """A load above saturation loses nothing that must arrive. Times depend on what else the machine does."""
    file, page = tmp_path / "report.json", tmp_path / "report.html"
    options = ("--viewers", "10", "--talkers", "20", "--rate", "20", "--seconds", "3", "--step", "0.5", "--calm", "3")
    done = run("swarm", "overload", *options, "--json", str(file), "--html", str(page))
    report = report_of(done, file, code=None)
    assert done.returncode == (0 if report["ok"] else 1)
    assert report["lost"] == report["gaps"] == report["disconnected"] == 0
    assert report["delivered"] == report["expected"] > 0
    assert report["load_per_s"] > report["saturation_per_s"] > 0
    assert {"Lines sent", "Lines decided", "Latency: announcement"} <= charts_of(page)


@pytest.mark.parametrize(
    "wrong",
    [("join", "--viewers", "0"), ("slow", "--part", "1"), ("many-rooms", "--viewers", "5", "--rooms", "6"), ("reconnect", "--rate", "1e9")],
)
def test_a_scenario_says_what_cannot_be(wrong: tuple[str, ...]) -> None:
    """Invalid options end with exit code 2 and no traceback."""
    assert refused("swarm", *wrong)
