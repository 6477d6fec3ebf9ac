"""The brokers that `make kafka` starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.broker import BROKER, DATA_DIR, broker, can_start_broker

sys.path.insert(0, str(BROKER.parent))
from broker import Broker, CannotRun, check_jars

ANSWER_S = 200


def run(command: str, data_dir: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, str(BROKER), command, "--data-dir", str(data_dir), *flags]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=ANSWER_S)


def answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False


def test_jars_of_other_bytes_are_refused(tmp_path: Path) -> None:
    """Every jar that Maven brought is checked against its hash; a wrong, missing or unknown one is named."""
    (tmp_path / "lz4-java-1.8.0.jar").write_bytes(b"not the jar")
    (tmp_path / "unknown.jar").write_bytes(b"")
    with pytest.raises(CannotRun, match=r"HdrHistogram.*lz4-java-1\.8\.0\.jar.*unknown\.jar"):
        check_jars(tmp_path)


def test_a_broker_has_ended_when_its_process_has(tmp_path: Path) -> None:
    """Stop waits for a process that is still on its way out, although its command line is gone by then."""
    one = Broker(tmp_path, 1)
    one.home.mkdir()
    slow_end = "trap 'exec sleep 0.5' TERM; echo up; while :; do sleep 0.01; done"
    with subprocess.Popen(["sh", "-c", slow_end, str(one.settings)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (one.home / "broker.pid").write_text(str(process.pid), encoding="ascii")
        assert one.pid() == process.pid
        process.terminate()
        one.end(time.monotonic() + ANSWER_S)
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)


def test_a_broker_that_runs_is_found_again() -> None:
    """Asked for once more it says where it is; what cannot be had beside it is refused."""
    if os.environ.get("LIVEROOM_TEST_KAFKA"):
        pytest.skip("the tests' broker is somebody else's")
    address = broker()
    again = run("start", DATA_DIR)
    assert (again.returncode, again.stdout.strip()) == (0, address)
    elsewhere = run("start", DATA_DIR, "--port", "1")
    assert elsewhere.returncode == 1
    assert "stop it first" in elsewhere.stderr


def test_three_brokers_can_be_stopped_and_started_one_by_one(tmp_path: Path) -> None:
    """They are one cluster with one directory; a broker that comes back has the port that it had."""
    can_start_broker()
    three = ("--brokers", "3")
    try:
        started = run("start", tmp_path, *three)
        assert started.returncode == 0, started.stderr
        addresses = started.stdout.strip().split(",")
        assert [answers(address) for address in addresses] == [True, True, True]
        assert run("stop", tmp_path, *three, "--only", "2").returncode == 0
        assert [answers(address) for address in addresses] == [True, False, True]
        assert run("start", tmp_path, *three, "--only", "2").stdout.strip().split(",") == addresses
        assert [answers(address) for address in addresses] == [True, True, True]
        other = run("start", tmp_path, "--brokers", "5")
        assert (other.returncode, "is of 3 brokers, not of 5" in other.stderr) == (1, True)
    finally:
        assert run("stop", tmp_path, *three).returncode == 0
    assert not any(answers(address) for address in addresses)
