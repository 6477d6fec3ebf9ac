"""deploy/k8s: manifests that Kubernetes takes, with settings, ports, probes, policies and times that fit together."""

from __future__ import annotations

import copy
import functools
from typing import Any

import jsonschema
import pytest
from aiohttp import web

from liveroom.config.schema import Config
from liveroom.config.settings import settings
from liveroom.console.health import Health
from liveroom.console.pages import Pages
from liveroom.gateway.gateway import CLOSING_S, LAST_REPORTS_S
from liveroom.telemetry.metrics import Metrics
from tests.deploy.files import DEPLOY, SECRET, Object, check_schema, config_of, last, metrics_there_are, port_of_metrics, yaml_of

K8S = DEPLOY / "k8s"
SETTINGS = K8S / "liveroom.toml"
(KUSTOMIZATION,) = yaml_of(K8S / "kustomization.yaml")
MANIFESTS: list[Object] = [document for name in KUSTOMIZATION["resources"] for document in yaml_of(K8S / name)]
ROLES = ("engine", "gateway", "console")

DEFINITIONS = {
    "Deployment": "io.k8s.api.apps.v1.Deployment",
    "Service": "io.k8s.api.core.v1.Service",
    "PodDisruptionBudget": "io.k8s.api.policy.v1.PodDisruptionBudget",
    "HorizontalPodAutoscaler": "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    "NetworkPolicy": "io.k8s.api.networking.v1.NetworkPolicy",
    "Ingress": "io.k8s.api.networking.v1.Ingress",
}
#: Between the moment at which a process says that it ended and the kill.
SLACK_S = 5


def the(kind: str, name: str) -> Object:
    """One manifest."""
    return next(m for m in MANIFESTS if m["kind"] == kind and m["metadata"]["name"] == name)


def pod(role: str) -> Object:
    """The template of a role's pods."""
    found: Object = the("Deployment", role)["spec"]["template"]
    return found


def container(role: str) -> Object:
    """The one container of a role's pods."""
    found: list[Object] = pod(role)["spec"]["containers"]
    assert len(found) == 1
    return found[0]


@functools.cache
def config(role: str) -> Config:
    """The settings of a role's process, which is also tried with its arguments."""
    environment = {"LIVEROOM_INSTANCE": f"{role}-7d9f-abcde", "LIVEROOM_AUTH_SECRET": SECRET}
    return config_of(container(role)["args"], environment, SETTINGS)


def ports(role: str) -> dict[str, int]:
    """The named ports of a role's container."""
    return {port["name"]: port["containerPort"] for port in container(role)["ports"]}


def selected(labels: Object) -> set[str]:
    """The roles whose pods have these labels."""
    return {role for role in ROLES if labels.items() <= pod(role)["metadata"]["labels"].items()}


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda m: f"{m['kind']}-{m['metadata']['name']}")
def test_kubernetes_knows_every_field(manifest: Object) -> None:
    """It fits the strict schema of its kind; a field that does not exist does not."""
    check_schema(manifest, "kubernetes-1.30.json", DEFINITIONS[manifest["kind"]])
    wrong = copy.deepcopy(manifest)
    wrong["spec"]["replcas"] = 3
    with pytest.raises(jsonschema.ValidationError):
        check_schema(wrong, "kubernetes-1.30.json", DEFINITIONS[manifest["kind"]])


