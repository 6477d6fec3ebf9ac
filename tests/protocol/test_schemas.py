"""The schemas that clients are generated from."""

from __future__ import annotations

from typing import Any

import pytest

from docs.generate.asyncapi import document as of_websocket
from docs.generate.asyncapi_kafka import document as of_kafka
from liveroom.console.openapi import document as of_http
from liveroom.messages.fields import DurationMs, Role, TimeMs, UsersPerAddress
from liveroom.protocol.schemas import schema_of


def integers(node: Any) -> list[dict[str, Any]]:
    """Every schema of an integer in a document."""
    if isinstance(node, list):
        return [found for inner in node for found in integers(inner)]
    if not isinstance(node, dict):
        return []
    return ([node] if node.get("type") == "integer" else []) + [found for inner in node.values() for found in integers(inner)]


@pytest.mark.parametrize("document", [of_http, of_websocket, of_kafka], ids=["HTTP", "WebSocket", "Kafka"])
def test_every_integer_says_how_wide_it_is(document: Any) -> None:
    """Generated Go and Java clients take 32 bits unless the format is int64; what may be larger than 32 bits says so."""
    found = integers(document())
    assert len(found) > 10
    for schema in found:
        fits = schema.get("minimum", -(2**63)) >= -(2**31) and schema.get("maximum", 2**63) < 2**31
        assert schema.get("format") == ("int32" if fits else "int64"), schema


@pytest.mark.parametrize(("field", "width"), [(TimeMs, "int64"), (DurationMs, "int64"), (UsersPerAddress, "int32"), (Role, None)])
def test_the_width_follows_the_limits(field: Any, width: str | None) -> None:
    """A year in ms does not fit into 32 bits, a count of users per address does."""
    assert schema_of(field).get("format") == width
