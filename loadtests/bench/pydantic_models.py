"""The vocabulary as pydantic models with the same limits, made from the message classes, for the comparison of codecs."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal, Union

import pydantic
from msgspec import NODEFAULT, inspect

__all__ = ["model_of"]

STRICT = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)


@cache
def model_of(cls: type) -> Any:
    """The model that takes what a message class takes."""
    return _annotation(inspect.type_info(cls))


def _annotation(info: inspect.Type) -> Any:
    match info:
        case inspect.Metadata(type=inner):
            return _annotation(inner)
        case inspect.IntType(ge=least, le=most):
            return Annotated[int, pydantic.Field(ge=least, le=most)]
        case inspect.StrType(min_length=least, max_length=most, pattern=pattern):
            # Rust's regular expressions have no look-ahead and need none: `$` is the very end there.
            form = pattern.replace(r"(?!\n)", "") if pattern else None
            return Annotated[str, pydantic.Field(min_length=least, max_length=most, pattern=form)]
        case inspect.VarTupleType(item_type=item, max_length=most):
            items: Any = _annotation(item)
            return Annotated[tuple[items, ...], pydantic.Field(max_length=most)]
        case inspect.UnionType(types=types):
            return Annotated[Union[tuple(_annotation(t) for t in types)], pydantic.Field(discriminator="type")]
        case inspect.StructType():
            return _model(info)
    raise AssertionError(info)


def _model(info: inspect.StructType) -> Any:
    fields: dict[str, Any] = {f.encode_name: (_annotation(f.type), ... if f.default is NODEFAULT else f.default) for f in info.fields}
    if info.tag_field:
        fields = {info.tag_field: (Literal[info.tag], ...), **fields}
    return pydantic.create_model(info.cls.__name__, __config__=STRICT, **fields)
