"""The entitlements of a room's users, folded from the room's events, and the frame that tells one user about them.

Entitlements are kept by item, and in each item by user, so an item that expires or ended long ago is dropped as a whole.
The rules bound the number of items and users.
A join costs one lookup among the owners and, for an owner, one lookup per live item.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from liveroom.features.coupon.messages import CouponClaimed, CouponExpired, CouponIssued, CouponRedeemed, CouponReleased, CouponTerms
from liveroom.features.flash_sale.messages import FlashSaleClosed, HoldCancelled, HoldConfirmed, HoldExpired, StockChanged, StockReserved
from liveroom.features.red_envelope.messages import RedEnvelopeClosed, RedEnvelopeGrabbed
from liveroom.gateway.wire import text_frame
from liveroom.protocol.codec import encode
from liveroom.protocol.entitlements import ENTITLEMENTS_MAX, ENVELOPES_OVER_OWNED, SHARES_OVER_OWNED, EntitlementsChunk, OwnedCoupon, OwnedHold, Share
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Entitlements

__all__ = ["RoomEntitlements"]

#: Ended entitlements after which the set of owners is rebuilt. With more than twice as many owners, half their number counts instead.
ENDS_MAX: Final = 1_000

Item = TypeVar("Item")


class _Coupon:
    """The terms of a coupon, and its codes by user, each as (code, the order that uses it)."""

    __slots__ = ("codes", "terms", "title", "valid_until_ms")

    def __init__(self, title: str, terms: CouponTerms, valid_until_ms: int) -> None:
        self.title = title
        self.terms = terms
        self.valid_until_ms = valid_until_ms
        self.codes: dict[str, tuple[tuple[str, str], ...]] = {}

    def owned(self, number: int, code: str, order: str) -> OwnedCoupon:
        return OwnedCoupon(number, self.title, self.terms, code, self.valid_until_ms, order)


class _Sale:
    """The holds and bought units of a flash sale, by user. A closed sale is dropped with its last hold."""

    __slots__ = ("bought", "closed", "holds")

    def __init__(self) -> None:
        self.closed = False
        self.holds: dict[str, tuple[OwnedHold, ...]] = {}
        self.bought: dict[str, int] = {}


class RoomEntitlements:
    """The entitlements of one room after all applied events. They start from the chunks of an engine."""

    def __init__(self, chunks: Sequence[EntitlementsChunk] = ()) -> None:
        self._envelopes: dict[int, dict[str, int]] = {}  # user -> fen
        self._envelopes_over: dict[int, dict[str, int]] = {number: {} for chunk in chunks for number in chunk.envelopes_over}  # oldest first
        self._coupons = {one.coupon: _Coupon(one.title, one.terms, one.valid_until_ms) for chunk in chunks for one in chunk.coupons}
        self._sales: dict[int, _Sale] = {}
        self._owners: set[str] = set()  # all owners, and some users who own nothing any more
        self._ends = 0  # ended entitlements since `_owners` was rebuilt
        for chunk in chunks:
            self._take(chunk)

    def _take(self, chunk: EntitlementsChunk) -> None:
        for share in chunk.shares:
            over = self._envelopes_over.get(share.envelope)
            winners = self._envelopes.setdefault(share.envelope, {}) if over is None else over
            winners[share.user] = share.amount_fen
            self._owners.add(share.user)
        for claim in chunk.codes:
            self._append(self._coupons[claim.coupon].codes, claim.user, (claim.code, claim.order))
        for number in chunk.sales_closed:
            self._sale(number).closed = True
        for held in chunk.holds:
            hold = OwnedHold(held.hold, held.sale, held.quantity, held.until_ms, held.due_fen, held.discount_fen, held.coupon_code)
            self._append(self._sale(held.sale).holds, held.user, hold)
        for one in chunk.bought:
            self._sale(one.sale).bought[one.user] = one.units
            self._owners.add(one.user)

    def _sale(self, number: int) -> _Sale:
        return self._sales.setdefault(number, _Sale())

    def _append(self, by_user: dict[str, tuple[Item, ...]], user: str, item: Item) -> None:
        by_user[user] = (*by_user.get(user, ()), item)
        self._owners.add(user)

    # Entitlements of one user

    def frame(self, user: str, seq: int) -> bytes:
        """The frame with the entitlements of `user` after all events below `seq`. Users who own nothing also get it."""
        owned = self._owned_by(user, seq) if user in self._owners else None
        return text_frame(b'{"type":"entitlements","seq":%d}' % seq if owned is None else encode(owned))

    def _owned_by(self, user: str, seq: int) -> Entitlements | None:
        shares = [Share(n, won[user]) for things in (self._envelopes_over, self._envelopes) for n, won in things.items() if user in won]
        coupons = [coupon.owned(n, *code) for n, coupon in self._coupons.items() if user in coupon.codes for code in coupon.codes[user]]
        holds = [hold for sale in self._sales.values() if user in sale.holds for hold in sale.holds[user]]
        bought = [(n, sale.bought[user]) for n, sale in self._sales.items() if user in sale.bought]
        if not (shares or coupons or holds or bought):
            return None
        shares.sort(key=lambda share: share.envelope)
        holds.sort(key=lambda hold: hold.hold)
        omitted = sum(max(0, len(some) - ENTITLEMENTS_MAX) for some in (shares, coupons, holds, bought))
        newest = tuple(shares[-ENTITLEMENTS_MAX:]), tuple(coupons[-ENTITLEMENTS_MAX:]), tuple(holds[-ENTITLEMENTS_MAX:])
        return Entitlements(seq, *newest, dict(bought[-ENTITLEMENTS_MAX:]), omitted)

    def claimed(self, event: Event) -> OwnedCoupon | None:
        """The coupon that a `coupon_claimed` event gave its user; `None` for other events."""
        return self._coupons[event.coupon].owned(event.coupon, event.code, "") if isinstance(event, CouponClaimed) else None

    # Events

    def apply(self, seq: int, event: Event) -> None:
        """Apply the next event of the room's stream."""
        apply = _CHANGES.get(type(event))
        if apply is not None:
            apply(self, seq, event)

    def _grabbed(self, seq: int, event: RedEnvelopeGrabbed) -> None:
        self._envelopes.setdefault(event.envelope, {})[event.user] = event.amount_fen
        self._owners.add(event.user)

    def _envelope_closed(self, seq: int, event: RedEnvelopeClosed) -> None:
        """Keep the newest ended red envelopes, with as many shares as the rules remember. An older envelope's shares are dropped together."""
        over = self._envelopes_over
        over[event.envelope] = self._envelopes.pop(event.envelope, {})
        while len(over) > ENVELOPES_OVER_OWNED:
            self._ended(len(over.pop(next(iter(over)))))
        shares = sum(map(len, over.values()))
        for winners in over.values():
            if shares <= SHARES_OVER_OWNED:
                break
            shares -= len(winners)
            self._ended(len(winners))
            winners.clear()

    def _issued(self, seq: int, event: CouponIssued) -> None:
        self._coupons[seq] = _Coupon(event.title, event.terms, event.valid_until_ms)

    def _code_claimed(self, seq: int, event: CouponClaimed) -> None:
        self._append(self._coupons[event.coupon].codes, event.user, (event.code, ""))

    def _code_used(self, seq: int, event: CouponRedeemed) -> None:
        self._use(event.coupon, event.user, event.code, event.order)

    def _code_released(self, seq: int, event: CouponReleased) -> None:
        self._use(event.coupon, event.user, event.code, "")

    def _use(self, coupon: int, user: str, code: str, order: str) -> None:
        codes = self._coupons[coupon].codes
        codes[user] = tuple((one, order if one == code else used) for one, used in codes[user])

    def _expired(self, seq: int, event: CouponExpired) -> None:
        self._ended(len(self._coupons.pop(event.coupon).codes))

    def _reserved(self, seq: int, event: StockReserved) -> None:
        hold = OwnedHold(seq, event.sale, event.quantity, event.until_ms, event.due_fen, event.discount_fen, event.coupon_code)
        self._append(self._sale(event.sale).holds, event.user, hold)

    def _confirmed(self, seq: int, event: HoldConfirmed) -> None:
        bought = self._sale(event.sale).bought
        bought[event.user] = bought.get(event.user, 0) + event.quantity
        self._resolved(seq, event)

    def _resolved(self, seq: int, event: HoldConfirmed | HoldCancelled | HoldExpired) -> None:
        holds = self._sales[event.sale].holds
        left = tuple(hold for hold in holds[event.user] if hold.hold != event.hold)
        if left:
            holds[event.user] = left
        else:
            del holds[event.user]
            self._ended(1)

    def _sale_closed(self, seq: int, event: FlashSaleClosed) -> None:
        self._sale(event.sale).closed = True
        self._end(event.sale)

    def _stock_changed(self, seq: int, event: StockChanged) -> None:
        self._end(event.sale)

    def _end(self, number: int) -> None:
        """Drop a closed sale without holds."""
        sale = self._sales.get(number)
        if sale is not None and sale.closed and not sale.holds:
            del self._sales[number]
            self._ended(len(sale.bought))

    def _ended(self, count: int) -> None:
        """Count ended entitlements, and rebuild the set of owners once they are many."""
        self._ends += count
        if self._ends > max(ENDS_MAX, len(self._owners) // 2):
            sales = [users for sale in self._sales.values() for users in (sale.holds, sale.bought)]
            coupons = [coupon.codes for coupon in self._coupons.values()]
            self._owners = set().union(*self._envelopes.values(), *self._envelopes_over.values(), *coupons, *sales)
            self._ends = 0


_CHANGES: Final[dict[type, Callable[[RoomEntitlements, int, Any], None]]] = {
    RedEnvelopeGrabbed: RoomEntitlements._grabbed,
    RedEnvelopeClosed: RoomEntitlements._envelope_closed,
    CouponIssued: RoomEntitlements._issued,
    CouponClaimed: RoomEntitlements._code_claimed,
    CouponRedeemed: RoomEntitlements._code_used,
    CouponReleased: RoomEntitlements._code_released,
    CouponExpired: RoomEntitlements._expired,
    StockReserved: RoomEntitlements._reserved,
    HoldConfirmed: RoomEntitlements._confirmed,
    HoldCancelled: RoomEntitlements._resolved,
    HoldExpired: RoomEntitlements._resolved,
    FlashSaleClosed: RoomEntitlements._sale_closed,
    StockChanged: RoomEntitlements._stock_changed,
}
