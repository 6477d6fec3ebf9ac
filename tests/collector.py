"""The objects that the garbage collector has to visit."""

from __future__ import annotations

import gc
from collections.abc import Callable

__all__ = ["looked_at"]


def looked_at(make: Callable[[], object]) -> int:
    """Objects that a full collection, which stops everybody, looks at because of what `make` gives."""
    gc.collect()
    before = len(gc.get_objects())
    made = make()
    gc.collect()  # which also finds tuples that hold nothing to look at
    count = len(gc.get_objects()) - before
    del made
    return count
