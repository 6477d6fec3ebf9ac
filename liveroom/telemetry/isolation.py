"""Errors of one item in a loop that many share: counted, logged with what finds the item, and kept from the others."""

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
    "command_answer",  # handing an answer to the one that waits for it
    "gateway_room",  # a room's events, keyframe or detail: the room is asked for again
    "gateway_join",  # a viewer that waited for its room
    "gateway_viewer",  # writing to one viewer, or closing it
    "gateway_claim",  # the line of one scarce thing
    "gateway_report",  # a room's likes or audience
    "gateway_partition",  # looking whether a partition is heard from
    "console_room",  # a room in the directory
    "engine_command",  # deciding, encoding or folding a command
    "engine_timer",  # what the passing of time makes happen in a room
    "engine_keyframe",  # a room's keyframe or detail
    "engine_snapshot",  # a snapshot with a room that cannot be encoded
    "engine_room",  # a room whose events cannot be folded
    "engine_dead_letter",  # writing a dead letter
]
PLACES: Final[tuple[str, ...]] = get_args(Place)

#: At each place one error in this time is logged with its trace; the next one says how many were left out.
LOGGED_EVERY_S: Final = 1.0

Item = TypeVar("Item")


class IsolatedErrors:
    """Of one process."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._logged: dict[Place, tuple[float, int]] = {}  # when, and how many were left out since
        for place in PLACES:
            counter.labels(place)  # so that the first error is an increase

    def note(self, place: Place, **found: object) -> None:
        """Take note of the exception that is being handled; `found` is what finds the item."""
        self._counter.labels(place).inc()
        now = time.monotonic()
        at, left_out = self._logged.get(place, (-math.inf, 0))
        if now - at < LOGGED_EVERY_S:
            self._logged[place] = (at, left_out + 1)
            return
        self._logged[place] = (now, 0)
        extra = {"place": place, **found, **({"left_out": left_out} if left_out else {})}
        log.exception("one item failed; the others go on", extra=extra)

    def each(self, place: Place, items: Iterable[Item], step: Callable[[Item], object]) -> None:
        """Take the step for every item; one whose step raises is noted and the others have theirs."""
        for item in items:
            try:
                step(item)
            except Exception:
                self.note(place, item=item)
