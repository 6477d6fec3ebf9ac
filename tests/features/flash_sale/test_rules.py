"""Flash sales: stock is reserved, and each hold is resolved once."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from liveroom.features.coupon.messages import ClaimCoupon, CouponTerms, IssueCoupon
from liveroom.features.flash_sale import rules
from liveroom.features.flash_sale.messages import (
    AnnounceFlashSale,
    CancelHold,
    CloseFlashSale,
    ConfirmHold,
    FlashSaleAnnounced,
    FlashSaleClosed,
    FlashSaleOpened,
    FlashSaleRestocked,
    HoldCancelled,
    HoldConfirmed,
    HoldExpired,
    ReserveStock,
    RestockFlashSale,
    SaleView,
    StockChanged,
    StockReserved,
)
from liveroom.features.flash_sale.state import of as flash_sales_of
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom
from liveroom.features.showcase.messages import RemoveProduct
from liveroom.protocol.records import Sender
from liveroom.rooms.room import due_ms
from tests.features.play import ANCHOR, BELLA, MODERATOR, PLATFORM, SHIRT, SHOES, VERA, VICTOR, Play

SALE = AnnounceFlashSale("shirt", 1_000, stock=5, per_user_max=3, opens_in_ms=0, open_for_ms=60_000, hold_ms=10_000)
HALF = CouponTerms(percent_off=50, min_spend_fen=2_000)


def play_with_shirt(**numbers: Any) -> Play:
    play = Play(**numbers)
    play.adds(SHIRT)
    return play


def announced(play: Play, **changed: Any) -> int:
    """A sale, by its seq."""
    return int(play.does(ANCHOR, replace(SALE, **changed))["sale"])


def reserved(play: Play, sale: int, quantity: int = 1, sender: Sender = VERA, code: str = "") -> int:
    """A hold, by its seq."""
    return int(play.does(sender, ReserveStock(sale, quantity, code))["hold"])


def code_of(play: Play, terms: CouponTerms = HALF, valid_ms: int = 3_600_000) -> str:
    """A coupon's code that belongs to Bella."""
    coupon = int(play.does(ANCHOR, IssueCoupon("Half", terms, 10, claimable_ms=1_000, valid_ms=valid_ms))["coupon"])
    return str(play.does(BELLA, ClaimCoupon(coupon))["code"])


def stock(play: Play, sale: int) -> tuple[int, int, int]:
    """Available, held, sold."""
    view = next(view for view in play.keyframe.sales if view.sale == sale)
    assert view.available + view.held + view.sold == view.stock
    return view.available, view.held, view.sold


def test_a_sale_is_announced_and_opens_by_itself() -> None:
    """At the same millisecond for everybody; until then nothing can be reserved."""
    play = play_with_shirt()
    seq, now_ms = play.room.seq, play.now_ms
    (event,) = play.events(ANCHOR, replace(SALE, opens_in_ms=5_000))
    assert event == FlashSaleAnnounced("shirt", "Linen shirt", 1_000, 5, 3, now_ms + 5_000, now_ms + 65_000, 10_000, "anna")
    play.passes(4_999)
    refusal = play.refused(VERA, ReserveStock(seq))
    assert (refusal.code, refusal.retry_after_ms, due_ms(play.room)) == ("sale_not_open", 1, now_ms + 5_000)
    assert play.keyframe.sales[0].state == "announced"
    assert play.passes(1) == (FlashSaleOpened(seq),)
    assert play.keyframe.sales[0].state == "open"
    reserved(play, seq)


def test_a_sale_opens_by_the_clock() -> None:
    """A command that comes before the timer does is decided as if the timer had been first."""
    play = play_with_shirt()
    sale = announced(play, opens_in_ms=5_000)
    play.now_ms += 5_000
    reserved(play, sale)
    assert play.passes(0) == (FlashSaleOpened(sale),)


def test_a_sale_may_open_at_once() -> None:
    """Then both happen together."""
    play = play_with_shirt()
    seq = play.room.seq
    assert [type(event) for event in play.events(ANCHOR, SALE)] == [FlashSaleAnnounced, FlashSaleOpened]
    assert play.story[-1][2] == FlashSaleOpened(seq)


