"""Errors of one item in a shared loop: counted, logged with the item, and kept from the other items."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from typing import Final, Literal, TypeVar, get_args

from prometheus_client import Counter

__all__ = ["PLACES", "IsolatedErrors", "Place"]

log = logging.getLogger("liveroom")

#: Where an item can fail alone.
Place = Literal[
    "command_request",  # a request that cannot be written
    "command_batch",  # a batch that failed without a journal's error
    "command_answer",  # passing an answer to its caller
    "gateway_room",  # a room's events, keyframe or detail; the room is requested again
    "gateway_join",  # a viewer that waited for its room
    "gateway_viewer",  # writing to one viewer, or closing it
    "gateway_claim",  # the admission queue of one scarce item
    "gateway_report",  # a room's likes or audience
    "gateway_partition",  # checking whether a partition answers
    "console_room",  # a room in the directory
    "engine_command",  # deciding, encoding or folding a command
    "engine_timer",  # a room's timer
    "engine_keyframe",  # a room's keyframe or detail
    "engine_snapshot",  # a snapshot with a room that cannot be encoded
    "engine_room",  # a room whose events cannot be folded
    "engine_dead_letter",  # writing a dead letter
]
PLACES: Final[tuple[str, ...]] = get_args(Place)

#: Each place logs one error in this time, with its trace. The next line says how many were left out.
LOGGED_EVERY_S: Final = 1.0

Item = TypeVar("Item")


class IsolatedErrors:
    """The isolated errors of one process."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._logged: dict[Place, tuple[float, int]] = {}  # time of the last log line, and how many errors were left out since
        for place in PLACES:
            counter.labels(place)  # so that the first error is an increase

    def note(self, place: Place, **found: object) -> None:
        """Count and log the current exception; `found` identifies the item."""
        self._counter.labels(place).inc()
        now = time.monotonic()
        at, omitted = self._logged.get(place, (-math.inf, 0))
        if now - at < LOGGED_EVERY_S:
            self._logged[place] = (at, omitted + 1)
            return
        self._logged[place] = (now, 0)
        extra = {"place": place, **found, **({"omitted": omitted} if omitted else {})}
        log.exception("one item failed; the others go on", extra=extra)

    def each(self, place: Place, items: Iterable[Item], step: Callable[[Item], object]) -> None:
        """Run the step for every item. An error of one item is noted, and the others still run."""
        for item in items:
            try:
                step(item)
            except Exception:
                self.note(place, item=item)
