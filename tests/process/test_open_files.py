"""The limit of open files at the start, with real limits in processes of their own."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveroom.config.schema import Config, ConsoleConfig, GatewayConfig, LiveroomConfig
from liveroom.process.open_files import OTHER_FILES_MAX, files_needed, fit_connections, tell_fit
from tests.serving import Server

SCRIPT = """
import logging, resource
from liveroom.config.schema import Config, GatewayConfig
from liveroom.process.open_files import files_needed, fit_connections, raise_open_files_limit, tell_fit
logging.basicConfig(format="%(levelname)s %(message)s %(open_files_max)s of %(open_files_needed)s")
config = Config(gateway=GatewayConfig(connections_max=CONNECTIONS, handshakes_waiting_max=1))
allowed = raise_open_files_limit(files_needed(config))
tell_fit(config, fit_connections(config, allowed), allowed)
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limited(soft: int, hard: int, connections_max: int) -> tuple[str, str]:
    """The final limits of a process that starts under these limits, and its log."""
    script = SCRIPT.replace("CONNECTIONS", str(connections_max))
    done = subprocess.run(
        ["prlimit", f"--nofile={soft}:{hard}", sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip(), done.stderr.strip()


def test_what_is_needed_is_everything_that_may_be_open_at_once() -> None:
    """Viewers, pending handshakes, the console's connections, and some files."""
    config = Config(gateway=GatewayConfig(connections_max=1_000, handshakes_waiting_max=10), console=ConsoleConfig(connections_max=100))
    assert files_needed(config) == 1_110 + OTHER_FILES_MAX
    assert files_needed(config, gateway=False) == 100 + OTHER_FILES_MAX


@given(allowed=st.integers(OTHER_FILES_MAX + 64, 30_000), viewers=st.integers(1, 50_000), handshakes=st.integers(1, 5_000), gateway=st.booleans())
def test_connections_never_need_the_files_of_others(allowed: int, viewers: int, handshakes: int, gateway: bool) -> None:
    """Files for the journal, health checks and the loop stay reserved. No limit is raised, and a limit that fits stays as it was set."""
    config = Config(gateway=GatewayConfig(connections_max=viewers, handshakes_waiting_max=handshakes))
    fitting = fit_connections(config, allowed, gateway=gateway)
    assert files_needed(fitting, gateway=gateway) <= allowed
    assert fitting.console.connections_max <= config.console.connections_max
    assert fitting.gateway.connections_max <= viewers
    assert fitting.gateway.handshakes_waiting_max <= handshakes
    assert fit_connections(config, -1, gateway=gateway) is config
    if files_needed(config, gateway=gateway) <= allowed:
        assert fitting is config


@pytest.mark.parametrize(("mode", "level"), [("dev", logging.INFO), ("production", logging.WARNING)])
def test_only_production_is_warned(mode: Literal["dev", "production"], level: int, caplog: pytest.LogCaptureFixture) -> None:
    """On a developer's machine the limit is often low and never reached: it is a note there, without the numbers."""
    caplog.set_level(logging.INFO)
    config = Config(liveroom=LiveroomConfig(mode=mode))
    tell_fit(config, fit_connections(config, 20_000), 20_000)
    (line,) = caplog.records
    assert line.levelno == level
    assert hasattr(line, "connections_max") == (mode == "production")


@pytest.mark.parametrize(("soft", "hard"), [(256, 4_096), (4_096, 4_096)])
def test_the_soft_limit_is_raised_to_the_hard_one(soft: int, hard: int) -> None:
    """There is no log line if everything fits."""
    assert limited(soft, hard, 1_000) == ("4096 4096", "")


def test_what_does_not_fit_is_told() -> None:
    """With the numbers, and what to do about it; the limit is raised all the same."""
    limits, words = limited(256, 1_024, 5_000)
    assert limits == "1024 1024"
    assert words.startswith("WARNING connections_max of gateway and console does not fit into the limit of open files and is lowered")
    assert words.endswith(f"1024 of {5_000 + 1 + 2_000 + OTHER_FILES_MAX}")
    assert "LimitNOFILE" in words


async def test_serve_does_so_at_its_start(tmp_path: Path) -> None:
    """And it serves, as far as the limit goes."""
    async with Server(tmp_path / "data", within=("prlimit", "--nofile=256:1024")) as server:
        limits = Path(f"/proc/{server.pid}/limits").read_text().splitlines()
        (files,) = (line.split()[3:5] for line in limits if line.startswith("Max open files"))
        assert files == ["1024", "1024"]
        assert "fewer connections fit into the limit of open files" in server.log.read_text()
