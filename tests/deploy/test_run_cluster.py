"""The demo on Kafka with one command, as `make run-cluster` starts it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from liveroom.client import Room, RoomEvent, connect
from liveroom.features.chat.messages import ChatSent
from tests.broker import can_start_broker
from tests.deploy.launched import Launched
from tests.deploy.monitor import DASHBOARDS, as_prometheus_reads_it, needs_prometheus, panels_of, prometheus, until

SEE_S = 60
TOKENS = r"viewer 1 .*#token=(\S+)\n.*viewer 2 .*#token=(\S+)"


async def saw(room: Room, text: str) -> None:
    """Wait until the viewer is shown a line."""
    async with asyncio.timeout(SEE_S):
        async for item in room:
            if isinstance(item, RoomEvent) and isinstance(item.event, ChatSent) and item.event.text == text:
                return


def lives(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def everything_is_watched(cluster: Launched, home: Path) -> None:
    """Prometheus finds every process up; each rule and each panel can be evaluated; nothing critical is wrong with a cluster that is well."""
    ops = list(range(cluster.ops_port, cluster.ops_port + 5))
    async with prometheus(home, {"engine": ops[:2], "gateway": ops[2:], "console": [cluster.console_port]}) as monitor:

        async def all_are_up() -> bool:
            return await monitor.targets() == {"engine": ["up"] * 2, "gateway": ["up"] * 3, "console": ["up"]}

        async def all_are_evaluated() -> bool:
            return all(rule["health"] != "unknown" for rule in await monitor.rules())

        async def nothing_is_critical() -> bool:
            return not any(rule["alerts"] and rule["labels"]["severity"] == "critical" for rule in await monitor.rules())

        async def all_partitions_are_owned() -> bool:
            return await monitor.value("sum(liveroom_engine_partitions) / max(liveroom_journal_partitions)") == 1

        for condition in (all_are_up, all_are_evaluated, nothing_is_critical, all_partitions_are_owned):
            await until(condition, home / "log")
        assert {rule["health"] for rule in await monitor.rules()} == {"ok"}
        for dashboard in DASHBOARDS:
            for _, expression in panels_of(dashboard):
                await monitor.ask("query", query=as_prometheus_reads_it(expression))
        assert (await monitor.value("sum(liveroom_gateway_connections)") or 0) > 0, "the demo's people are there"


async def test_the_demo_runs_on_kafka_is_watched_and_outlives_a_kill_and_ctrl_c_ends_everything(tmp_path: Path) -> None:
    """Viewers see each other's lines; Prometheus sees all; a killed engine is reported and started again; Ctrl-C leaves no process."""
    can_start_broker()
    needs_prometheus()
    async with Launched(tmp_path / "data") as cluster:
        await cluster.start()
        tokens = (await cluster.says(TOKENS)).groups()
        url = f"ws://127.0.0.1:{cluster.gateway_port}"
        async with connect(url, "demo", tokens[0]) as speaker, connect(url, "demo", tokens[1]) as listener:
            await speaker.send_chat("before")
            await saw(listener, "before")
            await everything_is_watched(cluster, tmp_path / "prometheus")
            os.kill(cluster.pids()["engine-1"], signal.SIGKILL)
            await cluster.says("engine-1 .* was ended by SIGKILL; .* started again")
            await speaker.send_chat("after")
            await saw(listener, "after")
        pids = cluster.pids()
        assert pids.keys() == {"broker", "engine-1", "engine-2", "gateway-1", "gateway-2", "gateway-3", "console"}
        assert await cluster.end(signal.SIGINT) == 0
        assert cluster.words.endswith("cluster: everything has ended\n")
        assert not [name for name, pid in pids.items() if lives(pid)]


async def test_a_part_that_ends_by_itself_is_told_and_ends_the_rest(tmp_path: Path) -> None:
    """Which, how, and its last words; then what had been started is ended, too."""
    can_start_broker()
    async with Launched(tmp_path / "data") as cluster:
        await cluster.start(LIVEROOM_GATEWAY_TICK_MS_MIN="soon")
        assert await cluster.end() == 1
        assert re.search(r"^cluster: engine-1 \(pid \d+\) ended with exit code 2; the end of \S+/engine-1.log:$", cluster.words, re.MULTILINE)
        assert "  liveroom: LIVEROOM_GATEWAY_TICK_MS_MIN: must be a whole number" in cluster.words
        assert cluster.words.endswith("  The rest is ended.\ncluster: everything has ended\n")
        assert not [name for name, pid in cluster.pids().items() if lives(pid)]


async def test_without_java_it_says_so(tmp_path: Path) -> None:
    """The error names the missing program and how to install it; nothing was started."""
    cluster = Launched(tmp_path / "data")
    await cluster.start(PATH=str(tmp_path))
    assert await cluster.end() == 1
    assert cluster.words.splitlines()[-2:] == [
        "cluster: everything has ended",
        "cluster: Java is not installed; Apache Kafka needs Java 17 or newer. Debian: apt-get install default-jre-headless",
    ]


async def test_a_port_that_is_wanted_twice_is_named(tmp_path: Path) -> None:
    """Before anything is started."""
    cluster = Launched(tmp_path / "data")
    cluster.console_port = port = cluster.ops_port + 2
    await cluster.start()
    assert await cluster.end() == 1
    apart = "--gateway-port, --console-port, --ops-port have to be apart, the last with the four above it"
    assert cluster.words == f"cluster: port {port} is wanted twice; {apart}\n"


@pytest.mark.parametrize("flag", ["gateway-port", "console-port", "ops-port"])
async def test_a_port_that_is_taken_is_named(tmp_path: Path, flag: str) -> None:
    """Before anything is started, with a way out; also a port that its owner would share."""
    cluster = Launched(tmp_path / "data")
    port = {"gateway-port": cluster.gateway_port, "console-port": cluster.console_port, "ops-port": cluster.ops_port + 4}[flag]
    with socket.create_server(("127.0.0.1", port), reuse_port=True):
        await cluster.start()
        assert await cluster.end() == 1
    assert (
        cluster.words
        == f"cluster: port {port} is taken by another program; to have another: make run-cluster FLAGS='--{flag} {port % 40_000 + 1_000}'\n"
    )
