"""Metrics: each process has its own, their names follow Prometheus' rules, and none grows with rooms or users."""

from __future__ import annotations

import re

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from liveroom.telemetry.metrics import Metrics


def wrapped(metrics: Metrics) -> dict[str, MetricWrapperBase]:
    return {name: value for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)}


def test_names_are_the_attributes_and_say_their_unit() -> None:
    """`metrics.gateway_joins` is `liveroom_gateway_joins`; times are in seconds; each is described."""
    for name, metric in wrapped(Metrics()).items():
        (family,) = metric.describe()
        assert family.name == f"liveroom_{name}"
        assert family.documentation
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", name)
        assert not name.endswith(("_ms", "_milliseconds", "_total", "_count"))


def test_no_label_grows_with_rooms_or_users() -> None:
    """Labels have few values: codes, outcomes, partitions; never a room, a user or an address."""
    labels = {label for metric in wrapped(Metrics()).values() for label in metric._labelnames}
    assert labels <= {"start", "reason", "code", "partition", "operation", "outcome", "verdict", "method", "status", "place"}


def test_two_processes_worth_of_metrics_do_not_meet() -> None:
    """Every `Metrics` has a registry of its own."""
    one, other = Metrics(), Metrics()
    one.gateway_connections.set(3)
    assert isinstance(one.registry, CollectorRegistry)
    assert one.registry.get_sample_value("liveroom_gateway_connections") == 3
    assert other.registry.get_sample_value("liveroom_gateway_connections") == 0


def test_the_exposition_comes_family_by_family() -> None:
    """No part holds two families, so that the sender can yield between two."""
    parts = list(Metrics().exposition())
    assert all(part.count(b"# HELP") == part.count(b"# TYPE") <= 2 for part in parts)  # a counter's second family says when it was created
    assert len(parts) > 40


def test_the_exposition_is_prometheus_text() -> None:
    """The text of `/metrics` can be parsed and holds every metric and the process's own."""
    metrics = Metrics()
    metrics.gateway_refusals.labels("rate_limited").inc()
    families = {family.name: family for family in text_string_to_metric_families(b"".join(metrics.exposition()).decode())}
    assert {f"liveroom_{name}" for name in wrapped(metrics)} <= set(families)
    assert "process_resident_memory_bytes" in families
    (sample,) = [s for s in families["liveroom_gateway_refusals"].samples if s.name.endswith("_total")]
    assert (sample.labels, sample.value) == ({"code": "rate_limited"}, 1.0)
