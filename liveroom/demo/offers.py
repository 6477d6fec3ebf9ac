"""The offers of the demo's anchor: a small red envelope, a coupon, a small flash sale; never two of a kind at once."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Sequence
from typing import Final

from liveroom.client import Room
from liveroom.demo.attempt import attempt
from liveroom.features.coupon.messages import CouponTerms, IssueCoupon
from liveroom.features.flash_sale.messages import AnnounceFlashSale
from liveroom.features.red_envelope.messages import DropRedEnvelope, EnvelopeCondition
from liveroom.features.showcase.messages import Product
from liveroom.protocol.commands import Command

__all__ = ["KEYWORD", "make_offers"]

ENVELOPE_FIRST_S: Final = 5.0
ENVELOPE_EVERY_S: Final = 120.0
COUPON_FIRST_S: Final = 12.0
COUPON_EVERY_S: Final = 300.0
SALE_FIRST_S: Final = 20.0
SALE_EVERY_S: Final = 240.0

ENVELOPE_TOTALS_FEN: Final = (888, 1_880, 1_314)
ENVELOPE_SHARES: Final = 10
ENVELOPE_OPENS_IN_MS: Final = 12_000
ENVELOPE_OPEN_FOR_MS: Final = 60_000
KEYWORD: Final = "主播好"
#: Titles with their chat keywords, used in turn.
ENVELOPES: Final = (("恭喜发财 · Good fortune", ""), ("口令红包 · Say hello", KEYWORD))
COUPON_STOCK: Final = 30
COUPON_CLAIMABLE_MS: Final = 180_000
COUPON_VALID_MS: Final = 1_800_000
SALE_STOCK: Final = 16
SALE_PERCENT: Final = 60  # percent of the usual price
SALE_OPENS_IN_MS: Final = 10_000
SALE_OPEN_FOR_MS: Final = 120_000
SALE_HOLD_MS: Final = 20_000


async def make_offers(room: Room, products: Sequence[Product]) -> None:
    """Offer until cancelled; `room` is the anchor's, iterated elsewhere. It waits while the room is closed or an offer of the kind is live."""
    envelopes, goods = itertools.cycle(ENVELOPES), itertools.cycle(products)

    def envelope() -> Command | None:
        return None if room.state.envelopes else _envelope(*next(envelopes))

    def coupon() -> Command | None:
        return None if room.state.coupons else _coupon()

    def sale() -> Command | None:
        return None if room.state.sales else _sale(room.state.pinned or next(goods))

    async with asyncio.TaskGroup() as kinds:
        kinds.create_task(_now_and_then(room, ENVELOPE_FIRST_S, ENVELOPE_EVERY_S, envelope))
        kinds.create_task(_now_and_then(room, COUPON_FIRST_S, COUPON_EVERY_S, coupon))
        kinds.create_task(_now_and_then(room, SALE_FIRST_S, SALE_EVERY_S, sale))


async def _now_and_then(room: Room, first_s: float, every_s: float, offer: Callable[[], Command | None]) -> None:
    await asyncio.sleep(first_s)
    while True:
        if room.state.open and (command := offer()) is not None:
            await attempt(room.send(command))
        await asyncio.sleep(every_s * random.uniform(0.8, 1.2))


def _envelope(title: str, keyword: str) -> DropRedEnvelope:
    return DropRedEnvelope(
        total_fen=random.choice(ENVELOPE_TOTALS_FEN),
        shares=ENVELOPE_SHARES,
        title=title,
        opens_in_ms=ENVELOPE_OPENS_IN_MS,
        open_for_ms=ENVELOPE_OPEN_FOR_MS,
        condition=EnvelopeCondition(keyword=keyword),
    )


def _coupon() -> IssueCoupon:
    return IssueCoupon(
        title="直播间专享券 · Live special",
        terms=CouponTerms(amount_fen=2_000, min_spend_fen=9_900),
        stock=COUPON_STOCK,
        claimable_ms=COUPON_CLAIMABLE_MS,
        valid_ms=COUPON_VALID_MS,
    )


def _sale(product: Product) -> AnnounceFlashSale:
    return AnnounceFlashSale(
        product=product.id,
        price_fen=product.price_fen * SALE_PERCENT // 100,
        stock=SALE_STOCK,
        per_user_max=2,
        opens_in_ms=SALE_OPENS_IN_MS,
        open_for_ms=SALE_OPEN_FOR_MS,
        hold_ms=SALE_HOLD_MS,
    )
