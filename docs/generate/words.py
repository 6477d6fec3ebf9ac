"""Types, values and tables in words, for the reference pages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct, inspect

from liveroom.messages.fields import FORMS

__all__ = ["cell", "description", "first_sentence", "nested", "table", "type_words", "value"]


def type_words(info: inspect.Type) -> str:
    """The values of a type, such as `text, 1 to 300 characters`."""
    match info:
        case inspect.Metadata(type=inner):
            return type_words(inner)
        case inspect.AnyType():
            return "any"
        case inspect.BoolType():
            return "boolean"
        case inspect.IntType(ge=least, le=most):
            return "integer" + (f", {least:,} to {most:,}" if least is not None and most is not None else "")
        case inspect.StrType():
            return _text(info)
        case inspect.EnumType(cls=cls):
            return "one of " + ", ".join(f"`{member.value}`" for member in cls)
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(f"`{given}`" for given in values)
        case inspect.VarTupleType(item_type=item, max_length=most):
            return f"list of {f'at most {most:,} of ' if most else ''}{_braced(type_words(item))}"
        case inspect.DictType(value_type=inner):
            return f"object of {_braced(type_words(inner))} by name"
        case inspect.UnionType(types=types):
            return " or ".join(type_words(t) for t in types)
        case inspect.NoneType():
            return "`null`"
        case inspect.StructType(cls=cls):
            return f"`{cls.__name__}`"
    raise AssertionError(info)


def _braced(words: str) -> str:
    return f"({words})" if "," in words else words


def _text(info: inspect.StrType) -> str:
    least, most = info.min_length or 0, info.max_length
    size = "" if most is None else f", {least} to {most:,} characters" if least else f", at most {most:,} characters"
    form = f": {FORMS[info.pattern]}" if info.pattern in FORMS else ""
    return f"text{size}{form}"


def description(info: inspect.Type) -> str:
    """The description that an annotation carries."""
    words = ""
    while isinstance(info, inspect.Metadata):
        words = words or (info.extra_json_schema or {}).get("description", "")
        info = info.type
    return words


def value(given: Any) -> str:
    """A value as JSON, in backticks."""
    return f"`{msgspec.json.encode(given).decode()}`"


def first_sentence(cls: type[Struct]) -> str:
    """The first paragraph of a class's docstring, on one line."""
    return (cls.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")


def nested(classes: Iterable[type[Struct]]) -> list[type[Struct]]:
    """The classes inside the fields of `classes`, each once, in the order of the fields; without `classes` themselves."""
    outer = list(classes)
    found: dict[type[Struct], None] = {}
    for cls in outer:
        _add_nested(inspect.type_info(cls), found)
    return [cls for cls in found if cls not in outer]


def _add_nested(info: inspect.Type, found: dict[type[Struct], None]) -> None:
    match info:
        case inspect.StructType(cls=cls, fields=fields):
            if cls not in found:
                found[cls] = None
                for field in fields:
                    _add_nested(field.type, found)
        case inspect.Metadata(type=inner) | inspect.VarTupleType(item_type=inner) | inspect.DictType(value_type=inner):
            _add_nested(inner, found)
        case inspect.UnionType(types=types):
            for inner in types:
                _add_nested(inner, found)


def cell(words: str) -> str:
    """Text that is escaped for a cell of a Markdown table."""
    return words.replace("|", "\\|").replace("\n", " ")


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell(words) for words in line) + " |" for line in lines)