def test_a_sale_is_of_a_product_in_the_showcase() -> None:
    """Whose title it keeps, also when the product goes."""
    play = play_with_shirt()
    refusal = play.refused(ANCHOR, replace(SALE, product="shoes"))
    assert (refusal.code, refusal.field) == ("product_not_found", "product")
    sale = announced(play)
    play.does(ANCHOR, RemoveProduct("shirt"))
    assert play.keyframe.sales[0].title == SHIRT.title
    reserved(play, sale)


def test_a_closed_room_sells_nothing() -> None:
    """Until it is opened again."""
    play = play_with_shirt()
    play.does(ANCHOR, CloseRoom())
    assert play.refused(ANCHOR, SALE).code == "room_closed"
    play.does(ANCHOR, OpenRoom("Again"))
    announced(play)


def test_live_sales_are_limited() -> None:
    """Sales that are not closed and sales with open holds count."""
    play = play_with_shirt(flash_sales_live_max=1)
    sale = announced(play)
    hold = reserved(play, sale)
    play.does(ANCHOR, CloseFlashSale(sale))
    assert play.refused(ANCHOR, SALE).code == "limit_reached"
    play.does(VERA, CancelHold(hold))
    announced(play)


def test_a_reservation_is_a_hold() -> None:
    """Its seq names the hold. Its user gets the amount due and the time to pay; all viewers get the stock."""
    play = play_with_shirt()
    sale = announced(play)
    hold = play.room.seq
    decision = play.tries(VERA, ReserveStock(sale, 2))
    assert decision.events == (  # type: ignore[union-attr]
        StockReserved(sale, "vera", 2, play.now_ms + 10_000, 2_000),
        StockChanged(sale, 3, 2, 0),
    )
    assert decision.result == {"hold": hold, "until_ms": play.now_ms + 10_000, "due_fen": 2_000, "discount_fen": 0}  # type: ignore[union-attr]


def test_no_unit_is_held_twice() -> None:
    """A quantity beyond the available units is `sold_out`, even if a part of it is available; the last unit can be reserved."""
    play = play_with_shirt()
    sale = announced(play)
    reserved(play, sale, 3)
    assert play.refused(VICTOR, ReserveStock(sale, 3)).code == "sold_out"
    reserved(play, sale, 2, VICTOR)
    assert play.refused(BELLA, ReserveStock(sale)).code == "sold_out"
    assert stock(play, sale) == (0, 5, 0)


def test_one_user_has_so_many() -> None:
    """Held and sold units count together; those that came back do not."""
    play = play_with_shirt()
    sale = announced(play, stock=9)
    sold, held = reserved(play, sale, 2), reserved(play, sale)
    play.does(PLATFORM, ConfirmHold(sold, "p1", 1))
    play.does(VERA, CancelHold(held))
    assert play.refused(VERA, ReserveStock(sale, 3)).code == "per_user_limit"
    reserved(play, sale, 2)
    assert play.refused(VERA, ReserveStock(sale)).code == "per_user_limit"
    reserved(play, sale, 3, VICTOR)
    reserved(play, announced(play), 3)


def test_open_holds_are_limited() -> None:
    """Over all sales of the room."""
    play = play_with_shirt(holds_per_room_max=2)
    first, second = announced(play), announced(play)
    hold = reserved(play, first)
    reserved(play, second)
    assert play.refused(VICTOR, ReserveStock(first)).code == "limit_reached"
    play.does(VERA, CancelHold(hold))
    reserved(play, first, sender=VICTOR)


def test_those_who_run_the_room_buy_nothing() -> None:
    """Anchors and the platform do not; moderators watch and may."""
    play = play_with_shirt()
    sale = announced(play)
    assert play.refused(ANCHOR, ReserveStock(sale)).code == "forbidden"
    assert play.refused(PLATFORM, ReserveStock(sale)).code == "forbidden"
    reserved(play, sale, sender=MODERATOR)


def test_a_hold_is_paid() -> None:
    """By the platform alone; the same payment again has the outcome of the first time, another is refused."""
    play = play_with_shirt()
    sale = announced(play)
    hold = reserved(play, sale, 3)
    assert play.refused(VERA, ConfirmHold(hold, "p1")).code == "forbidden"
    assert play.refused(ANCHOR, ConfirmHold(hold, "p1")).code == "forbidden"
    receipt = {"quantity": 3, "returned": 0, "paid_fen": 3_000}
    decision = play.tries(PLATFORM, ConfirmHold(hold, "p1"))
    assert decision.events == (HoldConfirmed(sale, hold, "vera", 3, 0, 3_000, "p1"), StockChanged(sale, 2, 0, 3))  # type: ignore[union-attr]
    again = play.tries(PLATFORM, ConfirmHold(hold, "p1", 1))
    assert (again.events, again.result, decision.result) == ((), receipt, receipt)  # type: ignore[union-attr]
    assert play.refused(PLATFORM, ConfirmHold(hold, "p2")).code == "hold_confirmed"
    assert play.refused(VERA, CancelHold(hold)).code == "hold_confirmed"


