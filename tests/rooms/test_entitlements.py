"""The entitlements of a room's users, transferred in chunks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from liveroom.features.coupon.messages import CouponTerms
from liveroom.features.coupon.state import ClaimedCode, Coupon
from liveroom.features.coupon.state import change as change_coupons
from liveroom.features.coupon.state import of as coupons_of
from liveroom.features.flash_sale.state import FlashSale, Hold
from liveroom.features.flash_sale.state import change as change_flash_sales
from liveroom.features.red_envelope.entitlements import ENVELOPES_OVER_OWNED
from liveroom.features.red_envelope.state import EnvelopeOver
from liveroom.features.red_envelope.state import change as change_red_envelopes
from liveroom.features.red_envelope.state import of as red_envelopes_of
from liveroom.features.state import RoomState
from liveroom.protocol.codec import encode
from liveroom.protocol.entitlements import EntitlementsChunk
from liveroom.rooms import entitlements as module
from liveroom.rooms.entitlements import ENTITLEMENTS_CHUNK_BYTES_MAX, entitlements
from tests.features.play import ROOM, Play
from tests.trades import BUYERS, TRADES, Trade, market, owned, play_trade

FIELDS = ("envelopes_over", "shares", "coupons", "codes", "holds", "bought")


def rows(state: RoomState) -> dict[str, list[Any]]:
    """All rows of all chunks."""
    return {name: [row for chunk in entitlements(ROOM, state) for row in getattr(chunk, name)] for name in FIELDS}


@settings(max_examples=150, deadline=None)
@given(TRADES)
def test_all_that_anybody_owns_is_in_it_once(trades: list[Trade]) -> None:
    """After any story the rows are what the rules' state says of each user, and nothing else."""
    play = market()
    for trade in trades:
        play_trade(play, trade)
    found = rows(play.room)
    users = [user.user for user in BUYERS]
    mine = {user: owned(play.room, user, ENVELOPES_OVER_OWNED) for user in users}
    assert Counter((s.user, s.envelope, s.amount_fen) for s in found["shares"]) == Counter(
        (user, share.envelope, share.amount_fen) for user in users for share in mine[user].shares
    )
    assert Counter((c.user, c.coupon, c.code, c.order) for c in found["codes"]) == Counter(
        (user, coupon.coupon, coupon.code, coupon.order) for user in users for coupon in mine[user].coupons
    )
    assert Counter((h.user, h.hold, h.sale, h.quantity, h.until_ms, h.due_fen, h.discount_fen, h.coupon_code) for h in found["holds"]) == Counter(
        (user, *msgspec.structs.astuple(hold)) for user in users for hold in mine[user].holds
    )
    assert {(b.user, b.sale): b.units for b in found["bought"]} == {
        (user, sale): units for user in users for sale, units in mine[user].bought.items()
    }
    assert [worth.coupon for worth in found["coupons"]] == list(coupons_of(play.room).live)
    assert found["envelopes_over"] == [*red_envelopes_of(play.room).over][-ENVELOPES_OVER_OWNED:]


def test_of_envelopes_that_are_over_the_last_ones_are_handed_over() -> None:
    """The rules remember more of them than they transfer."""
    state = Play().room
    for number in range(ENVELOPES_OVER_OWNED + 2):
        change_red_envelopes(state).over[number] = EnvelopeOver("empty", {"vera": 5})
    found = rows(state)
    assert found["envelopes_over"] == list(range(2, ENVELOPES_OVER_OWNED + 2))
    assert [share.envelope for share in found["shares"]] == found["envelopes_over"]


def test_a_room_where_nothing_is_owned_takes_no_chunk() -> None:
    """It costs nothing to hand over."""
    assert entitlements(ROOM, Play().room) == ()


def test_chunks_are_numbered_and_of_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver knows if all chunks are there, and of which state. A chunk closes when the next row might not fit."""
    play = market()
    for i in range(4):
        play_trade(play, Trade("claim", i % 3, 0, 0))
    whole = rows(play.room)
    monkeypatch.setattr(module, "ENTITLEMENTS_CHUNK_BYTES_MAX", 256)
    chunks = entitlements(ROOM, play.room)
    assert len(chunks) > 2
    assert [(chunk.room, chunk.stream_id, chunk.seq, chunk.number) for chunk in chunks] == [
        (ROOM, play.room.stream_id, play.room.seq, i) for i in range(len(chunks))
    ]
    assert rows(play.room) == whole


def test_a_chunk_is_never_larger_than_the_smallest_record() -> None:
    """With every text at its longest and worst, and every number large, no chunk is larger, and all but the last are full."""
    state = Play().room
    user, order, code, large = '"' * 128, '"' * 64, "A" * 16, 10**15
    state.stream_id = "e" * 64
    terms = CouponTerms(10**11, 100, 10**11, 10**11)
    for number in range(large, large + 300):
        change_coupons(state).live[number] = Coupon(
            "\x7f\x01灯😀" * 30, terms, 1, 1, large, large, codes={f"{code}{number}"[-16:]: ClaimedCode(user, order, large)}
        )
        hold = Hold(user, large, large, large, code, terms)
        sale = FlashSale("p", "t", 2, large, large, large, large, large, "closed", holds={number: hold}, taken={user: 2 * large, "\\" * 128: large})
        change_flash_sales(state).live[number] = sale
        change_red_envelopes(state).over[number] = EnvelopeOver("empty", {f"{user[:50]}{number}": large})
    chunks = entitlements("r" * 64, state)
    assert max(len(encode(chunk)) for chunk in chunks) <= ENTITLEMENTS_CHUNK_BYTES_MAX < 65_536, "journal.record_bytes_max is no less"
    assert min(len(encode(chunk)) for chunk in chunks[:-1]) > 0.95 * ENTITLEMENTS_CHUNK_BYTES_MAX
    assert sum(len(chunk.codes) for chunk in chunks) == 300
    assert msgspec.json.decode(encode(chunks[-1]), type=EntitlementsChunk) == chunks[-1]
