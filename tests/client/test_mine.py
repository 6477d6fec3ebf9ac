"""The fold of the user's entitlements."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from liveroom.client.backlog import Backlog
from liveroom.client.items import Advanced, BelongingsReplaced, Item, PersonalEvent, Repeated, RoomEvent, StateReplaced
from liveroom.client.mine import fold_mine
from liveroom.features.coupon.messages import CouponExpired, CouponTerms
from liveroom.features.flash_sale.messages import HoldConfirmed, StockReserved
from liveroom.features.red_envelope.messages import RedEnvelopeGrabbed
from liveroom.messages.fields import Delivery
from liveroom.protocol.belongings import BELONGINGS_MAX, Grant, OwnedCoupon, OwnedHold
from liveroom.protocol.events import AnnouncementSet
from liveroom.protocol.frames import Belongings
from tests.client.conftest import joined
from tests.features.play import Play
from tests.trades import TRADES, Trade, claimed, in_order, market, owned, play_trade

USER = "vera"
COUPON = OwnedCoupon(3, "Less", CouponTerms(amount_fen=5), "K7Q2MZ4XW3NB5RTA", 9)


def told(play: Play, since: int, held_back: int) -> list[Item | Advanced | Repeated]:
    """The events since a point of the story, as a gateway tells `vera`: personal ones at once, the others in deltas of `held_back` events."""
    items: list[Item | Advanced | Repeated] = []
    waiting: list[RoomEvent] = []
    for seq, time_ms, event in play.story[since:]:
        if event.delivery is Delivery.personal:
            if getattr(event, "user", "") == USER:
                items.append(PersonalEvent(seq, time_ms, event, claimed(play, event)))
        elif event.delivery is not Delivery.internal:
            waiting.append(RoomEvent(seq, time_ms, event))
        if len(waiting) > held_back:
            items += waiting
            waiting.clear()
    return items + list(waiting)


@settings(max_examples=150, deadline=None)
@given(TRADES, TRADES, TRADES, st.integers(0, 12))
def test_what_is_folded_is_what_the_rules_say(before: list[Trade], between: list[Trade], after: list[Trade], held_back: int) -> None:
    """From any point of any story: a keyframe, the frame of then or later, and what was told since, public events late, give what the rules say."""
    play = market()
    _play(play, before)
    since, state = len(play.story), play.keyframe
    _play(play, between)
    mine = owned(play.room, USER)
    _play(play, after)
    backlog = Backlog(100_000)
    backlog.add([replace(joined(), user=USER), StateReplaced(state), BelongingsReplaced(mine), *told(play, since, held_back)])
    while backlog.take() is not None:
        pass
    assert in_order(backlog.mine) == in_order(owned(play.room, USER))


def _play(play: Play, trades: list[Trade]) -> None:
    for trade in trades:
        play_trade(play, trade)


def test_what_is_below_the_frame_is_in_it_already() -> None:
    """An event below the frame's seq changes nothing, whichever way it comes."""
    mine = Belongings(10, bought={4: 1})
    paid = HoldConfirmed(4, 2, USER, 1, 0, 100, "p")
    assert fold_mine(mine, PersonalEvent(9, 1, paid), USER) == mine
    assert fold_mine(mine, RoomEvent(9, 1, RedEnvelopeGrabbed(2, USER, "V", 5, 1, 5)), USER) == mine
    assert fold_mine(mine, PersonalEvent(10, 1, paid), USER).bought == {4: 2}


def test_what_others_win_is_not_mine() -> None:
    """A share of somebody else changes nothing; neither does an event that is about nothing that is owned."""
    mine = Belongings(0, coupons=(COUPON,))
    assert fold_mine(mine, RoomEvent(1, 1, RedEnvelopeGrabbed(2, "victor", "V", 5, 1, 5)), USER) == mine
    assert fold_mine(mine, RoomEvent(1, 1, AnnouncementSet("x")), USER) == mine
    assert fold_mine(mine, RoomEvent(1, 1, CouponExpired(3)), USER) == Belongings(0)


def test_shares_are_bounded() -> None:
    """Shares never end, so the newest are kept."""
    mine = Belongings(0)
    for envelope in range(BELONGINGS_MAX + 5):
        mine = fold_mine(mine, RoomEvent(envelope, 1, RedEnvelopeGrabbed(envelope, USER, "V", 5, 1, 5)), USER)
    assert mine.grants == tuple(Grant(envelope, 5) for envelope in range(5, BELONGINGS_MAX + 5))


def test_what_is_told_again_is_folded_and_not_yielded() -> None:
    """A gateway that is behind the last one tells again what was yielded before: it counts for what is owned from its frame on."""
    backlog = Backlog(100)
    again = PersonalEvent(12, 1, StockReserved(4, USER, 1, 99, 100))
    backlog.add([replace(joined(), user=USER), BelongingsReplaced(Belongings(10)), Repeated(again), Repeated(replace(again, seq=9))])
    assert [type(item).__name__ for item in iter(backlog.take, None)] == ["Joined", "BelongingsReplaced"]
    assert backlog.mine == Belongings(10, holds=(OwnedHold(12, 4, 1, 99, 100),))
