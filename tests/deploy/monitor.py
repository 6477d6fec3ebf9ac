"""A real Prometheus on loopback that scrapes a cluster with the rules of deploy/prometheus."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests.deploy.files import DEPLOY, Object, yaml_of
from tests.serving import free_port

SEE_S = 60
STOP_S = 30
EVERY = "500ms"

DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))


def needs_prometheus() -> None:
    """Skips the test when there is no Prometheus here, or fails it when the tests must have one."""
    missing = [command for command in ("prometheus", "promtool") if shutil.which(command) is None]
    if missing:
        words = f"{' and '.join(missing)} not found: Debian has them as prometheus"
        if os.environ.get("LIVEROOM_TEST_REQUIRE_PROMETHEUS"):
            pytest.fail(words)
        pytest.skip(words)


def panels_of(dashboard: Path) -> list[tuple[str, str]]:
    """Title and expression of each query of a dashboard."""
    panels = json.loads(dashboard.read_text(encoding="utf-8"))["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]


class Monitor:
    """Asks Prometheus over its HTTP API."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def ask(self, path: str, **query: str) -> Object:
        """The answer's data; raises `AssertionError` with its words when it refuses."""
        async with self._session.get(f"{self._url}/api/v1/{path}", params=query) as response:
            answer: Object = await response.json()
        assert answer["status"] == "success", answer
        data: Object = answer["data"]
        return data

    async def targets(self) -> dict[str, list[str]]:
        """The health of each job's targets."""
        found: dict[str, list[str]] = {}
        for target in (await self.ask("targets"))["activeTargets"]:
            found.setdefault(target["labels"]["job"], []).append(target["health"])
        return found

    async def rules(self) -> list[Object]:
        """Every rule with its state."""
        return [rule for group in (await self.ask("rules"))["groups"] for rule in group["rules"]]

    async def value(self, expression: str) -> float | None:
        """The first series' value now, if there is any."""
        result = (await self.ask("query", query=expression))["result"]
        return float(result[0]["value"][1]) if result else None


@asynccontextmanager
async def prometheus(home: Path, ports: Mapping[str, list[int]]) -> AsyncIterator[Monitor]:
    """Prometheus with the configuration of compose.yaml, whose jobs are found at `ports` of this machine instead, and often."""
    (config,) = yaml_of(DEPLOY / "prometheus" / "prometheus.yml")
    config["global"] = {"scrape_interval": EVERY, "evaluation_interval": EVERY, "scrape_timeout": EVERY}
    config["rule_files"] = [str(DEPLOY / "prometheus" / name) for name in config["rule_files"]]
    for job in config["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in ports[job["job_name"]]]}]
    home.mkdir()
    (home / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    with (home / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("prometheus", f"--config.file={home / 'prometheus.yml'}", f"--storage.tsdb.path={home / 'data'}"),
            *(f"--web.listen-address={address}", "--log.level=warn"),
            stdout=log,
            stderr=log,
        )
    try:
        async with aiohttp.ClientSession() as session:

            async def ready() -> bool:
                return await _answers(session, f"http://{address}/-/ready")

            await until(ready, home / "log")
            yield Monitor(f"http://{address}", session)
    finally:
        process.terminate()
        async with asyncio.timeout(STOP_S):
            await process.wait()


async def until(true: Callable[[], Awaitable[bool]], log: Path) -> None:
    """Wait until a condition holds; raises `AssertionError` with its name and the log when it does not for too long."""
    try:
        async with asyncio.timeout(SEE_S):
            while not await true():
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not {true.__name__}: {log.read_text()}") from None


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def as_prometheus_reads_it(expression: str) -> str:
    """A panel's expression with Grafana's variables filled in."""
    return re.sub(r"\$__(rate_interval|range)", "1m", expression)
