"""The ledger: right stories add up to what the rules hold, and each thing that cannot be is found where it happened."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from liveroom.accounting.ledger import ITEMS_MAX, Ledger
from liveroom.features.address_limits.messages import AddressCounted
from liveroom.features.coupon.messages import CouponClaimed, CouponIssued, CouponLeft, CouponRedeemed, CouponReleased, CouponStopped, CouponTerms
from liveroom.features.coupon.state import of as coupons_of
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
from liveroom.features.flash_sale.state import of as flash_sales_of
from liveroom.features.red_envelope.messages import RedEnvelopeClosed, RedEnvelopeDropped, RedEnvelopeGrabbed, RedEnvelopeOpened, RedEnvelopeSealed
from liveroom.features.red_envelope.state import of as red_envelopes_of
from liveroom.messages.base import EventBase
from liveroom.messages.errors import LedgerBroken
from tests.features.coupon.prices import EACH_PRICE, Price
from tests.ledgers import EventList, a_random_evening, an_evening, folded


@EACH_PRICE
def test_the_ledger_computes_discounts_by_itself(price: Price) -> None:
    """Its own arithmetic gives the results that the room's rules give."""
    ledger = Ledger()
    ledger._terms[1] = price.terms
    assert ledger._discount_fen(1, price.spend_fen) == price.discount_fen


def test_an_evening_adds_up() -> None:
    """Each account says what happened, by hand."""
    ledger = folded(an_evening().story)
    totals = ledger.totals()
    assert (totals.envelopes, totals.total_fen) == (4, 2_000)
    assert totals.granted_fen + totals.remaining_fen + totals.refunded_fen == 2_000
    assert totals.remaining_fen == 100
    assert [(one.state, one.shares_granted) for one in ledger.envelopes.values()] == [("empty", 2), ("expired", 1), ("cancelled", 0), ("open", 1)]
    (coupon,) = ledger.coupons.values()
    assert (coupon.state, coupon.claimed, coupon.redeemed) == ("claimable", 3, 3)
    assert coupon.discount_fen == 600 + 2_000 + 1_000
    (sale,) = ledger.sales.values()
    assert (sale.stock, sale.available, sale.held, sale.sold) == (9, 6, 1, 2)
    assert (sale.gross_fen, sale.discount_fen) == (18_000, 2_000)


@pytest.mark.parametrize("seed", range(25))
def test_whatever_happens_the_accounts_are_those_of_the_rules(seed: int) -> None:
    """After any story, the ledger agrees with the state that the rules keep."""
    play = a_random_evening(seed)
    ledger = folded(play.story)
    for number, envelope in red_envelopes_of(play.room).live.items():
        account = ledger.envelopes[number]
        assert (account.remaining_fen, account.granted_fen) == (envelope.left_fen, envelope.total_fen - envelope.left_fen)
    for number, coupon in coupons_of(play.room).live.items():
        assert ledger.coupons[number].claimed == len(coupon.codes)
        assert ledger.coupons[number].redeemed == sum(bool(claim.order) for claim in coupon.codes.values())
    for number, sale in flash_sales_of(play.room).live.items():
        sold = ledger.sales[number]
        assert (sold.stock, sold.available, sold.held, sold.sold) == (sale.stock, sale.available, sale.held, sale.sold)
    for account in ledger.envelopes.values():
        assert account.granted_fen + account.remaining_fen + account.refunded_fen == account.total_fen
    assert sum(e.paid_fen for _, _, e in play.story if isinstance(e, HoldConfirmed)) == ledger.totals().gross_fen


def of(story: EventList, kind: type[EventBase], which: int = 0) -> int:
    """Where the `which`th event of a kind stands in a story."""
    return [place for place, (_, _, event) in enumerate(story) if isinstance(event, kind)][which]


