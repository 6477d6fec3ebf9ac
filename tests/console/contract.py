"""Holds real requests and answers against the API's description."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from liveroom.console.openapi import document

DOCUMENT = document()
_REGISTRY: Registry[Any] = Registry().with_resource("urn:openapi", DRAFT202012.create_resource(DOCUMENT))


def template_of(path: str) -> str | None:
    """The described path that an address matches; one without parameters goes first."""
    fits = [template for template in DOCUMENT["paths"] if re.fullmatch(_pattern(template), path)]
    return min(fits, key=lambda template: template.count("{"), default=None)


def _pattern(template: str) -> str:
    escaped = re.escape(template).replace(re.escape("{file}"), ".+")  # the pages' files lie in folders
    return re.sub(r"\\\{\w+\\\}", "[^/]+", escaped)


def check_request(method: str, path: str, query: dict[str, str], body: bytes) -> None:
    """A request that was answered 200 must be one that the description allows."""
    template = template_of(path)
    assert template is not None, f"{path} is not described"
    operation = DOCUMENT["paths"][template][method.lower()]
    assert set(query) <= {p["name"] for p in operation.get("parameters", ()) if p.get("in") == "query"}
    if "requestBody" in operation:
        assert body or not operation["requestBody"]["required"]
        _check(operation["requestBody"]["content"]["application/json"]["schema"], body or b"{}")


def check_answer(method: str, path: str, status: int, headers: Any, body: bytes) -> None:
    """An answer must be one that the description names for this request."""
    content_type = headers.get("Content-Type", "").partition(";")[0]
    template = template_of(path)
    operation = DOCUMENT["paths"].get(template, {}).get(method.lower())
    if operation is None:
        assert 400 <= status < 500, f"{method} {path} is not described"
        assert content_type == "application/problem+json"
        _check({"$ref": "#/components/schemas/Problem"}, body)
        return
    assert str(status) in operation["responses"], f"{method} {template} may not answer {status}: {body[:300]!r}"
    response = _resolved(operation["responses"][str(status)])
    for name, header in response.get("headers", {}).items():
        assert not header.get("required") or name in headers
    content = response.get("content")
    if content is None or status == 304:
        assert body == b""
        return
    if "*/*" not in content:
        assert content_type in content, f"{content_type} is not described for {method} {template} {status}"
        if content_type.endswith("json"):
            _check(content[content_type]["schema"], body)


def _resolved(value: Any) -> Any:
    while "$ref" in value:
        found: Any = DOCUMENT
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        value = found
    return value


def _check(schema: Any, body: bytes) -> None:
    absolute = {"$ref": "urn:openapi" + schema["$ref"]} if "$ref" in schema else schema
    Draft202012Validator(absolute, registry=_REGISTRY).validate(msgspec.json.decode(body))
