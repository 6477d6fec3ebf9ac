"""The fold of the user's entitlements."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from liveroom.client.backlog import Backlog
from liveroom.client.entitlements import fold_entitlements
from liveroom.client.items import Advanced, EntitlementsReplaced, Item, PersonalEvent, Repeated, RoomEvent, StateReplaced
from liveroom.features.coupon.entitlements import OwnedCoupon
from liveroom.features.coupon.messages import CouponClaimed, CouponExpired, CouponRedeemed, CouponReleased, CouponTerms
from liveroom.features.flash_sale.entitlements import OwnedHold
from liveroom.features.flash_sale.messages import FlashSaleClosed, HoldCancelled, HoldConfirmed, HoldExpired, StockChanged, StockReserved
from liveroom.features.lifecycle.messages import AnnouncementSet
from liveroom.features.red_envelope.entitlements import Share
from liveroom.features.red_envelope.messages import RedEnvelopeGrabbed
from liveroom.messages.fields import Delivery
from liveroom.protocol.entitlements import ENTITLEMENTS_MAX
from liveroom.protocol.frames import Entitlements
from tests.client.conftest import joined
from tests.features.play import Play
from tests.trades import TRADES, Trade, added, in_order, market, owned, play_trade

USER = "vera"
COUPON = OwnedCoupon(3, "Less", CouponTerms(amount_fen=5), "K7Q2MZ4XW3NB5RTA", 9)


def told(play: Play, since: int, held_back: int) -> list[Item | Advanced | Repeated]:
    """The events since a point of the story, as a gateway tells `vera`: personal ones at once, the others in deltas of `held_back` events."""
    items: list[Item | Advanced | Repeated] = []
    waiting: list[RoomEvent] = []
    for seq, time_ms, event in play.story[since:]:
        if event.delivery is Delivery.personal:
            if getattr(event, "user", "") == USER:
                items.append(PersonalEvent(seq, time_ms, event, added(play, event)))
        elif event.delivery is not Delivery.internal:
            waiting.append(RoomEvent(seq, time_ms, event))
        if len(waiting) > held_back:
            items += waiting
            waiting.clear()
    return items + list(waiting)


@settings(max_examples=150, deadline=None)
@given(TRADES, TRADES, TRADES, st.integers(0, 12))
def test_what_is_folded_is_what_the_rules_say(before: list[Trade], between: list[Trade], after: list[Trade], held_back: int) -> None:
    """From any point of any story: a keyframe, a frame of that time or later, and the events since give the rules' entitlements."""
    play = market()
    _play(play, before)
    since, state = len(play.story), play.keyframe
    _play(play, between)
    entitlements = owned(play.room, USER)
    _play(play, after)
    backlog = Backlog(100_000)
    backlog.add([replace(joined(), user=USER), StateReplaced(state), EntitlementsReplaced(entitlements), *told(play, since, held_back)])
    while backlog.take() is not None:
        pass
    assert in_order(backlog.entitlements) == in_order(owned(play.room, USER))


def _play(play: Play, trades: list[Trade]) -> None:
    for trade in trades:
        play_trade(play, trade)


def test_what_is_below_the_frame_is_in_it_already() -> None:
    """An event below the frame's seq changes nothing, whichever way it comes."""
    entitlements = Entitlements(10, bought={4: 1})
    paid = HoldConfirmed(4, 2, USER, 1, 0, 100, "p")
    assert fold_entitlements(entitlements, PersonalEvent(9, 1, paid), USER) == entitlements
    assert fold_entitlements(entitlements, RoomEvent(9, 1, RedEnvelopeGrabbed(2, USER, "V", 5, 1, 5)), USER) == entitlements
    assert fold_entitlements(entitlements, PersonalEvent(10, 1, paid), USER).bought == {4: 2}


def test_what_others_win_is_not_mine() -> None:
    """A share of somebody else changes nothing; neither does an event that is about nothing that is owned."""
    entitlements = Entitlements(0, coupons=(COUPON,))
    assert fold_entitlements(entitlements, RoomEvent(1, 1, RedEnvelopeGrabbed(2, "victor", "V", 5, 1, 5)), USER) == entitlements
    assert fold_entitlements(entitlements, RoomEvent(1, 1, AnnouncementSet("x")), USER) == entitlements
    assert fold_entitlements(entitlements, RoomEvent(1, 1, CouponExpired(3)), USER) == Entitlements(0)


def test_shares_are_bounded() -> None:
    """The newest of each kind are named and the others counted, as in the server's frame."""
    entitlements = Entitlements(0)
    for envelope in range(ENTITLEMENTS_MAX + 5):
        entitlements = fold_entitlements(entitlements, RoomEvent(envelope, 1, RedEnvelopeGrabbed(envelope, USER, "V", 5, 1, 5)), USER)
    assert entitlements.shares == tuple(Share(envelope, 5) for envelope in range(5, ENTITLEMENTS_MAX + 5))
    assert entitlements.omitted == 5


def test_an_event_about_an_omitted_entitlement_changes_nothing_else() -> None:
    """The frame names the newest of each kind alone, and events come about all of them."""
    entitlements = Entitlements(0, coupons=(COUPON,), holds=(OwnedHold(2, 4, 1, 99, 100),), omitted=3)
    for event in (
        CouponRedeemed(9, "B" * 16, USER, "o1", 5),
        CouponReleased(9, "B" * 16, USER, "o1"),
        CouponRedeemed(COUPON.coupon, "B" * 16, USER, "o1", 5),
        CouponClaimed(9, USER, "C" * 16),
        HoldCancelled(4, 1, USER, USER),
        HoldExpired(5, 1, USER),
    ):
        assert fold_entitlements(entitlements, PersonalEvent(1, 1, event), USER) == entitlements
    assert fold_entitlements(entitlements, PersonalEvent(1, 1, HoldConfirmed(5, 1, USER, 2, 0, 100, "p")), USER).bought == {5: 2}
    for over in (FlashSaleClosed(5, "anna"), StockChanged(5, 0, 0, 2, closed=True), CouponExpired(9)):
        assert fold_entitlements(entitlements, RoomEvent(1, 1, over), USER) == entitlements


def test_units_are_owned_until_their_sale_is_over() -> None:
    """A sale is over when it is closed and has no open holds, of anybody."""
    bought = Entitlements(0, bought={4: 1, 6: 2})
    for event in (FlashSaleClosed(4, "anna", 2), StockChanged(4, 0, 0, 9), StockChanged(4, 0, 1, 9, closed=True)):
        assert fold_entitlements(bought, RoomEvent(1, 1, event), USER) == bought
    for event in (FlashSaleClosed(4, "anna"), StockChanged(4, 0, 0, 9, closed=True)):
        assert fold_entitlements(bought, RoomEvent(1, 1, event), USER).bought == {6: 2}


def test_what_is_told_again_is_folded_and_not_yielded() -> None:
    """A gateway behind the last one repeats events that were yielded before: from its frame on they count for the entitlements."""
    backlog = Backlog(100)
    again = PersonalEvent(12, 1, StockReserved(4, USER, 1, 99, 100))
    backlog.add([replace(joined(), user=USER), EntitlementsReplaced(Entitlements(10)), Repeated(again), Repeated(replace(again, seq=9))])
    assert [type(item).__name__ for item in iter(backlog.take, None)] == ["Joined", "EntitlementsReplaced"]
    assert backlog.entitlements == Entitlements(10, holds=(OwnedHold(12, 4, 1, 99, 100),))