def test_the_kustomization_names_every_file() -> None:
    """All manifests and the settings; the image that it renames is the one that pods name; nothing here is a secret's value."""
    assert set(KUSTOMIZATION["resources"]) | {"kustomization.yaml"} == {path.name for path in K8S.glob("*.yaml")}
    (generated,) = KUSTOMIZATION["configMapGenerator"]
    assert generated["files"] == [SETTINGS.name]
    (image,) = KUSTOMIZATION["images"]
    for role in ROLES:
        assert container(role)["image"] == image["name"]
        (volume,) = [v for v in pod(role)["spec"]["volumes"] if v["name"] == "config"]
        assert volume["configMap"]["name"] == generated["name"]
    assert "Secret" not in {manifest["kind"] for manifest in MANIFESTS}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_settings_that_exist_and_arguments_that_are_taken(role: str) -> None:
    """The file is where the environment says; the environment's names exist; secrets come from a Secret alone."""
    found = config(role)
    assert found.journal.kind == "kafka"
    environment = {variable["name"]: variable for variable in container(role)["env"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container(role)["volumeMounts"]}
    assert environment.pop("LIVEROOM_CONFIG")["value"] == f"{mounts['config']}/{SETTINGS.name}"
    known = {setting.env: setting for setting in settings()}
    assert environment.keys() <= known.keys()
    for name, variable in environment.items():
        assert ("secretKeyRef" in variable.get("valueFrom", {})) is known[name].secret, name
    for file in (found.gateway.tls_cert_file, found.gateway.tls_key_file):
        assert role != "gateway" or file.rpartition("/")[0] == mounts["tls"]


@pytest.mark.parametrize("role", ROLES)
def test_probes_and_scrapes_ask_what_is_served(role: str) -> None:
    """Ports are those of the settings, paths those of health; readiness by /readyz, life by /livez; Prometheus finds the metrics."""
    found = config(role)
    served = {"engine": {"ops": found.ops.port}, "console": {"http": found.console.port}}
    served["gateway"] = {"viewers": found.gateway.port, "ops": found.ops.port}
    assert ports(role) == served[role]
    router = web.UrlDispatcher()
    Health(Metrics(), lambda: None).add_routes(router)
    paths = {resource.canonical for resource in router.resources()}
    for probe, path in (("startupProbe", "/livez"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        asked = container(role)[probe]["httpGet"]
        assert asked["path"] == path
        assert path in paths
        assert ports(role)[asked["port"]] == port_of_metrics(role, found)
    annotations = pod(role)["metadata"]["annotations"]
    assert annotations["prometheus.io/scrape"] == "true"
    assert int(annotations["prometheus.io/port"]) == port_of_metrics(role, found)


def test_there_is_time_to_drain() -> None:
    """Pause, drain and end together are shorter than Kubernetes' grace period; a console's end, too."""
    for role, work_s in (
        ("gateway", config("gateway").gateway.drain_ms / 1000 + CLOSING_S + LAST_REPORTS_S),
        ("console", config("console").console.shutdown_ms / 1000),
    ):
        pause_s = int(container(role)["lifecycle"]["preStop"]["exec"]["command"][1])
        assert pod(role)["spec"]["terminationGracePeriodSeconds"] > pause_s + work_s + SLACK_S


@pytest.mark.parametrize("role", ROLES)
def test_pods_may_do_little(role: str) -> None:
    """The image's user, who is not root, without privileges, with a file system that is read only, and without Kubernetes' own token."""
    spec, security = pod(role)["spec"], container(role)["securityContext"]
    assert f"{spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}" == last("USER")
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["automountServiceAccountToken"] is False
    assert (security["allowPrivilegeEscalation"], security["readOnlyRootFilesystem"], security["capabilities"]) == (False, True, {"drop": ["ALL"]})


@pytest.mark.parametrize("role", ROLES)
def test_what_speaks_of_pods_means_those_of_the_role(role: str) -> None:
    """Deployment, disruption budget and service select the role's pods and no other; one pod may go at a time, and there are more."""
    deployment, budget = the("Deployment", role), the("PodDisruptionBudget", role)
    assert selected(deployment["spec"]["selector"]["matchLabels"]) == {role}
    assert selected(budget["spec"]["selector"]["matchLabels"]) == {role}
    least = the("HorizontalPodAutoscaler", role)["spec"]["minReplicas"] if role == "gateway" else deployment["spec"]["replicas"]
    assert budget["spec"]["maxUnavailable"] == 1 < least
    if role != "engine":
        service = the("Service", role)["spec"]
        assert selected(service["selector"]) == {role}
        assert {port["targetPort"] for port in service["ports"]} <= ports(role).keys()


def test_the_autoscaler_goes_by_viewers() -> None:
    """Its metric is a gauge of each gateway that the adapter hands on; its target leaves room for the viewers of a pod that goes."""
    spec = the("HorizontalPodAutoscaler", "gateway")["spec"]
    assert (spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"]) == ("Deployment", "gateway")
    assert "replicas" not in the("Deployment", "gateway")["spec"], "it would undo what the autoscaler did"
    (metric,) = spec["metrics"]
    name, target = metric["pods"]["metric"]["name"], metric["pods"]["target"]
    assert name in metrics_there_are()
    (adapter,) = yaml_of(DEPLOY / "prometheus" / "adapter.yaml")
    assert [rule["seriesQuery"].partition("{")[0] for rule in adapter["rules"]["custom"]] == [name]
    n = spec["minReplicas"]
    assert int(target["averageValue"]) * n / (n - 1) <= config("gateway").gateway.connections_max


def _ports(policy: Object, direction: str) -> set[int]:
    return {port["port"] for rule in policy["spec"].get(direction, []) for port in rule["ports"]}


def test_the_network_lets_through_what_is_needed_and_no_more() -> None:
    """Viewers to gateways, the ingress to consoles, Prometheus to the metrics, everybody to Kafka and DNS."""
    common: Any = the("NetworkPolicy", "liveroom")
    assert selected(common["spec"]["podSelector"]["matchLabels"]) == set(ROLES)
    assert set(common["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    kafka = {int(server.rpartition(":")[2]) for role in ROLES for server in config(role).kafka.bootstrap_servers}
    assert _ports(common, "egress") == {53} | kafka
    assert _ports(common, "ingress") == {port_of_metrics(role, config(role)) for role in ROLES}
    for role, port in (("gateway", config("gateway").gateway.port), ("console", config("console").console.port)):
        policy = the("NetworkPolicy", role)
        assert selected(policy["spec"]["podSelector"]["matchLabels"]) == {role}
        assert _ports(policy, "ingress") == {port}


def test_the_ingress_shows_the_pages_and_the_api_and_not_the_metrics() -> None:
    """Every page's path leads to the console; paths for machines inside do not."""
    (rule,) = the("Ingress", "console")["spec"]["rules"]
    paths = {path["path"]: path["pathType"] for path in rule["http"]["paths"]}
    assert {path["backend"]["service"]["name"] for path in rule["http"]["paths"]} == {"console"}
    assert f"https://{rule['host']}" in config("gateway").gateway.origins

    def leads_in(asked: str) -> bool:
        return any(asked == path or (kind == "Prefix" and asked.startswith(path + "/")) for path, kind in paths.items())

    router = web.UrlDispatcher()
    Pages().add_routes(router)
    pages = {resource.canonical for resource in router.resources()}
    assert len(pages) > 3
    assert [page for page in pages | {"/v1/rooms"} if not leads_in(page)] == []
    assert not any(map(leads_in, ("/metrics", "/livez", "/readyz")))


def test_prometheus_in_the_cluster_finds_the_pods() -> None:
    """Its configuration goes by the labels and annotations that pods have, in the namespace where they are."""
    (document,) = yaml_of(DEPLOY / "prometheus" / "prometheus-kubernetes.yml")
    (job,) = document["scrape_configs"]
    (discovery,) = job["kubernetes_sd_configs"]
    assert discovery["namespaces"]["names"] == [KUSTOMIZATION["namespace"]]
    name, value = discovery["selectors"][0]["label"].split("=")
    sources = {source for rule in job["relabel_configs"] for source in rule["source_labels"]}
    for role in ROLES:
        metadata = pod(role)["metadata"]
        assert metadata["labels"][name] == value
        assert {f"__meta_kubernetes_pod_annotation_{key.replace('.', '_').replace('/', '_')}" for key in metadata["annotations"]} <= sources
    assert "__meta_kubernetes_pod_label_app_kubernetes_io_component" in sources
