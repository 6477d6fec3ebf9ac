"""deploy/compose.yaml: a cluster of containers whose settings, ports and files fit together."""

from __future__ import annotations

import functools
import ipaddress
import re
import shutil
import subprocess
from collections.abc import Mapping

import jsonschema
import pytest
import yaml

from liveroom.cli import parser
from liveroom.config import Config, settings
from liveroom.gateway.server import CLOSING_S, LAST_REPORTS_S
from tests.deploy.files import DEPLOY, SECRET, Object, check_schema, config_of, port_of_metrics, yaml_of

ENVIRONMENT = {"LIVEROOM_AUTH_SECRET": SECRET, "GRAFANA_PASSWORD": "grafana"}
TEXT = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
ROLES = ("engine", "gateway", "console")
HAPROXY = (DEPLOY / "haproxy" / "haproxy.cfg").read_text(encoding="utf-8")


def interpolated(text: str, environment: Mapping[str, str]) -> str:
    """As compose does: `${NAME:-default}` and `${NAME:?error}`. Raises `KeyError` for what must be set and is not."""

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


def test_haproxy_takes_its_file() -> None:
    """As far as it can tell without Docker's DNS."""
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy not found: Debian has it as haproxy")
    done = subprocess.run(["haproxy", "-c", "-f", str(DEPLOY / "haproxy" / "haproxy.cfg")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_there_is_time_to_drain() -> None:
    """Docker waits for longer than a gateway needs."""
    needed_s = config("gateway").gateway.drain_ms / 1000 + CLOSING_S + LAST_REPORTS_S
    assert int(compose()["services"]["gateway"]["stop_grace_period"].removesuffix("s")) > needed_s + 5


def test_every_file_that_is_mounted_is_there() -> None:
    """What containers read of this folder exists; every volume with data is declared."""
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
