"""An error of one item is counted, logged, and kept from the others."""

from __future__ import annotations

import logging

import pytest

from liveroom.telemetry.isolation import LOGGED_EVERY_S, PLACES
from liveroom.telemetry.metrics import Metrics


def counted(metrics: Metrics, place: str) -> float | None:
    return metrics.registry.get_sample_value("liveroom_errors_isolated_total", {"place": place})


def test_every_item_has_its_step(caplog: pytest.LogCaptureFixture) -> None:
    """Items whose step raises are counted at their place. The log names one with its trace; the next line says how many it left out."""
    metrics, taken = Metrics(), []

    def step(item: int) -> None:
        taken.append(item)
        if item % 2:
            raise ValueError(f"item {item} is odd")

    with caplog.at_level(logging.ERROR):
        metrics.isolated.each("gateway_viewer", range(6), step)
    assert taken == list(range(6))
    assert counted(metrics, "gateway_viewer") == 3
    (line,) = caplog.records
    assert (vars(line)["place"], vars(line)["item"]) == ("gateway_viewer", 1)
    assert line.exc_info


def test_many_errors_do_not_fill_the_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each place one in a while is logged, and the next one tells how many were not."""
    now = [1_000.0]
    monkeypatch.setattr("liveroom.telemetry.isolation.time.monotonic", lambda: now[0])
    metrics = Metrics()
    for _ in range(10):
        metrics.isolated.each("gateway_room", ["r1"], lambda room: 1 // 0)
    metrics.isolated.each("gateway_join", ["v1"], lambda viewer: 1 // 0)
    now[0] += LOGGED_EVERY_S
    metrics.isolated.each("gateway_room", ["r1"], lambda room: 1 // 0)
    assert [(vars(line)["place"], vars(line).get("omitted")) for line in caplog.records] == [
        ("gateway_room", None),
        ("gateway_join", None),
        ("gateway_room", 9),
    ]
    assert counted(metrics, "gateway_room") == 11


def test_every_place_is_there_before_its_first_error() -> None:
    """An alert sees the first error as an increase."""
    metrics = Metrics()
    assert {place: counted(metrics, place) for place in PLACES} == dict.fromkeys(PLACES, 0.0)
