"""The entitlements of a room's users, in chunks for a gateway: shares, coupon codes, holds and bought units."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, Final

from liveroom.features.coupon import state as coupons
from liveroom.features.flash_sale import state as flash_sales
from liveroom.features.flash_sale.state import FlashSale
from liveroom.features.red_envelope import state as red_envelopes
from liveroom.features.state import RoomState
from liveroom.protocol.entitlements import ENVELOPES_OVER_OWNED, BoughtUnits, ClaimedCoupon, CouponWorth, EntitlementsChunk, GrabbedShare, HeldUnits

__all__ = ["ENTITLEMENTS_CHUNK_BYTES_MAX", "entitlements"]

#: A chunk is no larger as JSON: it fits into the smallest record that a journal may be set to.
ENTITLEMENTS_CHUNK_BYTES_MAX: Final = 48 * 1024

#: Bytes of a row beside its texts, at most: numbers of up to 16 digits, quotes and commas, names of terms.
_BARE_BYTES: Final = {"envelopes_over": 17, "shares": 64, "coupons": 192, "codes": 64, "sales_closed": 17, "holds": 160, "bought": 64}
#: Bytes of a chunk beside its rows: names of fields, the room, its stream id.
_HEAD_BYTES: Final = 512

_Row = tuple[str, Any, int]  # field of the chunk, row, bytes of its texts at most


def entitlements(room: str, state: RoomState) -> tuple[EntitlementsChunk, ...]:
    """All entitlements after the last event; no chunk if there is nothing to own or claim."""
    fields: list[dict[str, list[Any]]] = []
    left = 0
    for name, row, text_bytes in _rows(state):
        size = _BARE_BYTES[name] + text_bytes
        if size > left:
            fields.append(defaultdict(list))
            left = ENTITLEMENTS_CHUNK_BYTES_MAX - _HEAD_BYTES
        left -= size
        fields[-1][name].append(row)
    return tuple(
        EntitlementsChunk(room, state.stream_id, state.seq, number, **{name: tuple(rows) for name, rows in some.items()})
        for number, some in enumerate(fields)
    )


def _rows(state: RoomState) -> Iterator[_Row]:
    yield from _shares(state)
    for number, coupon in coupons.of(state).live.items():
        # A character takes 4 bytes, or 6 when JSON has to write it as a number; one of an id 2, as a quote.
        yield "coupons", CouponWorth(number, coupon.title, coupon.terms, coupon.valid_until_ms), 6 * len(coupon.title)
        for code, claim in coupon.codes.items():
            row = ClaimedCoupon(number, claim.user, code, claim.order)
            yield "codes", row, 2 * len(claim.user) + 2 * len(claim.order)
    for number, sale in flash_sales.of(state).live.items():
        yield from _of_sale(number, sale)


def _shares(state: RoomState) -> Iterator[_Row]:
    envelopes = red_envelopes.of(state)
    over = [*envelopes.over.items()][-ENVELOPES_OVER_OWNED:]
    for number, _ in over:
        yield "envelopes_over", number, 0
    for number, winners in [*((n, one.winners) for n, one in over), *((n, one.winners) for n, one in envelopes.live.items())]:
        for user, amount_fen in winners.items():
            yield "shares", GrabbedShare(number, user, amount_fen), 2 * len(user)


def _of_sale(number: int, sale: FlashSale) -> Iterator[_Row]:
    if sale.phase == "closed":
        yield "sales_closed", number, 0
    held: Counter[str] = Counter()
    for hold_number, hold in sale.holds.items():
        held[hold.user] += hold.quantity
        discount_fen = sale.price_fen * hold.quantity - hold.due_fen
        row = HeldUnits(number, hold.user, hold_number, hold.quantity, hold.until_ms, hold.due_fen, discount_fen, hold.coupon_code)
        yield "holds", row, 2 * len(hold.user)
    for user, taken in sale.taken.items():
        if taken > held[user]:
            yield "bought", BoughtUnits(number, user, taken - held[user]), 2 * len(user)
