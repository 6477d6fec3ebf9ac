"""Load tests started from the command line, and their reports."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from loadtests.__main__ import main

ROOT = Path(__file__).parents[2]


def run(*arguments: str, within_s: float = 120, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtests", *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


def refused(command: str, *arguments: str) -> str:
    """The words on standard error of a command that refuses its arguments with exit code 2; an exception would come through."""
    with contextlib.redirect_stderr(io.StringIO()) as words:
        try:
            code: object = main([command, *arguments])
        except SystemExit as ended:
            code = ended.code
    assert code == 2, words.getvalue()
    return words.getvalue()


def report_of(done: subprocess.CompletedProcess[str], file: Path) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr + done.stdout
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert json.loads(done.stdout) == report
    words = (ROOT / "docs" / "load-tests.md").read_text(encoding="utf-8")
    assert [name for name in report if f"`{name}`" not in words] == [], "every part of a report is explained"
    return report
