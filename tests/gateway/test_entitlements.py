"""The entitlements of a room's users, as a gateway folds them."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveroom.features.coupon.messages import CouponClaimed, CouponExpired, CouponIssued, CouponTerms
from liveroom.features.flash_sale.entitlements import BoughtUnits, HeldUnits
from liveroom.features.flash_sale.messages import HoldCancelled, HoldConfirmed, StockChanged, StockReserved
from liveroom.features.flash_sale.state import of as flash_sales_of
from liveroom.features.red_envelope import entitlements as red_envelope
from liveroom.features.red_envelope.entitlements import ENVELOPES_OVER_OWNED, SHARES_OVER_OWNED, GrabbedShare, Share
from liveroom.features.red_envelope.messages import RedEnvelopeClosed, RedEnvelopeGrabbed
from liveroom.features.red_envelope.rules import WINNERS_KEPT_MAX
from liveroom.gateway import entitlements as module
from liveroom.gateway.entitlements import RoomEntitlements
from liveroom.gateway.wire import payload_of
from liveroom.protocol.codec import encode
from liveroom.protocol.entitlements import ENTITLEMENTS_MAX, EntitlementsChunk
from liveroom.protocol.frames import Entitlements
from liveroom.rooms import entitlements as rooms_module
from liveroom.rooms.room import entitlements
from tests.features.play import ROOM, Play
from tests.trades import BUYERS, TRADES, Trade, added, market, owned, play_trade

PART = msgspec.json.Decoder(EntitlementsChunk)


def told(kept: RoomEntitlements, user: str, seq: int = 0) -> Entitlements:
    """The frame as its user reads it."""
    return msgspec.json.decode(payload_of(kept.frame(user, seq)), type=Entitlements)


def begun(play: Play) -> RoomEntitlements:
    """The fold of a gateway that begins in the middle, with the chunks as they come out of a journal."""
    return RoomEntitlements([PART.decode(encode(chunk)) for chunk in entitlements(ROOM, play.room)])


@settings(max_examples=200, deadline=None)
@given(TRADES, TRADES, st.sampled_from([300, 900, rooms_module.ENTITLEMENTS_CHUNK_BYTES_MAX]), st.sampled_from([0, module.ENDS_MAX]))
def test_what_is_folded_is_what_the_rules_say(before: list[Trade], after: list[Trade], part_bytes: int, ends_max: int) -> None:
    """From any point of any story: what was handed over then and the events since give each user what the rules' state says, at every step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rooms_module, "ENTITLEMENTS_CHUNK_BYTES_MAX", part_bytes)
        patch.setattr(module, "ENDS_MAX", ends_max)
        play = market()
        for trade in before:
            play_trade(play, trade)
        from_beginning, since = RoomEntitlements(), 0
        for seq, _, event in play.story:
            from_beginning.apply(seq, event)
        kept, since = begun(play), len(play.story)
        for step in [None, *after]:
            if step is not None:
                play_trade(play, step)
            for seq, _, event in play.story[since:]:
                kept.apply(seq, event)
                from_beginning.apply(seq, event)
                assert kept.addition(event) == added(play, event)
            since = len(play.story)
            for user in BUYERS:
                mine = owned(play.room, user.user, ENVELOPES_OVER_OWNED)
                assert told(kept, user.user, play.room.seq) == mine
                assert told(from_beginning, user.user, play.room.seq) == mine


def test_whoever_still_owns_something_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The periodic check keeps users who own one thing of any kind, and forgets users who no longer own any."""
    monkeypatch.setattr(module, "ENDS_MAX", 0)
    kept = RoomEntitlements()
    kept.apply(0, CouponIssued("Less", CouponTerms(5), 9, 9, 1, 9, "a"))
    kept.apply(1, CouponClaimed(0, "claimer", "code"))
    kept.apply(2, RedEnvelopeGrabbed(3, "winner", "W", 5, 0, 0))
    kept.apply(3, RedEnvelopeGrabbed(4, "earlier", "E", 5, 0, 0))
    kept.apply(4, RedEnvelopeClosed(4, "empty", 5, 0, "s"))
    kept.apply(5, StockReserved(6, "holder", 1, 9, 9))
    kept.apply(6, StockReserved(6, "buyer", 1, 9, 9))
    kept.apply(7, HoldConfirmed(6, 6, "buyer", 1, 0, 9, "p"))
    for number in range(10, 20):
        kept.apply(number, StockReserved(6, f"gone-{number}", 1, 9, 9))
        kept.apply(number, HoldCancelled(6, number, f"gone-{number}", "x"))
    assert "gone-10" not in kept._owners
    assert all(told(kept, user) != Entitlements(0) for user in ("claimer", "winner", "earlier", "holder", "buyer"))


def test_who_owns_nothing_is_told_so_in_few_bytes() -> None:
    """The frame has no lists; it is the same for everybody."""
    assert payload_of(begun(market()).frame("nobody", 7)) == b'{"type":"entitlements","seq":7}'


def test_shares_of_the_last_envelopes_stay_for_a_while() -> None:
    """Shares of the last envelopes stay, up to the number of shares that the rules remember; shares of open envelopes always stay."""
    assert SHARES_OVER_OWNED == WINNERS_KEPT_MAX
    kept = RoomEntitlements()
    for number in range(ENVELOPES_OVER_OWNED + 3):
        kept.apply(number, RedEnvelopeGrabbed(number, "vera", "V", 5, 0, 0))
        if number:
            kept.apply(number, RedEnvelopeClosed(number, "empty", 5, 0, "s"))
    assert told(kept, "vera").shares == (Share(0, 5), *(Share(number, 5) for number in range(3, ENVELOPES_OVER_OWNED + 3)))


def test_what_was_over_before_the_beginning_goes_first() -> None:
    """The order in which envelopes ended is handed over."""
    over = EntitlementsChunk("r", "e", 0, 0, envelopes_over=(8, 5), shares=(GrabbedShare(5, "vera", 1), GrabbedShare(8, "vera", 2)))
    kept = RoomEntitlements([over])
    for number in range(10, 10 + ENVELOPES_OVER_OWNED - 1):
        kept.apply(number, RedEnvelopeClosed(number, "expired", 0, 5, "s"))
    assert told(kept, "vera").shares == (Share(5, 1),)
    kept.apply(99, RedEnvelopeClosed(99, "expired", 0, 5, "s"))
    assert told(kept, "vera").shares == ()


def test_shares_of_the_oldest_envelopes_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound of all shares an envelope's go whole."""
    monkeypatch.setattr(red_envelope, "SHARES_OVER_OWNED", 5)
    kept = RoomEntitlements()
    for number, users in ((1, 3), (2, 2), (3, 1)):
        for i in range(users):
            kept.apply(0, RedEnvelopeGrabbed(number, f"u{i}", "U", 5, 0, 0))
        kept.apply(0, RedEnvelopeClosed(number, "empty", 5, 0, "s"))
    assert told(kept, "u0").shares == (Share(2, 5), Share(3, 5))
    assert told(kept, "u2").shares == ()


