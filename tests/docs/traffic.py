"""Holds real traffic against `docs/asyncapi.yaml`: tests give it every frame that a client sent or a gateway sent."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from liveroom.protocol.refusals import REFUSALS

__all__ = ["check_client_frame", "check_server_frame", "document"]

FILE = Path(__file__).resolve().parents[2] / "docs" / "asyncapi.yaml"
URI = "urn:liveroom:asyncapi"


@cache
def document() -> dict[str, Any]:
    """The committed AsyncAPI document."""
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return loaded


def check_client_frame(data: bytes | str) -> dict[str, Any]:
    """Check a frame that a well-behaved client sent; gives it decoded. Raises `AssertionError`."""
    plain = json.loads(data)
    name = plain.get("command", plain).get("type") if isinstance(plain, dict) else None
    _check(plain, f"{name}", f"#/components/messages/{name}/payload")
    checked: dict[str, Any] = plain
    return checked


def check_server_frame(data: bytes | str) -> dict[str, Any]:
    """Check a frame that a gateway sent, each event of a delta too; gives it decoded. Raises `AssertionError`."""
    plain = json.loads(data)
    name = plain.get("type") if isinstance(plain, dict) else None
    events = plain.get("events", ()) if name == "delta" else ()
    _check({**plain, "events": []} if name == "delta" else plain, f"{name}", f"#/components/messages/{name}/payload")
    for event in events:
        _check(event, f"{event.get('type')} in a delta", _event_ref(event.get("type")))
    if name == "delta":
        _check_span(plain)
    if name == "refused":
        assert plain["code"] in REFUSALS, f"unknown code {plain['code']!r}"
    checked: dict[str, Any] = plain
    return checked


def _check_span(delta: dict[str, Any]) -> None:
    seqs = [event["seq"] for event in delta["events"]]
    assert seqs == sorted(set(seqs)), f"events are not in order: {seqs}"
    assert all(delta["from"] <= seq < delta["to"] for seq in seqs), f"events outside [{delta['from']}, {delta['to']}): {seqs}"
    omitted = sum(delta.get("omitted", {}).values())
    assert len(seqs) + omitted == delta["to"] - delta["from"], f"{len(seqs)} events and {omitted} left out are not the span"


def _check(plain: Any, name: str, ref: str) -> None:
    known = ref in _refs()
    assert known, f"{name}: docs/asyncapi.yaml has no such message"
    for error in _validator(ref).iter_errors(plain):
        raise AssertionError(f"{name}: {error.json_path}: {error.message}")


@cache
def _refs() -> frozenset[str]:
    names = document()["components"]["messages"]
    return frozenset([f"#/components/messages/{name}/payload" for name in names] + [_event_ref(name) for name in _events()])


@cache
def _events() -> dict[str, str]:
    """Event name -> reference of its schema."""
    schemas = document()["components"]["schemas"]
    refs = [item["$ref"] for item in schemas["Delta"]["properties"]["events"]["items"]["oneOf"]]
    return {schemas[ref.rpartition("/")[2]]["properties"]["type"]["enum"][0]: ref for ref in refs}


def _event_ref(name: Any) -> str:
    return _events().get(name, "")


@cache
def _validator(ref: str) -> Validator:
    closed = DRAFT202012.create_resource(_closed(document()))
    return Draft202012Validator({"$ref": URI + ref}, registry=Registry().with_resource(URI, closed))


def _closed(node: Any) -> Any:
    """The schemas as our own gateway keeps to them: clients ignore fields they do not know, but here none may go undocumented."""
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _closed(value) for key, value in node.items()}
    if node.get("type") == "object" and "properties" in node:
        node.setdefault("additionalProperties", False)
    return node
