"""The Kafka broker of the tests: `LIVEROOM_TEST_KAFKA`, or one of the tests' own when Java and Maven are there."""

from __future__ import annotations

import fcntl
import functools
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import NoReturn

import pytest

from liveroom.config.schema import Config, JournalConfig, KafkaConfig

BROKER = Path(__file__).parent.parent / "deploy" / "kafka-local" / "broker.py"
START_S = 700
STOP_S = 60
#: A topic that was made is known within this time.
START_WAIT_MS = 3_000

#: Processes of one run share a broker: those that the first one starts know its number.
os.environ.setdefault("LIVEROOM_TEST_RUN", uuid.uuid4().hex[:12])
DATA_DIR = Path(tempfile.gettempdir()) / f"liveroom-kafka-{os.environ['LIVEROOM_TEST_RUN']}"

_prefixes = itertools.count(1)


def broker() -> str:
    """The broker's address; skips the test when there can be none, or fails it when the tests must have one."""
    address, why = _broker()
    if not address:
        _go_without(f"{why} (or set LIVEROOM_TEST_KAFKA=host:port)")
    return address


def can_start_broker() -> None:
    """For tests of what starts a broker itself: skips the test when none can be started here, or fails it when the tests must have one."""
    if missing := _missing():
        _go_without(missing)


def _go_without(why: str) -> NoReturn:
    if os.environ.get("LIVEROOM_TEST_REQUIRE_KAFKA"):
        pytest.fail(f"no Kafka for the tests: {why}")
    pytest.skip(why)


def _missing() -> str:
    missing = [command for command in ("java", "mvn") if shutil.which(command) is None]
    return f"{' and '.join(missing)} not found: to have the tests on Kafka install Java 17 and Maven" if missing else ""


@functools.cache
def _broker() -> tuple[str, str]:
    if address := os.environ.get("LIVEROOM_TEST_KAFKA"):
        return address, ""
    if missing := _missing():
        return "", missing
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    address_file = DATA_DIR / "address"
    with (DATA_DIR / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not address_file.exists():
            done = subprocess.run(
                [sys.executable, str(BROKER), "start", "--data-dir", str(DATA_DIR)], capture_output=True, text=True, timeout=START_S
            )
            if done.returncode:
                return "", done.stderr.strip()
            address_file.write_text(done.stdout.strip(), encoding="ascii")
        return address_file.read_text(encoding="ascii"), ""


def stop_broker() -> None:
    """End the broker of the tests' own, if they have started one; only the process that began the run does."""
    if DATA_DIR.exists() and "PYTEST_XDIST_WORKER" not in os.environ:
        subprocess.run([sys.executable, str(BROKER), "stop", "--data-dir", str(DATA_DIR)], capture_output=True, timeout=STOP_S)
        shutil.rmtree(DATA_DIR, ignore_errors=True)


def kafka_flags(kafka: KafkaConfig) -> tuple[str, ...]:
    """Flags with which a command finds the journal in these topics."""
    return (
        *("--journal-kind", "kafka", "--kafka-bootstrap-servers", ",".join(kafka.bootstrap_servers), "--kafka-topic-prefix", kafka.topic_prefix),
        *("--kafka-replication-factor", str(kafka.replication_factor), "--kafka-min-insync-replicas", str(kafka.min_insync_replicas)),
        *("--kafka-session-ms", str(kafka.session_ms)),
    )


def kafka_config(journal: JournalConfig, **settings: object) -> Config:
    """Settings of a journal in topics of its own."""
    prefix = f"test-{uuid.uuid4().hex[:8]}-{next(_prefixes)}"
    defaults: dict[str, object] = {"topic_prefix": prefix, "replication_factor": 1, "min_insync_replicas": 1, "start_wait_ms": START_WAIT_MS}
    kafka = KafkaConfig(bootstrap_servers=(broker(),), **(defaults | settings))  # type: ignore[arg-type]
    return Config(journal=journal, kafka=kafka)
