"""Odd texts of every class, and values of message classes that hold one wherever a text may stand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from msgspec import inspect

from liveroom.messages.text import first_forbidden

#: Every class of characters that has broken something somewhere.
ODD: Final = {
    "lone high surrogate": "Anna \ud83d",
    "lone low surrogate": "\udc00",
    "surrogates in the wrong order": "\udc00\ud83d",
    "NUL": "a\x00b",
    "C0": "a\x1b[31mb\x07",
    "C1": "a\x9b31mb\x85",
    "DEL": "a\x7fb",
    "line ends": "a\r\nb\nc",
    "bidi override": "a\u202eb",
    "bidi isolate": "a\u2066b",
    "line separator": "a\u2028b\u2029c",
    "noncharacters": "a\ufffe\uffff\ufdd0\U0010ffff",
    "unassigned": "a\u0378\U000e0fff\U0003fffd",
    "zalgo": "z" + "\u0300\u0489\u0336" * 30,
    "grows when normalized": "\ufdfa" * 40,
    "tags": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "emoji families": "👨‍👩‍👧‍👦" * 10,
    "byte order mark": "\ufeffa",
    "nothing to see": "\u200b\u2060\u3164",
    "nothing": "",
    "spaces": "   ",
    "quotes and markup": "\"'`<>&\\{}$&%00../",
    "names of JavaScript": "__proto__",
    "much too long": "x" * 70_000,
}


def is_no_utf8(text: str) -> bool:
    """Whether it holds half of a surrogate pair."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def refused_as(text: str) -> tuple[str, ...]:
    """The codes of which one must come wherever the text stands in a command; none for a text that some fields may hold."""
    if is_no_utf8(text):
        return ("bad_utf8",)
    if text == ODD["much too long"]:
        return ("too_long", "bad_value")
    return ("control_characters", "bad_value", "too_short") if first_forbidden(text) else ()


def texts_in(value: Any) -> Iterator[str]:
    """Every text of a frame."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts_in(inner)


def escaped(body: Any) -> bytes:
    r"""JSON as browsers write it: half of a surrogate pair as `\ud83d`."""
    return json.dumps(body).encode()


def raw(body: Any) -> bytes:
    """JSON as bytes, even where they are no UTF-8."""
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")


# Values of the classes


def sample(info: inspect.Type) -> Any:
    """A value of a type, as plain JSON."""
    match info:
        case inspect.Metadata(type=inner):
            return sample(inner)
        case inspect.StrType(pattern=pattern, min_length=least):
            return "" if pattern and re.search(pattern, "") else "A" * (least or 1)
        case inspect.IntType(ge=least):
            return least or 0
        case inspect.BoolType():
            return False
        case inspect.EnumType(cls=cls):
            return next(iter(cls)).value
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.VarTupleType(item_type=item):
            return [sample(item)]
        case inspect.StructType(array_like=True, fields=fields):
            return [sample(field.type) for field in fields]
        case inspect.StructType(fields=fields, tag=tag, tag_field=tag_field):
            return {**({tag_field: tag} if tag_field else {}), **{field.encode_name: sample(field.type) for field in fields}}
        case inspect.UnionType(types=types):
            return sample(types[0])
    raise NotImplementedError(info)


def paths(info: inspect.Type) -> Iterator[tuple[str | int, ...]]:
    """Where texts stand in values of a type."""
    match info:
        case inspect.Metadata(type=inner):
            yield from paths(inner)
        case inspect.StrType() | inspect.EnumType() | inspect.LiteralType():
            yield ()
        case inspect.VarTupleType(item_type=item):
            yield from ((0, *path) for path in paths(item))
        case inspect.StructType(array_like=array_like, fields=fields):
            for number, field in enumerate(fields):
                yield from ((number if array_like else field.encode_name, *path) for path in paths(field.type))


def with_text(value: Any, path: tuple[str | int, ...], text: str) -> Any:
    """A copy with another text at a path."""
    if not path:
        return text
    copy: Any = list(value) if isinstance(value, list) else dict(value)
    copy[path[0]] = with_text(copy[path[0]], path[1:], text)
    return copy


def odd_bodies(of: type) -> Iterator[tuple[dict[str, Any], str]]:
    """Values of a class with each odd text at each place where a text may stand, and the text."""
    info = inspect.type_info(of)
    for path in paths(info):
        for text in ODD.values():
            yield with_text(sample(info), path, text), text
