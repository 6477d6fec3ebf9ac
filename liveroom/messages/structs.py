"""Structs whose fields come from the list of features."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_type_hints

from msgspec import NODEFAULT, Struct, field
from msgspec.structs import fields

__all__ = ["fields_of"]


def fields_of(structs: Iterable[type[Struct] | None]) -> list[tuple[str, Any, Any]]:
    """The fields of several structs as `msgspec.defstruct` takes them: name, type and default. All of them have defaults."""
    return [
        (one.name, get_type_hints(struct, include_extras=True)[one.name], _default(one.default, one.default_factory))
        for struct in structs
        if struct is not None
        for one in fields(struct)
    ]


def _default(default: Any, factory: Any) -> Any:
    return field(default_factory=factory) if default is NODEFAULT else default
