"""The broker that `make kafka` starts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.broker import BROKER, DATA_DIR, broker

ANSWER_S = 60


def start(*flags: str) -> subprocess.CompletedProcess[str]:
    """Ask for a broker on the directory of the tests' own."""
    command = [sys.executable, str(BROKER), "start", "--data-dir", str(DATA_DIR), *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S)


def test_a_broker_that_runs_is_found_again() -> None:
    """Asked for once more it says where it is; what cannot be had beside it is refused."""
    if os.environ.get("LIVEROOM_TEST_KAFKA"):
        pytest.skip("the tests' broker is somebody else's")
    address = broker()
    again = start()
    assert (again.returncode, again.stdout.strip()) == (0, address)
    elsewhere = start("--port", "1")
    assert elsewhere.returncode == 1
    assert "stop it first" in elsewhere.stderr