@pytest.mark.parametrize(
    ("kind", "which", "changes"),
    [
        (RedEnvelopeDropped, 0, {"shares": 2_000}),
        (RedEnvelopeSealed, 0, {"seed": "0" * 64}),
        (RedEnvelopeOpened, 0, {"envelope": 7_777}),
        (RedEnvelopeGrabbed, 0, {"amount_fen": 1}),
        (RedEnvelopeGrabbed, 0, {"amount_fen": -1}),
        (RedEnvelopeGrabbed, 0, {"left_fen": 1}),
        (RedEnvelopeGrabbed, 0, {"shares_left": 0}),
        (RedEnvelopeGrabbed, 1, {"user": "u0"}),
        (RedEnvelopeClosed, 0, {"granted_fen": 999}),
        (RedEnvelopeClosed, 1, {"refunded_fen": 0}),
        (RedEnvelopeClosed, 1, {"reason": "empty"}),
        (RedEnvelopeClosed, 1, {"seed": "00"}),
        (CouponClaimed, 2, {"user": "u0"}),
        (CouponClaimed, 0, {"coupon": 7_777}),
        (CouponLeft, 1, {"left": 3}),
        (CouponRedeemed, 0, {"code": "A" * 16}),
        (CouponRedeemed, 2, {"discount_fen": 1}),
        (CouponReleased, 0, {"order": "order-9"}),
        (StockReserved, 0, {"quantity": 6}),
        (StockReserved, 0, {"quantity": 4}),
        (StockReserved, 0, {"due_fen": 1}),
        (StockReserved, 0, {"discount_fen": 0, "due_fen": 30_000}),
        (StockReserved, 0, {"coupon_code": ""}),
        (HoldConfirmed, 0, {"paid_fen": 17_999}),
        (HoldConfirmed, 0, {"returned": 0}),
        (HoldConfirmed, 0, {"quantity": 4, "returned": -1}),
        (HoldConfirmed, 0, {"user": "u1"}),
        (HoldCancelled, 0, {"hold": 7_777}),
        (StockChanged, 0, {"available": 3}),
        (StockChanged, 0, {"held": 2, "available": 3}),
        (StockChanged, 0, {"closed": True}),
        (FlashSaleRestocked, 0, {"stock": 8}),
        (FlashSaleRestocked, 0, {"quantity": 3}),
    ],
)
def test_a_changed_number_is_found_where_it_stands(kind: type[EventBase], which: int, changes: dict[str, Any]) -> None:
    """The seq that is named is the event's own."""
    story = an_evening().story
    place = of(story, kind, which)
    seq, time_ms, event = story[place]
    story[place] = (seq, time_ms, replace(event, **changes))
    with pytest.raises(LedgerBroken) as broken:
        folded(story)
    assert (broken.value.seq, str(seq) in str(broken.value)) == (seq, True)
    assert broken.value.what


@pytest.mark.parametrize(
    ("kind", "which", "words"),
    [
        (RedEnvelopeGrabbed, -1, "twice in red envelope"),
        (RedEnvelopeClosed, 0, "is over"),
        (RedEnvelopeOpened, -1, "opened twice"),
        (RedEnvelopeSealed, -1, "sealed twice"),
        (CouponClaimed, 2, "given out twice"),
        (CouponRedeemed, -1, "at once"),
        (CouponReleased, -1, "does not use"),
        (HoldConfirmed, 0, "was resolved before"),
        (HoldCancelled, 0, "was resolved before"),
        (HoldExpired, 0, "was resolved before"),
        (FlashSaleOpened, 0, "when it was open"),
    ],
)
def test_nothing_happens_twice(kind: type[EventBase], which: int, words: str) -> None:
    """One share a user, one resolution a hold, one order a code, one end."""
    story = an_evening().story
    _, _, event = story[of(story, kind, which)]
    with pytest.raises(LedgerBroken, match=words):
        folded([*story, (story[-1][0] + 1, story[-1][1], event)])


def test_one_resolution_rules_out_the_others() -> None:
    """A hold that was paid can neither expire nor be cancelled."""
    story = an_evening().story
    _, time_ms, paid = story[of(story, HoldConfirmed)]
    assert isinstance(paid, HoldConfirmed)
    for event in (HoldExpired(paid.sale, paid.hold, paid.user), HoldCancelled(paid.sale, paid.hold, paid.user, paid.user)):
        with pytest.raises(LedgerBroken, match="resolved before"):
            folded([*story, (9_999, time_ms, event)])


@pytest.mark.parametrize(
    ("kind", "which"), [(RedEnvelopeGrabbed, 0), (CouponClaimed, 0), (CouponRedeemed, 0), (StockReserved, 0), (HoldConfirmed, 0)]
)
def test_nothing_happens_after_its_time(kind: type[EventBase], which: int) -> None:
    """A day later no envelope, coupon, sale or hold of that evening is open."""
    story = an_evening().story
    place = of(story, kind, which)
    seq, time_ms, event = story[place]
    story[place] = (seq, time_ms + 3 * 86_400_000, event)
    with pytest.raises(LedgerBroken) as broken:
        folded(story)
    assert broken.value.seq == seq


def test_a_hold_does_not_expire_early() -> None:
    """Its user has all the time that was promised."""
    story = an_evening().story
    place = of(story, HoldExpired)
    seq, time_ms, event = story[place]
    story[place] = (seq, time_ms - 1, event)
    with pytest.raises(LedgerBroken, match="expired before its time"):
        folded(story)


def test_a_closing_says_what_is_held() -> None:
    """Units of open holds are not lost when a sale closes."""
    story = an_evening().story
    reserved = story[of(story, StockReserved)][2]
    assert isinstance(reserved, StockReserved)
    assert folded([*story, (9_999, story[-1][1], FlashSaleClosed(reserved.sale, "", 1))]).sales[reserved.sale].state == "closed"
    with pytest.raises(LedgerBroken, match="held is 0, but 1 follows"):
        folded([*story, (9_999, story[-1][1], FlashSaleClosed(reserved.sale, "", 0))])


