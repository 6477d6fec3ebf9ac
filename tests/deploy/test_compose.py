"""deploy/compose.yaml: a cluster of containers whose settings, ports and files fit together."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import jsonschema
import pytest
import yaml

from liveroom.cli import parser
from liveroom.client import connect
from liveroom.config.schema import Config
from liveroom.config.settings import settings
from liveroom.gateway.gateway import CLOSING_S, LAST_REPORTS_S
from liveroom.protocol.frames import Accepted
from tests.broker import BROKER, can_start_broker
from tests.deploy.files import DEPLOY, SECRET, Object, check_schema, config_of, port_of_metrics, yaml_of
from tests.serving import Server, free_port

ENVIRONMENT = {"LIVEROOM_AUTH_SECRET": SECRET, "GRAFANA_PASSWORD": "grafana"}
TEXT = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
ROLES = ("engine", "gateway", "console")
LIB = BROKER.parent / "lib"
SEE_S = 30
HAPROXY = (DEPLOY / "haproxy" / "haproxy.cfg").read_text(encoding="utf-8")


def interpolated(text: str, environment: Mapping[str, str]) -> str:
    """Interpolate like compose: `${NAME:-default}` and `${NAME:?error}`. Raises `KeyError` for a required variable that is not set."""

    def value(match: re.Match[str]) -> str:
        name, kind, words = match.groups()
        return environment.get(name) or (words if kind == ":-" else environment[name])

    return re.sub(r"\$\{(\w+)(:-|:\?)([^}]*)\}", value, text)


def compose(environment: Mapping[str, str] = ENVIRONMENT) -> Object:
    """The file as compose reads it."""
    document: Object = yaml.safe_load(interpolated(TEXT, environment))
    return document


@functools.cache
def config(role: str) -> Config:
    """The settings of a service of ours, which is also tried as a process with its command."""
    service = compose()["services"][role]
    return config_of(service["command"], service["environment"])


def test_it_is_a_compose_file() -> None:
    """It fits the specification's schema, which knows every key."""
    check_schema(compose(), "compose-spec.json")
    wrong = compose()
    wrong["services"]["engine"]["comand"] = ["engine"]
    with pytest.raises(jsonschema.ValidationError):
        check_schema(wrong, "compose-spec.json")


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_no_secret_is_in_the_file(name: str) -> None:
    """Each must come from outside, with words about how; none has a default."""
    with pytest.raises(KeyError, match=name):
        compose({key: value for key, value in ENVIRONMENT.items() if key != name})
    secrets = {setting.env for setting in settings() if setting.secret} | {"GF_SECURITY_ADMIN_PASSWORD"}
    for found, value in re.findall(r"^ +(\w+): (.*)$", TEXT, re.MULTILINE):
        assert found not in secrets or ":?" in value, found


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_settings_that_exist_and_a_command_that_is_taken(role: str) -> None:
    """Many processes share the journal in that Kafka; names and values are checked as the process itself would."""
    found = config(role)
    assert found.journal.kind == "kafka"
    kafka = compose()["services"]["kafka"]["environment"]
    assert f"PLAINTEXT://{found.kafka.bootstrap_servers[0]}" == kafka["KAFKA_ADVERTISED_LISTENERS"]
    assert (found.kafka.replication_factor, found.kafka.min_insync_replicas) == (1, 1), "there is one broker"
    test = compose()["services"][role]["healthcheck"]["test"]
    assert test[:2] == ["CMD", "liveroom"]
    parser().parse_args(test[2:])


def test_viewers_and_pages_reach_the_ports_that_are_served() -> None:
    """Through the proxy, whose address is believed; the console's page knows the viewers' address, and gateways know the page's."""
    services = compose()["services"]
    published = {int(port.split(":")[-2]): int(port.split(":")[-1]) for port in services["haproxy"]["ports"]}
    assert set(map(int, re.findall(r"^    bind :(\d+)$", HAPROXY, re.MULTILINE))) == set(published.values())
    gateway, console = config("gateway"), config("console")
    assert f"gateway:{gateway.gateway.port}" in HAPROXY
    assert f"console:{console.console.port}" in HAPROXY
    assert f"check port {gateway.ops.port} " in HAPROXY
    assert console.console.gateway_url == f"ws://localhost:{gateway.gateway.port}"
    assert gateway.gateway.origins == (f"http://localhost:{console.console.port}",)
    network = ipaddress.ip_network(compose()["networks"]["default"]["ipam"]["config"][0]["subnet"])
    for found in (gateway, console):
        assert [ipaddress.ip_network(trusted) for trusted in found.gateway.trusted_proxies] == [network]


def test_a_quiet_viewer_outlives_the_proxy() -> None:
    """The gateway pings before the proxy's time is up."""
    (timeout_s,) = re.findall(r"timeout tunnel (\d+)s", HAPROXY)
    assert int(timeout_s) * 1000 > config("gateway").gateway.idle_ms / 2


def needs_haproxy() -> None:
    """Skips the test when there is none."""
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy not found: Debian has it as haproxy")


