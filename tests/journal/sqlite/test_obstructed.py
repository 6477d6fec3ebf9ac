"""The embedded journal on a full, limited or read-only disk: clear errors, nothing half written, and work again afterwards."""

from __future__ import annotations

import asyncio
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

OPEN = (
    "import asyncio, sys; from pathlib import Path; from liveroom.config.schema import JournalConfig\n"
    "from liveroom.journal.sqlite.journal import SqliteJournal; from liveroom.telemetry.metrics import Metrics\n"
    "async def main():\n"
    "    journal = await SqliteJournal.open(Path(sys.argv[1]), JournalConfig(), Metrics()); await journal.close()\n"
    "asyncio.run(main())"
)


async def run(*command: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)


async def run_mounted(mount: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command with a file system of its own; skips where that is not allowed."""
    spaces = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    try:
        possible = (await run(*spaces, mount)).returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:
        pytest.skip("mounting in a name space of one's own is not possible here")
    return await run(*spaces, f"{mount} && exec {shlex.join(command)}")


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def test_a_full_disk(tmp_path: Path) -> None:
    """Appends raise `JournalUnavailable` and leave nothing behind; when there is room again they work, without a restart."""
    mount = f"mount -t tmpfs -o size=3m tmpfs {shlex.quote(str(tmp_path))}"
    happened = told(await run_mounted(mount, sys.executable, "-m", "tests.journal.obstructed", "full", str(tmp_path)))
    assert happened["written"] >= 1
    assert happened["errors"] == ["JournalUnavailable"] * 6
    assert happened["words"].endswith("the disk is full")
    assert happened["end"] == happened["again"] == happened["written"] + 1
    assert happened["entries"] == happened["again"] + 1


async def test_a_commit_that_breaks_in_the_middle(tmp_path: Path) -> None:
    """An I/O error in COMMIT raises `WriteUnknown`; the next write settles that the entries are not there, and order has no hole."""
    happened = told(await run(sys.executable, "-m", "tests.journal.obstructed", "limit", str(tmp_path)))
    assert happened["written"] >= 1
    assert happened["errors"][0] == "WriteUnknown"
    assert set(happened["errors"]) <= {"WriteUnknown", "JournalUnavailable"}
    assert "COMMIT failed, its outcome is unknown" in happened["words"]
    assert happened["end"] == happened["again"] == happened["written"] + 1
    assert happened["entries"] == happened["again"] + 1


@pytest.mark.parametrize("there", [False, True])
async def test_a_read_only_disk(tmp_path: Path, there: bool) -> None:
    """A data directory that cannot be written raises `JournalUnavailable` at the start, whether it holds a journal or not."""
    path = shlex.quote(str(tmp_path))
    if there:
        assert (await run(sys.executable, "-c", OPEN, str(tmp_path))).returncode == 0
    done = await run_mounted(f"mount --bind {path} {path} && mount -o remount,ro,bind {path}", sys.executable, "-c", OPEN, str(tmp_path))
    assert done.returncode == 1
    assert f"JournalUnavailable: {tmp_path}" in done.stderr
    assert "cannot be written: Read-only file system" in done.stderr