def test_what_is_closed_or_stopped_stays_so() -> None:
    """No reservation and no claim afterwards."""
    story = an_evening().story
    sale, coupon = of(story, StockReserved), of(story, CouponClaimed)
    reserved, claimed = story[sale][2], story[coupon][2]
    assert isinstance(reserved, StockReserved)
    assert isinstance(claimed, CouponClaimed)
    for event, place in ((FlashSaleClosed(reserved.sale, "", 0), sale), (CouponStopped(claimed.coupon, ""), coupon)):
        seq, time_ms, _ = story[place]
        with pytest.raises(LedgerBroken):
            folded([*story[:place], (seq, time_ms, event), *story[place:]])


def test_a_discount_has_its_bound() -> None:
    """Events do not have the sums of the platform's orders, but a coupon's discount never exceeds its terms."""
    terms = CouponTerms(percent_off=50, discount_max_fen=100)
    start: EventList = [(0, 0, CouponIssued("c", terms, 1, 1, 1_000, 1_000, "anna")), (1, 0, CouponClaimed(0, "vera", "A" * 16))]
    assert folded([*start, (2, 0, CouponRedeemed(0, "vera", "A" * 16, "o", 100))]).coupons[0].discount_fen == 100
    with pytest.raises(LedgerBroken, match="too much"):
        folded([*start, (2, 0, CouponRedeemed(0, "vera", "A" * 16, "o", 101))])


def test_a_limit_per_address_holds() -> None:
    """The limit of users per address holds; an unpaid hold makes room again, a paid one does not."""
    sale = FlashSaleAnnounced("shirt", "Shirt", 100, 9, 9, 0, 1_000, 100, "anna", users_per_address_max=1)
    start: EventList = [
        (0, 0, sale),
        (1, 0, FlashSaleOpened(0)),
        (2, 1, StockReserved(0, "vera", 1, 101, 100)),
        (3, 1, AddressCounted(0, "vera", "a", 2)),
    ]
    second: EventList = [(5, 2, StockReserved(0, "victor", 1, 102, 100)), (6, 2, AddressCounted(0, "victor", "a", 5))]
    for event in (HoldCancelled(0, 2, "vera", "vera"), HoldExpired(0, 2, "vera")):
        folded([*start, (4, 101 if isinstance(event, HoldExpired) else 2, event), *[(seq, 102, event) for seq, _, event in second]])
    for between in (HoldConfirmed(0, 2, "vera", 1, 0, 100, "p"), FlashSaleRestocked(0, 1, 10)):
        with pytest.raises(LedgerBroken, match="2 users of one address") as broken:
            folded([*start, (4, 2, between), *second])
        assert broken.value.seq == 6
    folded([*start, (4, 2, FlashSaleRestocked(0, 1, 10)), second[0], (6, 2, AddressCounted(0, "victor", "b", 5))])


def test_what_counts_for_an_address_was_granted_just_before() -> None:
    """To that user, of that item, once, and only where there is a limit."""
    coupon = CouponIssued("c", CouponTerms(amount_fen=1), 9, 9, 1_000, 1_000, "anna", users_per_address_max=2)
    claimed = CouponClaimed(0, "vera", "A" * 16)
    folded([(0, 0, coupon), (1, 0, claimed), (2, 0, AddressCounted(0, "vera", "a"))])
    for wrong in (AddressCounted(0, "victor", "a"), AddressCounted(1, "vera", "a"), AddressCounted(0, "vera", "a", 1)):
        with pytest.raises(LedgerBroken, match="the grant that counts for an address"):
            folded([(0, 0, coupon), (1, 0, claimed), (2, 0, wrong)])
    with pytest.raises(LedgerBroken, match="the grant that counts for an address"):
        folded([(0, 0, coupon), (1, 0, claimed), (2, 0, AddressCounted(0, "vera", "a")), (3, 0, AddressCounted(0, "vera", "a"))])
    with pytest.raises(LedgerBroken, match="has no limit per address"):
        folded([(0, 0, replace(coupon, users_per_address_max=0)), (1, 0, claimed), (2, 0, AddressCounted(0, "vera", "a"))])


def test_a_statement_is_a_copy_and_bounded() -> None:
    """A statement does not change later. It lists the newest of each kind, and has only totals for older ones."""
    ledger = Ledger()
    for seq in range(ITEMS_MAX + 3):
        ledger.apply(CouponIssued("c", CouponTerms(amount_fen=1), 1, 1, 1_000, 1_000, "anna"), seq, 7)
    statement = ledger.statement("demo")
    assert (len(statement.coupons), statement.omitted, statement.totals.coupons) == (ITEMS_MAX, 3, ITEMS_MAX + 3)
    assert (statement.seq, statement.time_ms) == (ITEMS_MAX + 2, 7)
    ledger.apply(CouponStopped(ITEMS_MAX, ""), ITEMS_MAX + 3, 8)
    assert {coupon.state for coupon in statement.coupons} == {"claimable"}
