"""Bounds that a run must keep: each has a name, a measured value and a limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

__all__ = ["Bound", "at_least", "at_most", "bounds_to_plain", "kept"]


class Bound(Struct, frozen=True):
    """A measured value beside its limit; `value` is `None` when nothing was measured, and then the bound is broken."""

    name: str
    value: float | None
    relation: str
    limit: float
    unit: str = ""

    @property
    def ok(self) -> bool:
        """Whether the value keeps the limit."""
        if self.value is None:
            return False
        return self.value <= self.limit if self.relation == "at most" else self.value >= self.limit

    def __str__(self) -> str:
        """One line for people."""
        value = "not measured" if self.value is None else f"{self.value:,g} {self.unit}".strip()
        return f"{self.name}: {value}, {self.relation} {self.limit:,g} {self.unit}".strip()


def at_most(name: str, value: float | None, limit: float, unit: str = "") -> Bound:
    """A bound from above."""
    return Bound(name, value, "at most", limit, unit)


def at_least(name: str, value: float | None, limit: float, unit: str = "") -> Bound:
    """A bound from below."""
    return Bound(name, value, "at least", limit, unit)


def kept(bounds: Sequence[Bound]) -> bool:
    """Whether all bounds are kept; without any bound nothing was judged, which is no success."""
    return bool(bounds) and all(bound.ok for bound in bounds)


def bounds_to_plain(bounds: Sequence[Bound]) -> list[dict[str, Any]]:
    """Bounds as a report has them."""
    return [
        {"name": bound.name, "value": bound.value, "relation": bound.relation, "limit": bound.limit, "unit": bound.unit, "ok": bound.ok}
        for bound in bounds
    ]
