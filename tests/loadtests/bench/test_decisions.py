"""The benchmark of decisions beside Redis, small: its answers are right and its report says what it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from loadtests.bench.claims import ClaimRound, SampleClaim, make_rounds
from loadtests.bench.engine_alone import Wrong, decide_all
from loadtests.bench.redis_alone import claim_all, running_redis
from tests.e2e.node import missing

ROOT = Path(__file__).parents[3]


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "loadtests", "decisions", "--units", "120", "--repetitions", "1", "--warm-up", "300", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, timeout=120, check=False)


def report_of(done: subprocess.CompletedProcess[str], file: Path) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr + done.stdout
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    words = (ROOT / "docs" / "load-tests.md").read_text(encoding="utf-8")
    job = report["jobs"]["grab"]["crowd"]
    assert [name for name in (*report, *job, *job["liveroom"]) if f"`{name}`" not in words] == [], "every part of a report is explained"
    return report


def need_redis() -> None:
    if shutil.which("redis-server") is None:
        missing("no redis-server: install it (Debian: apt-get install redis-server) to test the benchmark beside it", "LIVEROOM_TEST_REQUIRE_REDIS")


def test_beside_redis(tmp_path: Path) -> None:
    """Both sides do both jobs in both mixes and are counted; nothing that was started stays."""
    need_redis()
    file = tmp_path / "report.json"
    report = report_of(run("--json", str(file), TMPDIR=str(tmp_path)), file)
    assert [sorted(mixes) for mixes in report["jobs"].values()] == [["crowd", "winners"]] * 2
    for mixes in report["jobs"].values():
        assert [mixes["winners"]["claims"], mixes["crowd"]["claims"]] == [120, 120 + 6 + 3 + 120 + 3]
        for figures in mixes.values():
            assert figures["ratio"].keys() == figures["cpu_ratio"].keys() == figures["own_cpu_ratio"].keys() == {"redis", "redis_everysec"}
            assert min(figures["liveroom"].values()) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_without_redis(tmp_path: Path) -> None:
    """Where there is no redis-server the engine runs alone and one word says so."""
    file = tmp_path / "report.json"
    done = run("--json", str(file), PATH=str(tmp_path))
    report = report_of(done, file)
    assert (report["redis_server"], report["reached"]) == ("absent", False)
    assert report["jobs"]["reserve"]["crowd"]["ratio"] == {}
    assert "redis: skipped" in done.stdout


@pytest.mark.parametrize("kind", ["grab", "reserve"])
def test_a_wrong_answer_is_no_figure(kind: Any) -> None:
    """A side whose answers are not those that are right has no sample: the run says what is wrong."""
    (right,) = make_rounds(kind, "crowd", 20, 100)
    wrong = ClaimRound(right.units, (*right.claims, SampleClaim("one-more", "one-more")), right.answers, right.retries)
    with pytest.raises(Wrong, match="the journal holds"):
        decide_all(kind, [wrong], 0)
    need_redis()
    with running_redis(append_only=False) as port:
        assert port is not None
        with pytest.raises(Wrong, match="Redis answered"):
            claim_all(port, kind, [wrong])


def test_rounds_say_what_is_right() -> None:
    """Every share and unit is claimed once, the greedy and the late are refused, retries have the id of the claim that they repeat."""
    rounds = make_rounds("reserve", "crowd", 250, 100)
    assert [each.units for each in rounds] == [100, 100, 50]
    assert len({claim.id for each in rounds for claim in each.claims}) == sum(len(each.claims) - each.retries for each in rounds)
    assert rounds[0].answers == Counter({"granted": 102, "per_user_limit": 5, "sold_out": 102})
