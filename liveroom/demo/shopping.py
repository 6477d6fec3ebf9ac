"""A simulated viewer's shopping: grabs, claims, reserves and mostly pays, at a person's pace."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from itertools import islice
from typing import Any, Final

from liveroom.client import Room, RoomEvent
from liveroom.demo.attempt import attempt
from liveroom.features.coupon.messages import ClaimCoupon, CouponIssued
from liveroom.features.coupon.price import discount_fen
from liveroom.features.flash_sale.messages import CancelHold, FlashSaleOpened, FlashSaleRestocked, ReserveStock, SaleView
from liveroom.features.red_envelope.messages import GrabRedEnvelope, RedEnvelopeOpened
from liveroom.protocol.frames import Accepted

__all__ = ["Pay", "shop"]

#: Pays a hold, as the platform does after its checkout.
Pay = Callable[[int], Awaitable[object]]

#: Most errands of one viewer at once; later offers are ignored.
AFTER_MAX: Final = 6
GRABS: Final = 0.45  # share of the viewers, so that something is left for visitors
CLAIMS: Final = 0.4
BUYS: Final = 0.45
PAYS: Final = 0.65  # share of the holds
GIVES_BACK: Final = 0.1
GRAB_AFTER_S: Final = (0.6, 9.0)
CLAIM_AFTER_S: Final = (1.0, 25.0)
BUY_AFTER_S: Final = (0.8, 30.0)
#: The decision to pay takes this part of the hold's time, but no longer than `DECIDE_S_MAX`.
DECIDE_PART: Final = (0.15, 0.6)
DECIDE_S_MAX: Final = 15.0


async def shop(room: Room, pay: Pay) -> None:
    """Take offers that are open at the start, then read the room's items until it ends, and take their offers."""
    async with asyncio.TaskGroup() as errands:
        under_way: set[asyncio.Task[None]] = set()

        def go(errand: Coroutine[Any, Any, None]) -> None:
            task = errands.create_task(errand)
            under_way.add(task)
            task.add_done_callback(under_way.discard)

        for errand in islice(_errands_at_start(room, pay), AFTER_MAX):
            go(errand)
        async for item in room:
            if isinstance(item, RoomEvent) and len(under_way) < AFTER_MAX and (wanted := _errand(room, item, pay)) is not None:
                go(wanted)


def _errands_at_start(room: Room, pay: Pay) -> Iterator[Coroutine[Any, Any, None]]:
    """This viewer's errands for offers that opened before they came, for example after a restart."""
    for envelope in room.state.envelopes:
        if envelope.open and random.random() < GRABS:
            yield _grab(room, envelope.envelope)
    for coupon in room.state.coupons:
        if random.random() < CLAIMS:
            yield _claim(room, coupon.coupon)
    for sale in room.state.sales:
        if sale.state == "open" and random.random() < BUYS:
            yield _buy(room, sale.sale, pay)


def _errand(room: Room, item: RoomEvent, pay: Pay) -> Coroutine[Any, Any, None] | None:
    """This viewer's errand after an event; often there is none."""
    match item.event:
        case RedEnvelopeOpened(envelope=envelope) if random.random() < GRABS:
            return _grab(room, envelope)
        case CouponIssued() if random.random() < CLAIMS:
            return _claim(room, item.seq)
        case FlashSaleOpened(sale=sale) | FlashSaleRestocked(sale=sale) if random.random() < BUYS:
            return _buy(room, sale, pay)
    return None


async def _grab(room: Room, envelope: int) -> None:
    await asyncio.sleep(random.uniform(*GRAB_AFTER_S))
    view = next((view for view in room.state.envelopes if view.envelope == envelope), None)
    if view is None:
        return
    if view.condition.keyword:
        await attempt(room.send_chat(view.condition.keyword))
    await attempt(room.send(GrabRedEnvelope(envelope)))


async def _claim(room: Room, coupon: int) -> None:
    await asyncio.sleep(random.uniform(*CLAIM_AFTER_S))
    await attempt(room.send(ClaimCoupon(coupon)))


async def _buy(room: Room, sale: int, pay: Pay) -> None:
    await asyncio.sleep(random.uniform(*BUY_AFTER_S))
    view = next((view for view in room.state.sales if view.sale == sale), None)
    if view is None or view.state != "open":
        return
    reserved = await _reserve(room, view)
    if reserved is None:
        return
    hold = int(reserved.result["hold"])
    await asyncio.sleep(min(random.uniform(*DECIDE_PART) * view.hold_ms / 1000, DECIDE_S_MAX))
    mood = random.random()
    if mood < PAYS:
        await pay(hold)
    elif mood < PAYS + GIVES_BACK:
        await attempt(room.send(CancelHold(hold)))  # the others let it expire


async def _reserve(room: Room, view: SaleView) -> Accepted | None:
    """Reserve stock, with a coupon that has an effect."""
    quantity = random.randint(1, min(2, view.per_user_max))
    fitting = (own.code for own in room.entitlements.coupons if not own.order and discount_fen(own.terms, view.price_fen * quantity))
    return await attempt(room.send(ReserveStock(view.sale, quantity, next(fitting, ""))))
