"""Values of settings: reading from text, describing in words, and writing as TOML, all by type."""

from __future__ import annotations

import re
from typing import Any

import orjson
from msgspec import inspect

__all__ = ["expected", "from_text", "toml_value"]


def expected(annotation: Any) -> str:
    """The allowed values of a setting, in words."""
    kind, form = _kind(annotation)
    match kind:
        case inspect.IntType(ge=least, le=most):
            return f"a whole number from {least} to {most}"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(sorted(map(str, values)))}"
        case inspect.VarTupleType():
            return "a list of texts"
        case inspect.StrType(max_length=most, min_length=least):
            return form or "text" + (f" with at most {most} characters" if most else ", not empty" if least else "")
    raise AssertionError(annotation)


def from_text(annotation: Any, text: str) -> Any:
    """The value of a text from the environment or the command line; the text itself if it does not parse."""
    kind = _kind(annotation)[0]
    if isinstance(kind, inspect.IntType):
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,30}", text) else text
    if isinstance(kind, inspect.BoolType):
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if isinstance(kind, inspect.VarTupleType):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def toml_value(value: Any) -> str:
    """A value in TOML syntax."""
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_value(v) for v in value) + "]"
    return orjson.dumps(value).decode().replace("\x7f", "\\u007f")  # the one character that JSON allows and TOML does not


def _kind(annotation: Any) -> tuple[inspect.Type, str]:
    """The type of an annotation and the description of its form, or an empty text."""
    kind, form = inspect.type_info(annotation), ""
    while isinstance(kind, inspect.Metadata):
        form = (kind.extra or {}).get("form", form)
        kind = kind.type
    return kind, form
