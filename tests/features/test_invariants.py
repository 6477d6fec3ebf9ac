"""Invariants about money stop a room whatever the interpreter's options are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import liveroom
from tests.features.wrong_events import WRONG, breaks

TIMEOUT_S = 60


@pytest.mark.parametrize("rule", WRONG)
def test_an_event_that_breaks_a_rule_about_money_is_not_folded(rule: str) -> None:
    """A log that no engine of ours wrote, or a bug, stops the room instead of granting or selling twice."""
    assert breaks(rule)


def test_invariants_hold_without_assert_statements() -> None:
    """`python -O` removes `assert`; the rules about money stay."""
    program = [sys.executable, "-O", "-m", "tests.features.wrong_events"]
    run = subprocess.run(program, cwd=Path(liveroom.__file__).parents[1], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, ""), run.stderr
