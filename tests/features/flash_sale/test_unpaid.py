"""Holds that are not paid: a limit per user and hour, and a pause for others near the end of the stock."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from liveroom.features.coupon.messages import ClaimCoupon, CouponTerms, IssueCoupon, RedeemCoupon
from liveroom.features.coupon.state import of as coupons_of
from liveroom.features.flash_sale import rules as flash_sale
from liveroom.features.flash_sale import unpaid
from liveroom.features.flash_sale.messages import AnnounceFlashSale, CancelHold, CloseFlashSale, ConfirmHold, ReserveStock, StockReserved
from liveroom.features.flash_sale.state import of as flash_sales_of
from liveroom.protocol.records import Sender
from liveroom.rooms.room import decode_state, encode_state
from tests.features.play import ANCHOR, BELLA, PLATFORM, SHIRT, VERA, VICTOR, Play

SALE = AnnounceFlashSale("shirt", 1_000, stock=1_000, per_user_max=1_000, opens_in_ms=0, open_for_ms=86_400_000, hold_ms=10_000)
MINUTE_MS = 60_000


def selling(stock: int = 1_000, hold_ms: int = 10_000, unpaid_max: int = 20) -> tuple[Play, int]:
    """A room with a sale."""
    play = Play(unpaid_holds_per_user_max=unpaid_max)
    play.adds(SHIRT)
    return play, int(play.does(ANCHOR, replace(SALE, stock=stock, hold_ms=hold_ms))["sale"])


def hold_of(play: Play, sale: int, sender: Sender = VERA) -> int:
    return int(play.does(sender, ReserveStock(sale))["hold"])


def test_a_user_makes_so_many_holds_an_hour_without_paying() -> None:
    """Cancelled and expired ones count, and open ones; the time to wait is exact, to the ms. Others are not concerned."""
    play, sale = selling(unpaid_max=3)
    play.does(VERA, CancelHold(hold_of(play, sale)))
    play.passes(1_000)
    hold_of(play, sale)
    play.passes(10_000)
    hold_of(play, sale)
    refusal = play.refused(VERA, ReserveStock(sale))
    assert (refusal.code, refusal.retry_after_ms) == ("unpaid_limit", 3_600_000 - 11_000)
    hold_of(play, sale, VICTOR)
    play.passes(refusal.retry_after_ms - 1)
    assert play.refused(VERA, ReserveStock(sale)).retry_after_ms == 1
    play.passes(1)
    hold_of(play, sale)
    assert play.refused(VERA, ReserveStock(sale)).code == "unpaid_limit"


def test_a_hold_that_is_paid_counts_no_more() -> None:
    """A user who pays may buy on, all day."""
    play, sale = selling(unpaid_max=2)
    for number in range(50):
        play.does(PLATFORM, ConfirmHold(hold_of(play, sale), f"p{number}"))
    first, _ = hold_of(play, sale), hold_of(play, sale)
    assert play.refused(VERA, ReserveStock(sale)).code == "unpaid_limit"
    play.does(PLATFORM, ConfirmHold(first, "last"))
    hold_of(play, sale)


def test_each_sale_counts_for_itself() -> None:
    """A user who is at the limit in one may reserve in another."""
    play, sale = selling(unpaid_max=1)
    hold_of(play, sale)
    assert play.refused(VERA, ReserveStock(sale)).code == "unpaid_limit"
    hold_of(play, int(play.does(ANCHOR, SALE)["sale"]))


@pytest.mark.parametrize("kept_ms", [1, 1_000, 5_000])
def test_the_last_unit_cannot_be_kept_by_one_hold_after_the_other(kept_ms: int) -> None:
    """A user who gave the only unit back unpaid waits for as long as it was kept; meanwhile others can have it."""
    play, sale = selling(stock=1)
    hold = hold_of(play, sale)
    play.passes(kept_ms)
    play.does(VERA, CancelHold(hold))
    refusal = play.refused(VERA, ReserveStock(sale))
    assert (refusal.code, refusal.retry_after_ms) == ("others_first", kept_ms)
    play.does(VICTOR, CancelHold(hold_of(play, sale, VICTOR)))
    play.passes(kept_ms)
    hold_of(play, sale)


def test_the_pause_is_a_minute_at_most_and_another_hold_does_not_shorten_it() -> None:
    """Also after a hold of five minutes that expired; a hold of no time after it ends no pause."""
    play, sale = selling(stock=10, hold_ms=300_000)
    hold_of(play, sale)
    play.passes(10_000)
    second = hold_of(play, sale)
    play.passes(290_000)
    play.does(VERA, CancelHold(second))
    for _ in range(9):
        hold_of(play, sale, VICTOR)
    refusal = play.refused(VERA, ReserveStock(sale))
    assert (refusal.code, refusal.retry_after_ms) == ("others_first", MINUTE_MS)


def test_nobody_pauses_while_there_is_plenty() -> None:
    """If more than a tenth of the stock would be left, no user has to pause."""
    play, sale = selling(stock=20)
    hold_of(play, sale)
    play.passes(10_000)
    hold_of(play, sale)
    for _ in range(15):
        hold_of(play, sale, VICTOR)
    play.passes(5_000)
    play.does(VERA, CancelHold(hold_of(play, sale)))
    hold_of(play, sale, VICTOR)
    assert play.refused(VERA, ReserveStock(sale)).code == "others_first"


def test_twelve_holds_in_a_row_leave_the_unit_to_others() -> None:
    """One who reserves the only unit whenever it is free, unpaid, and one who looks once a second: the second has it soon."""
    play, sale = selling(stock=1, hold_ms=1_000)
    hold_of(play, sale)
    for _ in range(12):
        play.passes(1_000)
        play.tries(VERA, ReserveStock(sale))  # at the very ms at which it is free again, and first
        if flash_sales_of(play.room).live[sale].available:
            hold_of(play, sale, VICTOR)
            break
    users = [event.user for _, _, event in play.story if isinstance(event, StockReserved)]
    assert users == ["vera", "victor"]


def test_what_is_kept_is_bounded_and_goes_with_the_sale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users of the last hour alone, so many at most, the one noted longest ago goes first; nothing when nothing can be reserved."""
    monkeypatch.setattr(unpaid, "UNPAID_USERS_MAX", 5)
    play, sale = selling()
    for number in range(10):
        hold_of(play, sale, Sender(f"user-{number}", "U"))
    assert list(flash_sales_of(play.room).live[sale].unpaid) == [f"user-{number}" for number in range(5, 10)]
    play.passes(10_000)
    play.passes(3_600_001)
    hold_of(play, sale)
    assert list(flash_sales_of(play.room).live[sale].unpaid) == ["vera"]
    play.does(ANCHOR, CloseFlashSale(sale))
    assert flash_sales_of(play.room).live[sale].unpaid == {}
    play.passes(10_000)


