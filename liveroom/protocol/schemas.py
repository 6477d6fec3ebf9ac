"""JSON Schemas of the messages, for the documents and for client generators."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

__all__ = ["schema_components", "schema_of"]

_INT32: Final = range(-(2**31), 2**31)


def schema_of(annotation: Any) -> dict[str, Any]:
    """The schema of one field's type."""
    schema = msgspec.json.schema(annotation)
    _add_formats(schema)
    return schema


def schema_components(classes: Iterable[Any], ref_template: str) -> dict[str, Any]:
    """The schemas of `classes` and of all classes in their fields, by name."""
    _, found = msgspec.json.schema_components(classes, ref_template=ref_template)
    schemas: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(found))  # through JSON: defaults that are tuples become lists
    _add_formats(schemas)
    return schemas


def _add_formats(schema: Any) -> None:
    """Add the width of integers: generated Go and Java clients use 32 bits by default, which is too small for a time in ms."""
    if isinstance(schema, list):
        for inner in schema:
            _add_formats(inner)
    elif isinstance(schema, dict):
        if schema.get("type") == "integer":
            fits = schema.get("minimum", -(2**63)) in _INT32 and schema.get("maximum", 2**63) in _INT32
            schema["format"] = "int32" if fits else "int64"
        for inner in schema.values():
            _add_formats(inner)
