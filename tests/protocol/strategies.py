"""Hypothesis strategies for anything that is made of the vocabulary's types, derived from the types' own limits."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

__all__ = ["json_values", "messages"]

_CHARACTERS = st.characters(exclude_categories=["Cs"])
_SAFE_INT = 2**53 - 1

#: Any JSON value, small.
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@cache
def messages(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a message class, or of any annotation that one may have."""
    return _of(inspect.type_info(annotation))


def _of(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.Metadata(type=inner):
            return _of(inner)
        case inspect.AnyType():
            return json_values
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType(ge=least, le=most):
            return st.integers(-_SAFE_INT if least is None else least, _SAFE_INT if most is None else most)
        case inspect.StrType():
            return _strings(info)
        case inspect.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case inspect.LiteralType(values=values):
            return st.sampled_from(list(values))
        case inspect.VarTupleType(item_type=item, min_length=least, max_length=most):
            return st.lists(_of(item), min_size=least or 0, max_size=min(most or 4, 4)).map(tuple)
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_of(key), _of(value), max_size=3)
        case inspect.UnionType(types=types):
            return st.one_of([_of(t) for t in types])
        case inspect.StructType(cls=cls, fields=fields):
            return _structs(cls, fields)
    raise NotImplementedError(info)


def _strings(info: inspect.StrType) -> st.SearchStrategy[str]:
    least, most = info.min_length or 0, info.max_length or 20
    if info.pattern is None:
        return st.text(_CHARACTERS, min_size=least, max_size=min(most, 40))
    ascii_only = st.characters(max_codepoint=126)
    return st.from_regex(info.pattern, alphabet=ascii_only).filter(lambda text: least <= len(text) <= most)


def _structs(cls: type[msgspec.Struct], fields: tuple[inspect.Field, ...]) -> st.SearchStrategy[Any]:
    required = {f.name: _of(f.type) for f in fields if f.required}
    optional = {f.name: _of(f.type) for f in fields if not f.required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda values: cls(**values))