def test_the_last_holds_of_a_user_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state keeps a bounded number of times for each user, the newest ones, under any setting."""
    monkeypatch.setattr(unpaid, "UNPAID_HOLDS_MAX", 3)
    play, sale = selling()
    made_ms = []
    for _ in range(5):
        made_ms.append(play.now_ms)
        hold_of(play, sale)
        play.passes(1)
    assert flash_sales_of(play.room).live[sale].unpaid["vera"].made_ms == tuple(made_ms[-3:])


def test_of_too_many_users_some_are_forgotten_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one too many, and a sixteenth of the limit more: those noted longest ago, so that not each hold has to look for one."""
    monkeypatch.setattr(unpaid, "UNPAID_USERS_MAX", 32)
    play, sale = selling()
    for number in range(32):
        hold_of(play, sale, Sender(f"user-{number}", "U"))
        play.passes(1)
    play.does(PLATFORM, ConfirmHold(hold_of(play, sale, Sender("user-0", "U")), "p1"))  # noted last now, and at the first place
    assert len(flash_sales_of(play.room).live[sale].unpaid) == 32
    hold_of(play, sale, Sender("one-more", "U"))
    kept = flash_sales_of(play.room).live[sale].unpaid
    assert set(kept) == {"user-0", *(f"user-{number}" for number in range(4, 32)), "one-more"}
    for number in range(2):
        hold_of(play, sale, Sender(f"later-{number}", "U"))
        assert len(flash_sales_of(play.room).live[sale].unpaid) == 31 + number
    assert "user-4" in flash_sales_of(play.room).live[sale].unpaid