def test_a_part_of_a_hold_is_paid() -> None:
    """The rest returns to the stock; more than the hold cannot be paid."""
    play = play_with_shirt()
    sale = announced(play)
    hold = reserved(play, sale, 3)
    refusal = play.refused(PLATFORM, ConfirmHold(hold, "p1", 4))
    assert (refusal.code, refusal.field) == ("out_of_range", "quantity")
    assert play.does(PLATFORM, ConfirmHold(hold, "p1", 1)) == {"quantity": 1, "returned": 2, "paid_fen": 1_000}
    assert stock(play, sale) == (4, 0, 1)


def test_a_hold_is_given_back() -> None:
    """Only its user or the platform may cancel it, and once."""
    play = play_with_shirt()
    sale = announced(play)
    first, second = reserved(play, sale, 2), reserved(play, sale)
    assert play.refused(VICTOR, CancelHold(first)).code == "not_owner"
    assert play.refused(MODERATOR, CancelHold(first)).code == "not_owner"
    assert play.refused(ANCHOR, CancelHold(first)).code == "forbidden"
    assert play.events(VERA, CancelHold(first)) == (HoldCancelled(sale, first, "vera", "vera"), StockChanged(sale, 4, 1, 0))
    assert play.events(PLATFORM, CancelHold(second)) == (HoldCancelled(sale, second, "vera", "platform"), StockChanged(sale, 5, 0, 0))
    assert play.refused(VERA, CancelHold(first)).code == "hold_cancelled"
    assert play.refused(VICTOR, CancelHold(first)).code == "not_owner"
    assert play.refused(PLATFORM, ConfirmHold(first, "p1")).code == "hold_cancelled"


@pytest.mark.parametrize("timer", [True, False])
def test_a_hold_expires(timer: bool) -> None:
    """To the millisecond, whether the timer was there first or not; its stock comes back with the event."""
    play = play_with_shirt()
    sale = announced(play, stock=2)
    hold = reserved(play, sale, 2)
    play.passes(9_999)
    assert due_ms(play.room) == play.now_ms + 1
    if timer:
        assert play.passes(1) == (HoldExpired(sale, hold, "vera"), StockChanged(sale, 2, 0, 0))
        reserved(play, sale, 2, VICTOR)
    else:
        play.now_ms += 1
        assert play.refused(VICTOR, ReserveStock(sale)).code == "sold_out"
    assert play.refused(PLATFORM, ConfirmHold(hold, "p1")).code == "hold_expired"
    assert play.refused(VERA, CancelHold(hold)).code == "hold_expired"


def test_a_hold_can_be_paid_until_it_expires() -> None:
    """In its last millisecond, and after its sale and its room were closed."""
    play = play_with_shirt()
    sale = announced(play)
    hold = reserved(play, sale)
    play.does(ANCHOR, CloseRoom())
    play.passes(9_999)
    play.does(PLATFORM, ConfirmHold(hold, "p1"))


def test_many_holds_expire_a_few_hundred_at_once() -> None:
    """So that no record is huge; the rest is due right away, in the order of the holds."""
    play = play_with_shirt()
    sale = announced(play, stock=rules.STOCK_MAX)
    holds = [reserved(play, sale, sender=Sender(f"u{number}", "U")) for number in range(rules.HOLDS_EXPIRED_MAX + 10)]
    assert [event.hold for event in play.passes(10_000) if isinstance(event, HoldExpired)] == holds[: rules.HOLDS_EXPIRED_MAX]
    assert due_ms(play.room) == play.now_ms
    assert [event.hold for event in play.passes(0) if isinstance(event, HoldExpired)] == holds[rules.HOLDS_EXPIRED_MAX :]
    assert stock(play, sale) == (rules.STOCK_MAX, 0, 0)


