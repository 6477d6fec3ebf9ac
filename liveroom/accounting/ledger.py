"""A room's accounts, folded from its events alone and checked against themselves at every event.

The arithmetic is the ledger's own.
It shares no code with the rules that decided, so that one mistake cannot hide in both.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, Final

from msgspec import Struct

from liveroom.accounting.address_counts import AddressCounts
from liveroom.accounting.statement import CouponAccount, EnvelopeAccount, SaleAccount, Statement, Totals
from liveroom.features.address_limits.messages import AddressCounted
from liveroom.features.coupon.messages import (
    CouponClaimed,
    CouponExpired,
    CouponIssued,
    CouponLeft,
    CouponRedeemed,
    CouponReleased,
    CouponStopped,
    CouponTerms,
)
from liveroom.features.flash_sale.messages import (
    FlashSaleAnnounced,
    FlashSaleClosed,
    FlashSaleOpened,
    FlashSaleRestocked,
    HoldCancelled,
    HoldConfirmed,
    HoldExpired,
    StockChanged,
    StockReserved,
)
from liveroom.features.red_envelope.fairness import SEED_BYTES, commitment_of, split
from liveroom.features.red_envelope.messages import RedEnvelopeClosed, RedEnvelopeDropped, RedEnvelopeGrabbed, RedEnvelopeOpened, RedEnvelopeSealed
from liveroom.messages.errors import LedgerBroken
from liveroom.protocol.events import Event

__all__ = ["ITEMS_MAX", "Ledger"]

#: Limit of the accounts of each kind in a statement, newest first. The totals count all.
ITEMS_MAX: Final = 200

_HOLD_ORDER: Final = "hold-"


class _Envelope(Struct):
    """The data of an envelope that is not over yet."""

    dropped: RedEnvelopeDropped
    winners: set[str] = set()
    amounts_fen: list[int] = []


class _Code(Struct, gc=False):
    """A code of a coupon that has not expired."""

    coupon: int
    user: str
    order: str = ""
    discount_fen: int = 0


class _Hold(Struct, frozen=True, gc=False):
    """An open hold; `coupon` is -1 without one."""

    sale: int
    user: str
    quantity: int
    until_ms: int
    discount_fen: int
    code: str
    coupon: int


class _At(Struct, frozen=True):
    """The position of the fold, for error texts."""

    seq: int
    time_ms: int

    def require(self, holds: bool, otherwise: str) -> None:
        """Raise `LedgerBroken` unless the condition holds."""
        if not holds:
            raise LedgerBroken(self.seq, otherwise)

    def same(self, what: str, told: object, right: object) -> None:
        """Raise `LedgerBroken` unless a number follows from the events before."""
        if told != right:
            raise LedgerBroken(self.seq, f"{what} is {told}, but {right} follows from what happened before")


class Ledger:
    """The accounts of one room, with details only of open items. It needs every event of the room, from the first."""

    def __init__(self) -> None:
        self.seq = -1
        self.time_ms = 0
        self.envelopes: dict[int, EnvelopeAccount] = {}
        self.coupons: dict[int, CouponAccount] = {}
        self.sales: dict[int, SaleAccount] = {}
        self._live_envelopes: dict[int, _Envelope] = {}
        self._live_coupons: dict[int, tuple[CouponIssued, dict[str, int]]] = {}  # with the claims by user
        self._live_sales: dict[int, tuple[FlashSaleAnnounced, dict[str, int]]] = {}  # with the units by user
        self._terms: dict[int, CouponTerms] = {}
        self._codes: dict[str, _Code] = {}
        self._holds: dict[int, _Hold] = {}
        self._addresses = AddressCounts()
        self._granted = (-1, -1, "", -1)  # the last share, code or hold: its seq, item, user, and again the hold

    def apply(self, event: Event, seq: int, time_ms: int) -> None:
        """Fold an event; only events about money change anything. Raises `LedgerBroken` at the first difference, and then the ledger is unusable."""
        fold = _FOLDS.get(type(event))
        if fold is not None:
            fold(self, event, _At(seq, time_ms))
            self.seq, self.time_ms = seq, time_ms

    def held_quantity(self, hold: int) -> int:
        """The units of an open hold; 0 for any other."""
        found = self._holds.get(hold)
        return found.quantity if found is not None else 0

    def totals(self) -> Totals:
        """The sums."""
        envelopes, coupons, sales = self.envelopes.values(), self.coupons.values(), self.sales.values()
        return Totals(
            envelopes=len(envelopes),
            total_fen=sum(one.total_fen for one in envelopes),
            granted_fen=sum(one.granted_fen for one in envelopes),
            remaining_fen=sum(one.remaining_fen for one in envelopes),
            refunded_fen=sum(one.refunded_fen for one in envelopes),
            coupons=len(coupons),
            claimed=sum(one.claimed for one in coupons),
            redeemed=sum(one.redeemed for one in coupons),
            discount_fen=sum(one.discount_fen for one in coupons),
            sales=len(sales),
            stock=sum(one.stock for one in sales),
            available=sum(one.available for one in sales),
            held=sum(one.held for one in sales),
            sold=sum(one.sold for one in sales),
            gross_fen=sum(one.gross_fen for one in sales),
        )

    def statement(self, room: str) -> Statement:
        """A copy of the present accounts."""
        kinds: tuple[dict[int, Any], ...] = (self.envelopes, self.coupons, self.sales)
        envelopes, coupons, sales = (tuple(map(copy, list(kind.values())[-ITEMS_MAX:])) for kind in kinds)
        omitted = sum(max(0, len(kind) - ITEMS_MAX) for kind in kinds)
        return Statement(room, self.seq, self.time_ms, self.totals(), envelopes, coupons, sales, omitted)

    # Red envelopes

    def _dropped(self, event: RedEnvelopeDropped, at: _At) -> None:
        at.require(1 <= event.shares <= event.total_fen, f"{event.total_fen} fen cannot be split into {event.shares} shares of at least 1 fen")
        self.envelopes[at.seq] = EnvelopeAccount(at.seq, event.title, "announced", event.shares, 0, event.total_fen, 0, event.total_fen, 0)
        self._live_envelopes[at.seq] = _Envelope(event)
        self._addresses.begin(at.seq, event.users_per_address_max)

    def _envelope(self, envelope: int, at: _At) -> tuple[EnvelopeAccount, _Envelope]:
        at.require(envelope in self._live_envelopes, f"red envelope {envelope} is over or was never dropped")
        return self.envelopes[envelope], self._live_envelopes[envelope]

    def _sealed(self, event: RedEnvelopeSealed, at: _At) -> None:
        _, live = self._envelope(event.envelope, at)
        dropped = live.dropped
        at.require(not live.amounts_fen and not live.winners, f"red envelope {event.envelope} was sealed twice or too late")
        at.require(_is_the_seed(event.seed, dropped.commitment), "the seed is not the one that was committed to")
        live.amounts_fen = split(event.seed, dropped.total_fen, dropped.shares, dropped.split)

    def _opened(self, event: RedEnvelopeOpened, at: _At) -> None:
        account, live = self._envelope(event.envelope, at)
        at.require(account.state == "announced" and at.time_ms >= live.dropped.opens_ms, f"red envelope {event.envelope} opened twice or too early")
        account.state = "open"

    def _grabbed(self, event: RedEnvelopeGrabbed, at: _At) -> None:
        account, live = self._envelope(event.envelope, at)
        at.require(account.state == "open", f"{event.user} got a share of red envelope {event.envelope} before it opened")
        at.require(at.time_ms < live.dropped.closes_ms, f"{event.user} got a share of red envelope {event.envelope} after its end")
        at.require(event.user not in live.winners, f"{event.user} is twice in red envelope {event.envelope}")
        at.require(
            account.shares_granted < account.shares, f"{event.user} got a share, but all {account.shares} of red envelope {event.envelope} were gone"
        )
        at.require(1 <= event.amount_fen <= account.remaining_fen, f"{event.amount_fen} fen were granted of {account.remaining_fen} fen")
        if live.amounts_fen:
            at.same(f"the share of {event.user}", event.amount_fen, live.amounts_fen[account.shares_granted])
        live.winners.add(event.user)
        self._granted = (at.seq, event.envelope, event.user, -1)
        account.shares_granted += 1
        account.granted_fen += event.amount_fen
        account.remaining_fen -= event.amount_fen
        at.same("left_fen", event.left_fen, account.remaining_fen)
        at.same("shares_left", event.shares_left, account.shares - account.shares_granted)

    def _envelope_closed(self, event: RedEnvelopeClosed, at: _At) -> None:
        account, live = self._envelope(event.envelope, at)
        at.same("granted_fen", event.granted_fen, account.granted_fen)
        at.same("refunded_fen", event.refunded_fen, account.remaining_fen)
        at.require((event.reason == "empty") == (account.shares_granted == account.shares), f"it is over as {event.reason} with shares left or none")
        at.require(_is_the_seed(event.seed, live.dropped.commitment), "the seed is not the one that was committed to")
        account.refunded_fen, account.remaining_fen, account.state = account.remaining_fen, 0, event.reason
        del self._live_envelopes[event.envelope]
        self._addresses.end(event.envelope)

    # Coupons

    def _issued(self, event: CouponIssued, at: _At) -> None:
        self.coupons[at.seq] = CouponAccount(at.seq, event.title, "claimable", event.stock, 0, 0, 0)
        self._live_coupons[at.seq] = (event, {})
        self._terms[at.seq] = event.terms
        self._addresses.begin(at.seq, event.users_per_address_max)

    def _coupon(self, coupon: int, at: _At) -> tuple[CouponAccount, CouponIssued, dict[str, int]]:
        at.require(coupon in self._live_coupons, f"coupon {coupon} has expired or was never issued")
        return self.coupons[coupon], *self._live_coupons[coupon]

    def _claimed(self, event: CouponClaimed, at: _At) -> None:
        account, issued, claims = self._coupon(event.coupon, at)
        at.require(account.state == "claimable" and at.time_ms < issued.claimable_until_ms, f"coupon {event.coupon} could not be claimed any more")
        at.require(account.claimed < account.stock, f"all {account.stock} of coupon {event.coupon} were claimed")
        at.require(claims.get(event.user, 0) < issued.per_user_max, f"{event.user} has more of coupon {event.coupon} than one user may have")
        at.require(event.code not in self._codes, "the code was given out twice")
        self._codes[event.code] = _Code(event.coupon, event.user)
        claims[event.user] = claims.get(event.user, 0) + 1
        self._granted = (at.seq, event.coupon, event.user, -1)
        account.claimed += 1

    def _left(self, event: CouponLeft, at: _At) -> None:
        account, _, _ = self._coupon(event.coupon, at)
        at.same("left", event.left, account.stock - account.claimed)

    def _code(self, event: CouponRedeemed | CouponReleased, at: _At) -> tuple[CouponAccount, _Code]:
        account, issued, _ = self._coupon(event.coupon, at)
        code = self._codes.get(event.code)
        at.require(
            code is not None and (code.coupon, code.user) == (event.coupon, event.user), f"{event.user} has no such code of coupon {event.coupon}"
        )
        assert code is not None
        at.require(at.time_ms < issued.valid_until_ms, f"coupon {event.coupon} was valid no more")
        return account, code

    def _redeemed(self, event: CouponRedeemed, at: _At) -> None:
        account, code = self._code(event, at)
        at.require(not code.order, f"the code is used by order {code.order}, and by {event.order} at once")
        hold = self._hold_of(event.order)
        if hold is not None:
            at.same("discount_fen", event.discount_fen, hold.discount_fen)
        most_fen = _most_fen(self._terms[event.coupon])
        at.require(event.discount_fen > 0, "it takes nothing off, and is used up all the same")
        at.require(most_fen is None or event.discount_fen <= most_fen, f"it takes {event.discount_fen} fen off, too much")
        code.order, code.discount_fen = event.order, event.discount_fen
        account.redeemed += 1
        account.discount_fen += event.discount_fen

    def _hold_of(self, order: str) -> _Hold | None:
        number = order.removeprefix(_HOLD_ORDER)
        return self._holds.get(int(number)) if order.startswith(_HOLD_ORDER) and number.isdecimal() else None

    def _released(self, event: CouponReleased, at: _At) -> None:
        account, code = self._code(event, at)
        at.require(code.order == event.order != "", f"order {event.order} gives back a code that it does not use")
        at.require(self._hold_of(event.order) is None, f"the code was given back, but {event.order} is not resolved")
        account.redeemed -= 1
        account.discount_fen -= code.discount_fen
        code.order, code.discount_fen = "", 0

    def _stopped(self, event: CouponStopped, at: _At) -> None:
        account, _, _ = self._coupon(event.coupon, at)
        at.require(account.state == "claimable", f"coupon {event.coupon} was stopped twice")
        account.state = "stopped"
        self._addresses.end(event.coupon)

    def _coupon_expired(self, event: CouponExpired, at: _At) -> None:
        account, issued, _ = self._coupon(event.coupon, at)
        at.require(at.time_ms >= issued.valid_until_ms, f"coupon {event.coupon} expired before its time")
        account.state = "expired"
        del self._live_coupons[event.coupon]
        self._addresses.end(event.coupon)
        self._codes = {text: code for text, code in self._codes.items() if code.coupon != event.coupon}

    # Flash sales

    def _announced(self, event: FlashSaleAnnounced, at: _At) -> None:
        account = SaleAccount(at.seq, event.product, event.title, "announced", event.price_fen, event.stock, event.stock, 0, 0, 0, 0)
        self.sales[at.seq] = account
        self._live_sales[at.seq] = (event, {})
        self._addresses.begin(at.seq, event.users_per_address_max)

    def _sale(self, sale: int, at: _At) -> SaleAccount:
        at.require(sale in self.sales, f"flash sale {sale} was never announced")
        return self.sales[sale]

    def _sale_opened(self, event: FlashSaleOpened, at: _At) -> None:
        account = self._sale(event.sale, at)
        at.require(account.state == "announced", f"flash sale {event.sale} opened when it was {account.state}")
        account.state = "open"

    def _reserved(self, event: StockReserved, at: _At) -> None:
        account = self._sale(event.sale, at)
        at.require(account.state != "closed", f"{event.user} reserved of flash sale {event.sale} after it was closed")
        announced, taken = self._live_sales[event.sale]
        at.require(
            announced.opens_ms <= at.time_ms < announced.closes_ms, f"{event.user} reserved of flash sale {event.sale} before or after its time"
        )
        at.require(1 <= event.quantity <= account.available, f"{event.quantity} were reserved of {account.available} available")
        taken[event.user] = taken.get(event.user, 0) + event.quantity
        at.require(taken[event.user] <= announced.per_user_max, f"{event.user} has {taken[event.user]}, one user may have {announced.per_user_max}")
        coupon, spend_fen = -1, account.price_fen * event.quantity
        if event.coupon_code:
            code = self._codes.get(event.coupon_code)
            at.require(code is not None and not code.order, "the hold uses a code that is not there or is used already")
            assert code is not None
            coupon = code.coupon
        at.same("discount_fen", event.discount_fen, self._discount_fen(coupon, spend_fen))
        at.same("due_fen", event.due_fen, spend_fen - event.discount_fen)
        self._holds[at.seq] = _Hold(event.sale, event.user, event.quantity, event.until_ms, event.discount_fen, event.coupon_code, coupon)
        account.available -= event.quantity
        account.held += event.quantity
        self._granted = (at.seq, event.sale, event.user, at.seq)

    def _resolve(self, event: HoldConfirmed | HoldCancelled | HoldExpired, at: _At, sold: int, discount_fen: int) -> None:
        """Close a hold: `sold` of its units are sold, and its coupon takes `discount_fen` off."""
        hold, account = self._holds.pop(event.hold), self.sales[event.sale]
        returned = hold.quantity - sold
        self._addresses.resolve(event.hold, paid=sold > 0)
        account.held -= hold.quantity
        account.sold += sold
        account.available += returned
        if event.sale in self._live_sales:
            self._live_sales[event.sale][1][hold.user] -= returned
        if hold.coupon >= 0:
            self.coupons[hold.coupon].discount_fen += discount_fen - hold.discount_fen
        if hold.code in self._codes:
            self._codes[hold.code].discount_fen = discount_fen

    def _hold(self, event: HoldConfirmed | HoldCancelled | HoldExpired, at: _At) -> _Hold:
        hold = self._holds.get(event.hold)
        at.require(hold is not None, f"hold {event.hold} was resolved before, or was never there")
        assert hold is not None
        at.same("the hold's sale and user", (event.sale, event.user), (hold.sale, hold.user))
        return hold

    def _confirmed(self, event: HoldConfirmed, at: _At) -> None:
        hold, account = self._hold(event, at), self.sales[event.sale]
        at.require(at.time_ms < hold.until_ms, f"hold {event.hold} was paid after its time")
        at.require(1 <= event.quantity <= hold.quantity, f"{event.quantity} were sold of a hold of {hold.quantity}")
        at.same("returned", event.returned, hold.quantity - event.quantity)
        spend_fen = account.price_fen * event.quantity
        discount_fen = self._discount_fen(hold.coupon, spend_fen)
        at.same("paid_fen", event.paid_fen, spend_fen - discount_fen)
        self._resolve(event, at, event.quantity, discount_fen)
        account.gross_fen += event.paid_fen
        account.discount_fen += discount_fen

    def _cancelled(self, event: HoldCancelled, at: _At) -> None:
        self._hold(event, at)
        self._resolve(event, at, 0, 0)

    def _expired(self, event: HoldExpired, at: _At) -> None:
        hold = self._hold(event, at)
        at.require(at.time_ms >= hold.until_ms, f"hold {event.hold} expired before its time")
        self._resolve(event, at, 0, 0)

    def _stock(self, event: StockChanged, at: _At) -> None:
        account = self._sale(event.sale, at)
        told, right = (event.available, event.held, event.sold), (account.available, account.held, account.sold)
        at.same("the stock (available, held, sold)", told, right)
        at.same("available + held + sold", sum(told), account.stock)
        at.same("closed", event.closed, account.state == "closed")

    def _restocked(self, event: FlashSaleRestocked, at: _At) -> None:
        account = self._sale(event.sale, at)
        at.require(account.state != "closed" and event.quantity > 0, f"flash sale {event.sale} is closed, or the new stock is none")
        account.stock += event.quantity
        account.available += event.quantity
        at.same("stock", event.stock, account.stock)

    def _sale_closed(self, event: FlashSaleClosed, at: _At) -> None:
        account = self._sale(event.sale, at)
        at.require(account.state != "closed", f"flash sale {event.sale} was closed twice")
        at.same("held", event.held, account.held)
        account.state = "closed"
        del self._live_sales[event.sale]
        self._addresses.end(event.sale)

    # Limits per network address

    def _address_counted(self, event: AddressCounted, at: _At) -> None:
        at.same("the grant that counts for an address", (at.seq - 1, event.item, event.user, event.hold), self._granted)
        wrong = self._addresses.count(event.item, event.user, event.address_hash, at.seq - 1, event.hold)
        at.require(not wrong, wrong)

    # Coupons on holds

    def _discount_fen(self, coupon: int, spend_fen: int) -> int:
        """The discount of a coupon on this amount: rounded down, 0 below its minimum, never more than the amount."""
        terms = self._terms.get(coupon)
        if terms is None or spend_fen < terms.min_spend_fen:
            return 0
        wanted_fen = terms.amount_fen or spend_fen * terms.percent_off // 100
        return min(wanted_fen, spend_fen, terms.discount_max_fen or spend_fen)


def _most_fen(terms: CouponTerms) -> int | None:
    """The largest discount that a coupon may give; `None` without a bound."""
    return terms.amount_fen or terms.discount_max_fen or None


def _is_the_seed(seed: str, commitment: str) -> bool:
    return len(seed) == 2 * SEED_BYTES and not set(seed) - set("0123456789abcdef") and commitment_of(seed) == commitment


_FOLDS: Final[dict[type, Callable[[Ledger, Any, _At], None]]] = {
    RedEnvelopeDropped: Ledger._dropped,
    RedEnvelopeSealed: Ledger._sealed,
    RedEnvelopeOpened: Ledger._opened,
    RedEnvelopeGrabbed: Ledger._grabbed,
    RedEnvelopeClosed: Ledger._envelope_closed,
    CouponIssued: Ledger._issued,
    CouponClaimed: Ledger._claimed,
    CouponLeft: Ledger._left,
    CouponRedeemed: Ledger._redeemed,
    CouponReleased: Ledger._released,
    CouponStopped: Ledger._stopped,
    CouponExpired: Ledger._coupon_expired,
    FlashSaleAnnounced: Ledger._announced,
    FlashSaleOpened: Ledger._sale_opened,
    StockReserved: Ledger._reserved,
    HoldConfirmed: Ledger._confirmed,
    HoldCancelled: Ledger._cancelled,
    HoldExpired: Ledger._expired,
    StockChanged: Ledger._stock,
    FlashSaleRestocked: Ledger._restocked,
    FlashSaleClosed: Ledger._sale_closed,
    AddressCounted: Ledger._address_counted,
}