def test_haproxy_takes_its_file() -> None:
    """HAProxy's own check passes, without Docker's DNS; each of its connections has two descriptors."""
    needs_haproxy()
    done = subprocess.run(["haproxy", "-c", "-f", str(DEPLOY / "haproxy" / "haproxy.cfg")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert compose()["services"]["haproxy"]["ulimits"]["nofile"] > 2 * int(re.findall(r"maxconn (\d+)", HAPROXY)[0])


async def test_viewers_come_through_haproxy_and_metrics_do_not(tmp_path: Path) -> None:
    """With servers of this machine instead of those that Docker's DNS names, viewers talk and pages are shown."""
    needs_haproxy()
    viewers, pages = free_port(), free_port()
    async with Server(tmp_path / "data") as server:
        gateway, console = (url.rpartition("/")[2] for url in (server.gateway_url, server.console_url))
        here = re.sub(r"bind :8800", f"bind 127.0.0.1:{viewers}", re.sub(r"bind :8801", f"bind 127.0.0.1:{pages}", HAPROXY))
        here = re.sub(r"maxconn \d+", "maxconn 100", here)
        here = re.sub(r"server-template gateway- 16 gateway:8800", f"server gateway-1 {gateway}", here)
        here = re.sub(r"server-template console- 4 console:8801", f"server console-1 {console}", here)
        here = here.replace("check port 8802", f"check port {console.rpartition(':')[2]}").replace("init-addr none resolvers docker", "")
        (tmp_path / "haproxy.cfg").write_text(here)
        haproxy = await asyncio.create_subprocess_exec("haproxy", "-db", "-f", str(tmp_path / "haproxy.cfg"))
        try:
            await _until_both_answer(f"http://127.0.0.1:{pages}/readyz", f"http://127.0.0.1:{viewers}/")
            assert (await server.command("demo", "open_room", {"title": "Lamps"}))["http_status"] == 200
            async with connect(f"ws://127.0.0.1:{viewers}", "demo", server.token("demo", "vera")) as room:
                assert isinstance(await room.send_chat("hello through the proxy"), Accepted)
            async with aiohttp.ClientSession() as session:
                for path, status in (("/", 200), ("/v1/rooms", 200), ("/metrics", 403)):
                    async with session.get(f"http://127.0.0.1:{pages}{path}") as response:
                        assert response.status == status, path
        finally:
            with contextlib.suppress(ProcessLookupError):
                haproxy.kill()
            await haproxy.wait()


async def _until_both_answer(console: str, gateway: str) -> None:
    """Wait until the proxy has found both alive; before, it says 503 itself."""
    async with asyncio.timeout(SEE_S), aiohttp.ClientSession() as session:
        for url in (console, gateway):
            status = 503
            while status == 503:
                await asyncio.sleep(0.05)
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(url) as response:
                        status = response.status


def test_kafkas_image_takes_its_settings(tmp_path: Path) -> None:
    """The program by which the image begins makes a configuration of them and formats the storage; the broker has each name."""
    can_start_broker()
    for file in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):  # the files of the image
        (tmp_path / file).write_text("\n")
    (tmp_path / "mounted").mkdir()
    (tmp_path / "final").mkdir()
    given = compose()["services"]["kafka"]["environment"]
    given["KAFKA_LOG_DIRS"] = str(tmp_path / "logs")
    subprocess.run([sys.executable, str(BROKER), "fetch", "--lib-dir", str(LIB)], check=True, timeout=700)
    done = subprocess.run(
        [
            *("java", "-cp", str(LIB / "*"), "kafka.docker.KafkaDockerWrapper", "setup"),
            *("-D", str(tmp_path), "-M", str(tmp_path / "mounted"), "-F", str(tmp_path / "final")),
        ],
        env={"PATH": os.environ["PATH"], "CLUSTER_ID": "5L6g3nShT-eMCtK--X86sw"} | given,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "logs" / "meta.properties").exists()
    known = set(re.findall(r"^\t([a-z.]+) = ", done.stderr + done.stdout, re.MULTILINE))
    names = {name.removeprefix("KAFKA_").replace("_", ".").lower() for name in given if name != "KAFKA_HEAP_OPTS"}
    assert names <= known, names - known


def test_there_is_time_to_drain() -> None:
    """Docker waits for longer than a gateway needs."""
    needed_s = config("gateway").gateway.drain_ms / 1000 + CLOSING_S + LAST_REPORTS_S
    assert int(compose()["services"]["gateway"]["stop_grace_period"].removesuffix("s")) > needed_s + 5


def test_every_file_that_is_mounted_is_there() -> None:
    """Every file of this folder that a container reads exists; every volume with data is declared."""
    found = compose()
    for service in found["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in found["volumes"], volume


def test_prometheus_asks_every_role_where_it_answers() -> None:
    """A job for each of our services, at the port that it serves."""
    (document,) = yaml_of(DEPLOY / "prometheus" / "prometheus.yml")
    jobs = {job["job_name"]: job["dns_sd_configs"][0] for job in document["scrape_configs"]}
    assert jobs.keys() == set(ROLES)
    for role, found in jobs.items():
        assert (found["names"], found["port"]) == ([role], port_of_metrics(role, config(role)))


def test_grafana_finds_its_source_and_its_dashboards() -> None:
    """The provisioned names, addresses and folders are those of the file."""
    services = compose()["services"]
    (sources,) = yaml_of(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yaml")
    (source,) = sources["datasources"]
    assert source["url"] == "http://prometheus:" + services["prometheus"]["ports"][0].split(":")[-1]
    (providers,) = yaml_of(DEPLOY / "grafana" / "provisioning" / "dashboards" / "liveroom.yaml")
    folder = providers["providers"][0]["options"]["path"]
    assert f"./grafana/dashboards:{folder}:ro" in services["grafana"]["volumes"]
    assert list((DEPLOY / "grafana" / "dashboards").glob("*.json"))