def test_holds_of_all_sales_share_the_limit_of_expiry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record has at most so many expired holds, however many sales they are of."""
    monkeypatch.setattr(rules, "HOLDS_EXPIRED_MAX", 3)
    play = play_with_shirt()
    holds = [reserved(play, sale, sender=sender) for sale in (announced(play), announced(play)) for sender in (VERA, VICTOR)]
    assert [event.hold for event in play.passes(10_000) if isinstance(event, HoldExpired)] == holds[:3]
    assert [event.hold for event in play.passes(0) if isinstance(event, HoldExpired)] == holds[3:]


def test_the_queue_of_holds_is_as_long_as_there_are_open_ones() -> None:
    """Whatever was resolved, in whatever order; the next due hold is the oldest open one."""
    play = play_with_shirt(unpaid_holds_per_user_max=1_000)
    sale = announced(play, stock=rules.STOCK_MAX, per_user_max=1_000, open_for_ms=86_400_000)
    holds = []
    for number in range(600):
        holds.append(reserved(play, sale))
        play.now_ms += 1
        if number % 3:
            play.does(VERA, CancelHold(holds.pop(number * 7 % min(5, len(holds)))))
        state = flash_sales_of(play.room).live[sale]
        assert [hold for hold in state.queue[state.queue_head :] if hold in state.holds] == holds
        assert due_ms(play.room) == state.holds[holds[0]].until_ms
    for hold in holds:
        play.does(VERA, CancelHold(hold))
    assert len(flash_sales_of(play.room).live[sale].queue) <= 65


def test_a_hold_that_never_was() -> None:
    """Is not found, and neither is a sale."""
    play = play_with_shirt()
    assert play.refused(PLATFORM, ConfirmHold(0, "p1")).code == "hold_not_found"
    assert play.refused(VERA, CancelHold(0)).code == "hold_not_found"
    assert play.refused(VERA, ReserveStock(0)).code == "sale_not_found"
    assert play.refused(ANCHOR, RestockFlashSale(0, 1)).code == "sale_not_found"
    assert play.refused(ANCHOR, CloseFlashSale(0)).code == "sale_not_found"


def test_what_is_over_is_remembered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last closed sales and the last resolved holds, no more; then they are not found."""
    monkeypatch.setattr(rules, "RESOLVED_HOLDS_MAX", 10)
    play = play_with_shirt()
    sales, holds = [], []
    for _ in range(rules.SALES_OVER_MAX + 1):
        sales.append(announced(play))
        holds.append(reserved(play, sales[-1]))
        play.does(VERA, CancelHold(holds[-1]))
        play.does(ANCHOR, CloseFlashSale(sales[-1]))
    assert play.refused(VERA, ReserveStock(sales[0])).code == "sale_not_found"
    assert {play.refused(VERA, ReserveStock(sale)).code for sale in sales[1:]} == {"sale_closed"}
    found = [play.refused(VERA, CancelHold(hold)).code for hold in holds]
    assert found[-10:] == ["hold_cancelled"] * 10
    assert found[:-20] == ["hold_not_found"] * (len(holds) - 20)
    assert flash_sales_of(play.room).live == {}


def test_more_stock_can_be_sold() -> None:
    """Also before the sale opens and when it was sold out; a sale never has more than the limit in all."""
    play = play_with_shirt()
    sale = announced(play, opens_in_ms=1_000, per_user_max=100)
    decision = play.tries(ANCHOR, RestockFlashSale(sale, 2))
    assert decision.events == (FlashSaleRestocked(sale, 2, 7), StockChanged(sale, 7, 0, 0))  # type: ignore[union-attr]
    assert decision.result == {"stock": 7}  # type: ignore[union-attr]
    play.passes(1_000)
    reserved(play, sale, 7)
    assert play.refused(VICTOR, ReserveStock(sale)).code == "sold_out"
    play.does(PLATFORM, RestockFlashSale(sale, 1))
    reserved(play, sale, sender=VICTOR)
    assert play.refused(ANCHOR, RestockFlashSale(sale, rules.STOCK_MAX - 7)).code == "limit_reached"
    play.does(ANCHOR, RestockFlashSale(sale, rules.STOCK_MAX - 8))