def test_users_whose_hour_is_over_are_looked_for_once_a_minute() -> None:
    """Not at each hold, for all users are looked at together; and at the first hold a minute after the last look."""
    play, sale = selling()

    def tries_on(sender: Sender) -> None:
        play.does(sender, CancelHold(hold_of(play, sale, sender)))

    tries_on(VERA)  # the first hold looks
    first_ms = play.now_ms
    assert flash_sales_of(play.room).live[sale].unpaid_looked_ms == first_ms
    play.passes(unpaid.LOOK_MS - 1)
    tries_on(VICTOR)
    assert flash_sales_of(play.room).live[sale].unpaid_looked_ms == first_ms
    play.passes(unpaid.UNPAID_WINDOW_MS - unpaid.LOOK_MS)
    tries_on(BELLA)  # one ms before the first user's hour is over
    looked_ms = first_ms + unpaid.UNPAID_WINDOW_MS - 1
    assert flash_sales_of(play.room).live[sale].unpaid_looked_ms == play.now_ms == looked_ms
    play.passes(unpaid.LOOK_MS - 1)
    tries_on(BELLA)
    assert set(flash_sales_of(play.room).live[sale].unpaid) == {"vera", "victor", "bella"}  # one hour is over, without a check since
    play.passes(1)
    tries_on(BELLA)
    assert set(flash_sales_of(play.room).live[sale].unpaid) == {"bella"}
    assert flash_sales_of(play.room).live[sale].unpaid_looked_ms == looked_ms + unpaid.LOOK_MS


def test_the_setting_is_asked_when_something_is_decided_and_never_when_it_is_folded() -> None:
    """Under any setting the same events make the same state, to the byte."""
    states = []
    for unpaid_max in (5, 1_000):
        play, sale = selling(unpaid_max=unpaid_max)
        chance = Random(3)
        for number in range(5):
            hold = hold_of(play, sale)
            if chance.random() < 0.5:
                play.does(PLATFORM, ConfirmHold(hold, f"p{number}"))
            play.passes(chance.choice([1, 4_000, 11_000]))
            play.state = decode_state(encode_state(play.state))
        states.append(encode_state(play.room))
    assert states[0] == states[1]


def test_a_payment_pays_one_hold() -> None:
    """For the same hold again it has the outcome of the first time, for another it is refused and changes nothing."""
    play, sale = selling()
    first, second = hold_of(play, sale), hold_of(play, sale)
    receipt = play.does(PLATFORM, ConfirmHold(first, "p1"))
    refusal = play.refused(PLATFORM, ConfirmHold(second, "p1"))
    assert (refusal.code, refusal.field) == ("payment_used", "payment")
    assert play.does(PLATFORM, ConfirmHold(first, "p1")) == receipt
    play.does(PLATFORM, ConfirmHold(second, "p2"))


def test_so_many_payments_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """At least the last ones, at most twice as many; holds that were not paid push none of them out."""
    monkeypatch.setattr(flash_sale, "PAYMENTS_MAX", 3)
    play, sale = selling(unpaid_max=1_000)
    for number in range(7):
        play.does(PLATFORM, ConfirmHold(hold_of(play, sale), f"p{number}"))
    for _ in range(50):
        play.does(VERA, CancelHold(hold_of(play, sale)))
    hold = hold_of(play, sale)
    for number in (3, 4, 5, 6):
        assert play.refused(PLATFORM, ConfirmHold(hold, f"p{number}")).code == "payment_used"
    play.does(PLATFORM, ConfirmHold(hold, "p0"))


@pytest.mark.parametrize("terms", [CouponTerms(percent_off=1), CouponTerms(percent_off=33)])
def test_a_coupon_that_takes_nothing_off_is_not_used_up(terms: CouponTerms) -> None:
    """For an order or for a hold it is refused; when a part is paid that it takes nothing off, it comes back."""
    play = Play()
    play.adds(SHIRT)
    coupon = int(play.does(ANCHOR, IssueCoupon("Less", terms, 10, claimable_ms=60_000, valid_ms=60_000))["coupon"])
    code = str(play.does(VERA, ClaimCoupon(coupon))["code"])
    cheap = int(play.does(ANCHOR, replace(SALE, price_fen=2, stock=1_000))["sale"])
    for command, sender in ((RedeemCoupon(code, "o1", 2), PLATFORM), (ReserveStock(cheap, 1, code), VERA)):
        refusal = play.refused(sender, command)
        assert refusal.code == "no_discount"
        assert coupons_of(play.room).live[coupon].codes[code].order == ""
    hold = int(play.does(VERA, ReserveStock(cheap, 60, code))["hold"])
    assert coupons_of(play.room).live[coupon].codes[code].order
    assert play.does(PLATFORM, ConfirmHold(hold, "p1", 1))["paid_fen"] == 2
    assert coupons_of(play.room).live[coupon].codes[code].order == ""
    assert play.does(PLATFORM, RedeemCoupon(code, "o1", 1_000))["discount_fen"] in (10, 330)