def test_a_frame_is_bounded_and_counts_what_it_leaves_out() -> None:
    """The newest of each kind are named."""
    kept = RoomEntitlements()
    kept.apply(0, CouponIssued("Less", CouponTerms(5), 1_000, 1_000, 1, 9, "a"))
    for number in range(ENTITLEMENTS_MAX + 3):
        kept.apply(number, CouponClaimed(0, "vera", f"code-{number}"))
    for number in range(ENTITLEMENTS_MAX + 2):
        kept.apply(number, RedEnvelopeGrabbed(number, "vera", "V", 5, 0, 0))
    for number in range(1, ENTITLEMENTS_MAX + 2):
        kept.apply(number, StockReserved(0, "vera", 1, 9, 5))
    mine = told(kept, "vera")
    assert [coupon.code for coupon in mine.coupons] == [f"code-{number}" for number in range(3, ENTITLEMENTS_MAX + 3)]
    assert [hold.hold for hold in mine.holds] == list(range(2, ENTITLEMENTS_MAX + 2))
    assert (len(mine.shares), mine.shares[0].envelope, mine.omitted) == (ENTITLEMENTS_MAX, 2, 6)


def test_bought_units_in_a_frame_are_bounded_and_counted() -> None:
    """The newest sales are named."""
    kept = RoomEntitlements()
    for number in range(ENTITLEMENTS_MAX + 3):
        kept.apply(number, StockReserved(number, "vera", 1, 9, 5))
        kept.apply(number, HoldConfirmed(number, number, "vera", 1, 0, 5, "p"))
    mine = told(kept, "vera")
    assert mine.bought == dict.fromkeys(range(3, ENTITLEMENTS_MAX + 3), 1)
    assert mine.omitted == 3


def test_a_sale_that_was_closed_before_the_beginning_ends_with_its_last_hold() -> None:
    """Then nobody is shown its bought units any more; those of an open sale stay."""
    held = tuple(HeldUnits(sale, "vera", 10 + sale, 1, 9, 5, 0, "") for sale in (6, 7))
    bought = tuple(BoughtUnits(sale, "victor", 2) for sale in (6, 7))
    kept = RoomEntitlements([EntitlementsChunk("r", "e", 0, 0, holds=held, bought=bought)])
    assert told(kept, "victor").bought == {6: 2, 7: 2}
    for sale in (6, 7):
        kept.apply(20, HoldCancelled(sale, 10 + sale, "vera", "vera"))
        kept.apply(21, StockChanged(sale, 1, 0, 2, closed=sale == 6))
    assert told(kept, "victor").bought == {7: 2}


def test_what_has_ended_is_forgotten() -> None:
    """Nothing is kept of coupons that expired and of sales that are over, however much there was."""
    play = market()
    for kind in ("claim", "reserve", "confirm", "reserve"):
        play_trade(play, Trade(kind, 0, 0, 0))
    play.passes(200_000)
    play.passes(200_000)
    kept = RoomEntitlements()
    for seq, _, event in play.story:
        kept.apply(seq, event)
    assert not flash_sales_of(play.room).live
    assert not any(users for fold in kept._folds for users in fold.users())
    assert kept._owners == {user.user for user in BUYERS}, "few ends: it is not looked yet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ENDS_MAX", 0)
        kept._end(3)
    assert kept._owners == set()
    assert json.loads(payload_of(kept.frame("vera", 1))) == {"type": "entitlements", "seq": 1}
    assert CouponExpired in {type(event) for _, _, event in play.story}