def test_a_closed_sale_lives_on_in_its_holds() -> None:
    """Nothing is reserved or restocked; open holds are resolved, then the sale is gone."""
    play = play_with_shirt()
    sale = announced(play)
    holds = [reserved(play, sale, sender=sender) for sender in (VERA, VICTOR, BELLA)]
    assert play.events(ANCHOR, CloseFlashSale(sale)) == (FlashSaleClosed(sale, "anna", 3),)
    assert play.refused(MODERATOR, ReserveStock(sale)).code == "sale_closed"
    assert play.refused(ANCHOR, RestockFlashSale(sale, 1)).code == "sale_closed"
    assert play.refused(ANCHOR, CloseFlashSale(sale)).code == "sale_closed"
    assert play.keyframe.sales[0].state == "closed"
    assert play.events(PLATFORM, ConfirmHold(holds[0], "p1"))[1:] == (StockChanged(sale, 2, 2, 1, closed=True),)
    assert play.events(VICTOR, CancelHold(holds[1]))[1:] == (StockChanged(sale, 3, 1, 1, closed=True),)
    assert stock(play, sale) == (3, 1, 1)
    assert play.passes(10_000)[1:] == (StockChanged(sale, 4, 0, 1, closed=True),)
    assert play.keyframe.sales == ()
    assert play.refused(MODERATOR, ReserveStock(sale)).code == "sale_closed"
    assert due_ms(play.room) is None


@pytest.mark.parametrize("timer", [True, False])
def test_a_sale_closes_by_itself(timer: bool) -> None:
    """It closes once, to the millisecond, without a user, before or after the timer."""
    play = play_with_shirt()
    sale = announced(play)
    play.passes(59_999)
    hold = reserved(play, sale)
    assert due_ms(play.room) == play.now_ms + 1
    if timer:
        assert play.passes(1) == (FlashSaleClosed(sale, "", 1),)
        assert play.passes(1) == ()
    else:
        play.now_ms += 1
    assert play.refused(VICTOR, ReserveStock(sale)).code == "sale_closed"
    assert play.refused(ANCHOR, RestockFlashSale(sale, 1)).code == "sale_closed"
    assert play.refused(ANCHOR, CloseFlashSale(sale)).code == "sale_closed"
    play.does(PLATFORM, ConfirmHold(hold, "p1"))


def test_time_that_jumps_misses_nothing() -> None:
    """A sale that was to open, close and lose its holds meanwhile does all of it, in that order of things."""
    play = play_with_shirt()
    sale = announced(play, opens_in_ms=1_000)
    assert play.passes(100_000) == (FlashSaleOpened(sale), FlashSaleClosed(sale, ""))
    sale = announced(play, hold_ms=3_600_000)
    hold = reserved(play, sale)
    assert play.passes(4_000_000) == (HoldExpired(sale, hold, "vera"), StockChanged(sale, 5, 0, 0), FlashSaleClosed(sale, ""))
    assert play.keyframe.sales == ()


def test_closing_the_room_closes_its_sales() -> None:
    """In the same decision, before it closes; closed ones are left alone, open holds live on."""
    play = play_with_shirt()
    closed, announced_only, sale = announced(play), announced(play, opens_in_ms=5_000), announced(play)
    kept, hold = reserved(play, closed), reserved(play, sale)
    play.does(ANCHOR, CloseFlashSale(closed))
    assert play.events(ANCHOR, CloseRoom())[:-1] == (FlashSaleClosed(announced_only, "anna"), FlashSaleClosed(sale, "anna", 1))
    assert [view.sale for view in play.keyframe.sales] == [closed, sale]
    play.does(VERA, CancelHold(hold))
    play.does(PLATFORM, ConfirmHold(kept, "p1"))
    play.does(ANCHOR, OpenRoom("Again"))
    assert play.refused(VERA, ReserveStock(sale)).code == "sale_closed"


def test_the_keyframe_shows_sales() -> None:
    """With their stock, in the order of their seqs."""
    play = play_with_shirt()
    play.adds(SHOES)
    first, second = announced(play), announced(play, product="shoes", opens_in_ms=1_000)
    reserved(play, first, 2)
    views = play.keyframe.sales
    shown = [(view.sale, view.product, view.state, view.available) for view in views]
    assert shown == [(first, "shirt", "open", 3), (second, "shoes", "announced", 5)]
    view = SaleView(second, "shoes", "Running shoes", 1_000, 5, 5, 0, 0, 3, play.now_ms + 1_000, play.now_ms + 61_000, 10_000, "announced")
    assert views[1] == view
