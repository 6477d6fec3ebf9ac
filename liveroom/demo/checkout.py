"""The demo's checkout for visitors: it pays their holds after a short time, even holds from before the demo started."""

from __future__ import annotations

import asyncio
import heapq
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from liveroom.config.schema import Config
from liveroom.features.flash_sale.messages import HoldCancelled, HoldConfirmed, HoldExpired, StockReserved
from liveroom.journal.stored_log import open_stored_log
from liveroom.journal.tail import RoomTail
from liveroom.messages.errors import BadConfig, JournalError
from liveroom.protocol.events import Event

__all__ = ["HOLDS_OPEN_MAX", "PAY_AFTER_MS", "PAY_AGAIN_MS", "OpenHolds", "take_payments"]

log = logging.getLogger("liveroom.demo")

#: Time from a visitor's hold to its payment, about the time that a person needs for a form.
PAY_AFTER_MS: Final = 10_000
#: A payment without an effect, for example while the server was away, is repeated after this time.
PAY_AGAIN_MS: Final = 5_000
#: Most open holds that are remembered; a visitor's hold beyond them expires.
HOLDS_OPEN_MAX: Final = 1_000
#: Time between two reads of the journal.
POLL_S: Final = 1.0
#: Pause after a failed read of the journal.
RETRY_S: Final = 5.0


class OpenHolds:
    """Visitors' open holds, from the room's events. No I/O, no clock. `is_visitor` selects the users whose holds are paid here."""

    def __init__(self, is_visitor: Callable[[str], bool]) -> None:
        self._is_visitor = is_visitor
        self._open: set[int] = set()
        self._due: list[tuple[int, int]] = []  # a heap of (when to pay in Unix ms, hold)

    def apply(self, time_ms: int, seq: int, event: Event) -> None:
        """Take one event of the room."""
        match event:
            case StockReserved(user=user) if self._is_visitor(user) and len(self._open) < HOLDS_OPEN_MAX:
                self._open.add(seq)
                heapq.heappush(self._due, (time_ms + PAY_AFTER_MS, seq))
            case HoldConfirmed(hold=hold) | HoldCancelled(hold=hold) | HoldExpired(hold=hold):
                self._open.discard(hold)

    def due(self, now_ms: int) -> list[int]:
        """Holds to pay now. A hold that stays open is given again after `PAY_AGAIN_MS`, because a room answers the same payment alike."""
        holds = []
        while self._due and self._due[0][0] <= now_ms:
            hold = heapq.heappop(self._due)[1]
            if hold in self._open:
                heapq.heappush(self._due, (now_ms + PAY_AGAIN_MS, hold))
                holds.append(hold)
        return holds


async def take_payments(config: Config, room: str, pay: Callable[[int], object], is_visitor: Callable[[str], bool]) -> None:
    """Pay visitors' holds until cancelled; `pay` blocks. Holds are personal events, so the demo reads them from the journal."""
    stopping = threading.Event()
    try:
        await asyncio.to_thread(_take, config, room, pay, is_visitor, stopping)
    finally:
        stopping.set()


def _take(config: Config, room: str, pay: Callable[[int], object], is_visitor: Callable[[str], bool], stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            _follow(config, room, pay, OpenHolds(is_visitor), stopping)
        except BadConfig as error:
            log.warning("visitors' holds are not paid by this demo", extra={"reason": str(error)})
            return
        except JournalError as error:
            log.warning("visitors' holds cannot be read now", extra={"reason": str(error)})
        stopping.wait(RETRY_S)


def _follow(config: Config, room: str, pay: Callable[[int], object], holds: OpenHolds, stopping: threading.Event) -> None:
    with open_stored_log(config) as stored_log:
        room_tail = RoomTail(stored_log, room)
        while not stopping.wait(POLL_S):
            for time_ms, seq, event in room_tail.more():
                holds.apply(time_ms, seq, event)
                if stopping.is_set():
                    return
            for hold in holds.due(time.time_ns() // 1_000_000):
                try:
                    pay(hold)
                except OSError as error:
                    log.debug("a payment did not get through", extra={"reason": str(error)})
