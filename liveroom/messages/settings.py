"""The base class of a section of settings, and the form of one setting.

A setting is a field with a type, limits, a description and a default.
`docs/configuration.md`, the names in the environment, flags and the checks follow from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Meta, Struct

__all__ = ["RoomSettings", "Section", "setting"]


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the TOML file, or a feature's part of one."""


class RoomSettings(Section, frozen=True):
    """The section `[rooms]`, as rules read it: the settings of all features, side by side."""

    if TYPE_CHECKING:  # the fields follow from the list of features

        def __getattr__(self, name: str) -> Any: ...


def setting(words: str, form: str = "", **limits: Any) -> Any:
    """The annotation of a setting: its description, its form in words, and msgspec's limits."""
    return Meta(description=words, extra={"form": form} if form else None, **limits)
