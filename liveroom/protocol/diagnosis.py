"""Explains why a JSON value is not a message. It walks over the classes itself, so that no error code depends on the words of a library.

The decoder says only that a message is wrong. `parse` then reads the text as plain JSON, and `diagnose` compares its values with the field types.
It returns the first fault: its code, its field and words for the sender. Only refused messages pay for this.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from typing import Any, Final

from msgspec import Struct, inspect

from liveroom.messages.fields import FORMS

__all__ = ["CHECKS", "Fault", "diagnose", "parse"]

#: An integer of more digits than this is out of every range; Python refuses to convert thousands of them.
DIGITS_MAX: Final = 100
#: Names and values of the sender are quoted up to this length.
QUOTED_CHARS_MAX: Final = 64


class Fault(Struct, frozen=True):
    """The first thing that is wrong: `path` is empty for the message itself, `command.words[1]` for an entry of a list."""

    code: str
    path: str
    detail: str


class _Huge:
    """A number beyond every range."""


def parse(text: str) -> Any:
    """The plain values of a JSON text; a whole number may be written as 1.0 or 1e3, as JSON Schema has it.

    Raises: `ValueError` when it is not JSON, `RecursionError` when it is nested too deeply.
    """
    return json.loads(text, parse_constant=_refuse_constant, parse_int=_integer, parse_float=_float)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _integer(digits: str) -> Any:
    return int(digits) if len(digits) <= DIGITS_MAX else _Huge()


def _float(digits: str) -> Any:
    number = float(digits)
    if not math.isfinite(number):
        return _Huge()
    return int(number) if number.is_integer() else number


def diagnose(of: Any, value: Any) -> Fault | None:
    """The first fault of `value` as a message of the type `of`; `None` when the walk finds none."""
    return _check(_type_info(of), value, "")


@cache
def _type_info(of: Any) -> inspect.Type:
    """One entry a decoder."""
    return inspect.type_info(of)


def _check(type_: inspect.Type, value: Any, path: str) -> Fault | None:
    while isinstance(type_, inspect.Metadata):
        type_ = type_.type
    check = CHECKS.get(type(type_))
    return check(type_, value, path) if check else None


def _struct(type_: inspect.StructType, value: Any, path: str) -> Fault | None:
    if type_.array_like:
        return _array_struct(type_, value, path)
    if not isinstance(value, dict):
        return _wrong_type("an object", value, path)
    fields = {field.encode_name: field for field in type_.fields}
    for name, inner in value.items():
        if name == type_.tag_field:
            fault = _tag(inner, (type_.tag,), _join(path, name))
        elif name in fields:
            fault = _check(fields[name].type, inner, _join(path, name))
        elif type_.forbid_unknown_fields:
            fault = Fault("unknown_field", _join(path, name), "there is no such field")
        else:
            continue
        if fault:
            return fault
    for field in type_.fields:
        if field.required and field.encode_name not in value:
            return _missing(_join(path, field.encode_name))
    return None


def _array_struct(type_: inspect.StructType, value: Any, path: str) -> Fault | None:
    if not isinstance(value, list):
        return _wrong_type("a list", value, path)
    required = sum(field.required for field in type_.fields)
    if len(value) < required:
        return Fault("too_short", path, f"expected a list of at least {required} entries")
    for index, (field, inner) in enumerate(zip(type_.fields, value, strict=False)):
        if fault := _check(field.type, inner, f"{path}[{index}]"):
            return fault
    if type_.forbid_unknown_fields and len(value) > len(type_.fields):
        return Fault("too_long", path, f"expected a list of at most {len(type_.fields)} entries")
    return None


def _union(type_: inspect.UnionType, value: Any, path: str) -> Fault | None:
    structs = [inner for inner in type_.types if isinstance(inner, inspect.StructType)]
    if value is None and any(isinstance(inner, inspect.NoneType) for inner in type_.types):
        return None
    if structs and structs[0].tag_field:
        return _tagged(structs, value, path)
    faults = [_check(inner, value, path) for inner in type_.types]
    return None if None in faults else next((fault for fault in faults if fault and fault.code != "wrong_type"), faults[0])


def _tagged(structs: list[inspect.StructType], value: Any, path: str) -> Fault | None:
    """One of several classes, which the field `type` names."""
    if not isinstance(value, dict):
        return _wrong_type("an object", value, path)
    tag_field = str(structs[0].tag_field)
    if tag_field not in value:
        return _missing(_join(path, tag_field))
    named = value[tag_field]
    if fault := _tag(named, tuple(struct.tag for struct in structs), _join(path, tag_field)):
        return fault
    return _struct(next(struct for struct in structs if struct.tag == named), value, path)


def _tag(value: Any, tags: tuple[str | int | None, ...], path: str) -> Fault | None:
    if not isinstance(value, str):
        return _wrong_type("a text", value, path)
    return None if value in tags else Fault("bad_value", path, f"there is no {_quoted(value)} here")


def _dict(type_: inspect.DictType, value: Any, path: str) -> Fault | None:
    if not isinstance(value, dict):
        return _wrong_type("an object", value, path)
    if fault := _length(type_, len(value), path, "entries", "an object"):
        return fault
    for key, inner in value.items():
        if fault := _check(type_.key_type, key, f"{path}[...]") or _check(type_.value_type, inner, f"{path}[...]"):
            return fault
    return None


def _list(type_: inspect.VarTupleType, value: Any, path: str) -> Fault | None:
    if not isinstance(value, list):
        return _wrong_type("a list", value, path)
    if fault := _length(type_, len(value), path, "entries", "a list"):
        return fault
    for index, inner in enumerate(value):
        if fault := _check(type_.item_type, inner, f"{path}[{index}]"):
            return fault
    return None


def _text(type_: inspect.StrType, value: Any, path: str) -> Fault | None:
    if not isinstance(value, str):
        return _wrong_type("a text", value, path)
    if fault := _length(type_, len(value), path, "characters", "a text"):
        return fault
    if type_.pattern is not None and not re.search(type_.pattern, value):
        return Fault("bad_value", path, f"expected {FORMS.get(type_.pattern, 'another form')}")
    return None


def _length(type_: Any, length: int, path: str, what: str, whole: str) -> Fault | None:
    if type_.max_length is not None and length > type_.max_length:
        return Fault("too_long", path, f"expected {whole} of at most {type_.max_length} {what}")
    if type_.min_length is not None and length < type_.min_length:
        return Fault("too_short", path, f"expected {whole} of at least {type_.min_length} {what}")
    return None


def _integer_in_range(type_: inspect.IntType, value: Any, path: str) -> Fault | None:
    if not isinstance(value, int | _Huge) or isinstance(value, bool):
        return _wrong_type("a whole number", value, path)
    lowest, highest = type_.ge, type_.le
    if isinstance(value, _Huge) or (highest is not None and value > highest) or (lowest is not None and value < lowest):
        limits = [f"{word} {limit}" for word, limit in (("at least", lowest), ("at most", highest)) if limit is not None]
        return Fault("out_of_range", path, f"expected a whole number of {' and '.join(limits) or 'at most 64 bits'}")
    return None if -(2**63) <= value < 2**64 else Fault("out_of_range", path, "expected a whole number of at most 64 bits")


def _boolean(type_: inspect.BoolType, value: Any, path: str) -> Fault | None:
    return None if isinstance(value, bool) else _wrong_type("true or false", value, path)


def _null(type_: inspect.NoneType, value: Any, path: str) -> Fault | None:
    return None if value is None else _wrong_type("null", value, path)


def _enum(type_: inspect.EnumType, value: Any, path: str) -> Fault | None:
    return _one_of([member.value for member in type_.cls], value, path)


def _literal(type_: inspect.LiteralType, value: Any, path: str) -> Fault | None:
    return _one_of(list(type_.values), value, path)


def _one_of(values: list[Any], value: Any, path: str) -> Fault | None:
    if not any(type(value) is type(known) for known in values):
        return _wrong_type("a text" if isinstance(values[0], str) else "a whole number", value, path)
    return None if value in values else Fault("bad_value", path, f"expected one of {', '.join(map(str, values))}")


def _missing(path: str) -> Fault:
    return Fault("missing_field", path, "a required field is missing")


def _wrong_type(expected: str, value: Any, path: str) -> Fault:
    return Fault("wrong_type", path, f"expected {expected}, got {_kind(value)}")


def _kind(value: Any) -> str:
    for types, words in _KINDS:
        if isinstance(value, types):
            return words
    return "a number"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= QUOTED_CHARS_MAX else f"{text[:QUOTED_CHARS_MAX]}…")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


_KINDS: Final[tuple[tuple[Any, str], ...]] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (str, "a text"),
    (list, "a list"),
    (dict, "an object"),
    (type(None), "null"),
)

#: How each kind of type is checked; a test proves that every kind in use is here.
CHECKS: Final[dict[Any, Any]] = {
    inspect.StructType: _struct,
    inspect.UnionType: _union,
    inspect.DictType: _dict,
    inspect.VarTupleType: _list,
    inspect.StrType: _text,
    inspect.IntType: _integer_in_range,
    inspect.BoolType: _boolean,
    inspect.NoneType: _null,
    inspect.EnumType: _enum,
    inspect.LiteralType: _literal,
}
