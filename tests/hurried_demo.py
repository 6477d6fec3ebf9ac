"""The program that its arguments name, `python -m liveroom ...`, with a tenth of the demo's waits."""

from __future__ import annotations

import sys
from types import ModuleType

from liveroom.cli import main
from liveroom.demo import offers, shopping

TIMES = 10


def hurry(module: ModuleType) -> None:
    """Divide the waits of a module: seconds, ranges of seconds, and milliseconds until something opens or a hold ends."""
    for name, value in vars(module).copy().items():
        if not name.isupper():
            continue
        if name.endswith("_S") and isinstance(value, tuple):
            setattr(module, name, tuple(seconds / TIMES for seconds in value))
        elif name.endswith("_S"):
            setattr(module, name, value / TIMES)
        elif name.endswith(("_OPENS_IN_MS", "_HOLD_MS")):
            setattr(module, name, value // TIMES)


hurry(offers)
hurry(shopping)
offers.ENVELOPE_FIRST_S = 2.0  # type: ignore[misc]  # late enough for a test that drops one first, and before anything is sold
_, _, flag, package, *arguments = sys.argv
assert (flag, package) == ("-m", "liveroom"), sys.argv
main(arguments)
