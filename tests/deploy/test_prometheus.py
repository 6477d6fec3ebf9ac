"""deploy/prometheus and deploy/grafana: rules that fire when they should, and names of metrics that exist."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from liveroom.telemetry.metrics import Metrics
from tests.deploy.files import DEPLOY, ROOT, Object, metrics_named, metrics_there_are, yaml_of
from tests.deploy.monitor import DASHBOARDS, needs_prometheus, panels_of

RULES = DEPLOY / "prometheus" / "rules.yml"
TESTS = Path(__file__).parent / "alerts.test.yml"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
#: Labels that Prometheus itself adds, or that rules group by.
COMMON_LABELS = {"job", "instance", "le"}


def rules() -> list[Object]:
    """Every alert."""
    (document,) = yaml_of(RULES)
    return [rule for group in document["groups"] for rule in group["rules"]]


def promtool(*arguments: str) -> str:
    """The output of promtool; fails if it finds a fault."""
    needs_prometheus()
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_rules() -> None:
    """promtool takes them, with their expressions and the templates in their words."""
    assert f"SUCCESS: {len(rules())} rules found" in promtool("check", "rules", str(RULES))


@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-kubernetes.yml"])
def test_the_configuration_is_one(tmp_path: Path, name: str) -> None:
    """promtool takes it; Debian's knows no Kubernetes, so that part is left out there."""
    (document,) = yaml_of(DEPLOY / "prometheus" / name)
    for job in document["scrape_configs"]:
        if job.pop("kubernetes_sd_configs", None):
            job["static_configs"] = [{"targets": ["127.0.0.1:1"]}]
    (tmp_path / "rules.yml").write_text(RULES.read_text())
    (tmp_path / name).write_text(yaml.safe_dump(document))
    promtool("check", "config", str(tmp_path / name))


def test_alerts_fire_when_they_should_and_not_before(tmp_path: Path) -> None:
    """promtool plays series to every rule."""
    (document,) = yaml_of(RULES)
    for rule in document["groups"][0]["rules"]:
        del rule["annotations"]  # compared word by word otherwise
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(document))
    (tmp_path / TESTS.name).write_text(TESTS.read_text())
    promtool("test", "rules", str(tmp_path / TESTS.name))
    tests = [test for group in yaml_of(TESTS)[0]["tests"] for test in group["alert_rule_test"]]
    assert {test["alertname"] for test in tests if test.get("exp_alerts")} == {rule["alert"] for rule in rules()}


def test_every_alert_says_what_it_means_and_what_to_do_and_is_in_the_documentation() -> None:
    """In its annotations, and with the same name in the table of docs/operations.md, which has no other."""
    for rule in rules():
        assert rule["annotations"].keys() == {"summary", "meaning", "action", "runbook"}, rule["alert"]
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert f"## {anchor.replace('-', ' ').capitalize()}\n" in (ROOT / page).read_text(encoding="utf-8")
    assert re.findall(r"^\| `(Liveroom\w+)` \|", OPERATIONS, re.MULTILINE) == [rule["alert"] for rule in rules()]


def expressions() -> dict[str, str]:
    """The expressions of rules and panels, by place."""
    found = {rule["alert"]: rule["expr"] for rule in rules()}
    for path in DASHBOARDS:
        found |= {f"{path.name}: {title} {n}": asked for n, (title, asked) in enumerate(panels_of(path))}
    return found


@pytest.mark.parametrize(("where", "asked"), expressions().items(), ids=list(expressions()))
def test_every_metric_and_label_that_is_named_exists(where: str, asked: str) -> None:
    """Rules and panels ask only for what processes export, by labels that it has."""
    named = metrics_named(asked)
    assert named or re.search(r"\bup\b", asked)
    assert named <= metrics_there_are(), named - metrics_there_are()
    labels = {metric._name: set(metric._labelnames) for metric in vars(Metrics()).values() if hasattr(metric, "_labelnames")}
    own = set().union(*(labels.get(re.sub(r"_(total|bucket)$", "", name), set()) for name in named))
    used = {label for group in re.findall(r"\bby \(([^)]*)\)", asked) for label in group.split(", ")} | set(re.findall(r"[{,](\w+)=", asked))
    assert used <= own | COMMON_LABELS, where


def test_panels_have_places_of_their_own() -> None:
    """No two overlap, each has a title, and ids are unique."""
    for path in DASHBOARDS:
        panels = json.loads(path.read_text(encoding="utf-8"))["panels"]
        cells = [
            (x, y)
            for panel in panels
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]
        assert len(cells) == len(set(cells))
        assert max(x for x, _ in cells) == 23
        assert len({panel["id"] for panel in panels}) == len(panels)
        assert all(panel["title"] for panel in panels)
