"""Money stories for tests: steps that Hypothesis draws, played through the real rules, and what the rules' state says somebody owns."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from liveroom.features.coupon.entitlements import OwnedCoupon
from liveroom.features.coupon.messages import (
    ClaimCoupon,
    CouponClaimed,
    CouponIssued,
    CouponTerms,
    IssueCoupon,
    RedeemCoupon,
    ReleaseCoupon,
    StopCoupon,
)
from liveroom.features.coupon.state import of as coupons_of
from liveroom.features.flash_sale.entitlements import OwnedHold
from liveroom.features.flash_sale.messages import AnnounceFlashSale, CancelHold, CloseFlashSale, ConfirmHold, ReserveStock, RestockFlashSale
from liveroom.features.flash_sale.state import of as flash_sales_of
from liveroom.features.lifecycle.messages import CloseRoom, OpenRoom
from liveroom.features.red_envelope.entitlements import Share
from liveroom.features.red_envelope.messages import DropRedEnvelope, GrabRedEnvelope
from liveroom.features.red_envelope.state import of as red_envelopes_of
from liveroom.features.showcase.messages import Product
from liveroom.features.state import RoomState
from liveroom.protocol.commands import Command
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Entitlements
from liveroom.protocol.records import Sender
from tests.features.play import ANCHOR, BELLA, PLATFORM, VERA, VICTOR, Play

__all__ = ["BUYERS", "KINDS", "TRADES", "Trade", "added", "in_order", "market", "owned", "play_trade", "trade_command"]

BUYERS = (VERA, VICTOR, BELLA)

KINDS = (
    *("drop", "issue", "announce", "claim", "claim", "grab", "grab", "reserve", "reserve", "reserve with a code", "confirm", "confirm"),
    *("cancel", "restock", "close the sale", "stop the coupon", "redeem", "release", "wait", "wait long", "close the room"),
)


class Trade(Struct, frozen=True):
    """One step: what, by whom, and two numbers that choose among what there is."""

    kind: str
    who: int
    which: int
    much: int


TRADES = st.lists(st.builds(Trade, st.sampled_from(KINDS), st.integers(0, 2), st.integers(0, 30), st.integers(0, 3)), min_size=1, max_size=60)


def market(**rules: Any) -> Play:
    """A room with two products and something of each kind on offer; everybody has a code."""
    play = Play(**rules)
    play.adds(Product("p1", "Lamp", 100), Product("p2", "Scarf", 30))
    for kind in ("drop", "issue", "announce"):
        play_trade(play, Trade(kind, 0, 0, 3))
    for who in range(len(BUYERS)):
        play_trade(play, Trade("claim", who, 0, 0))
    return play


def play_trade(play: Play, trade: Trade) -> None:
    """Play one step; what the room refuses changes nothing."""
    if trade.kind.startswith("wait"):
        play.passes((30_000 if trade.kind == "wait long" else 700) * (trade.much + 1))
        return
    if not play.room.open:
        play.does(ANCHOR, OpenRoom("Again"))
    sender, command = trade_command(play.room, trade)
    play.tries(sender, command)


def trade_command(room: RoomState, trade: Trade) -> tuple[Sender, Command]:
    """The command of one step, about what there is in the room now."""
    buyer, much, which = BUYERS[trade.who], trade.much, trade.which
    envelope, coupon, sale = (_pick([*things], which) for things in (red_envelopes_of(room).live, coupons_of(room).live, flash_sales_of(room).live))
    codes = [code for one in coupons_of(room).live.values() for code in one.codes]
    code = codes[which % len(codes)] if codes else ""
    order = f"order-{which % 3}"
    hold = _pick([number for one in flash_sales_of(room).live.values() for number in one.holds], which)
    match trade.kind:
        case "drop":
            drop = DropRedEnvelope(100, much + 1, opens_in_ms=700 * (which % 2), open_for_ms=60_000)
            return ANCHOR, drop
        case "issue":
            terms = CouponTerms(amount_fen=5) if which % 2 else CouponTerms(percent_off=50, min_spend_fen=150)
            return ANCHOR, IssueCoupon(f"Less {which}", terms, 2 * much + 1, 2, 20_000, 60_000)
        case "announce":
            return ANCHOR, AnnounceFlashSale(f"p{which % 2 + 1}", 100, 2 * much + 1, 4, 700 * (which % 2), 90_000, 20_000)
        case "claim":
            return buyer, ClaimCoupon(coupon)
        case "grab":
            return buyer, GrabRedEnvelope(envelope)
        case "reserve":
            return buyer, ReserveStock(sale, much % 2 + 1)
        case "reserve with a code":
            return buyer, ReserveStock(sale, much % 2 + 1, code)
        case "confirm":
            return PLATFORM, ConfirmHold(hold, f"pay-{hold}", much % 2)
        case "cancel":
            return (PLATFORM if much % 2 else buyer), CancelHold(hold)
        case "restock":
            return ANCHOR, RestockFlashSale(sale, much + 1)
        case "close the sale":
            return ANCHOR, CloseFlashSale(sale)
        case "stop the coupon":
            return ANCHOR, StopCoupon(coupon)
        case "redeem":
            return PLATFORM, RedeemCoupon(code or "A" * 16, order, 200)
        case "release":
            return PLATFORM, ReleaseCoupon(code or "A" * 16, order)
    assert trade.kind == "close the room"
    return ANCHOR, CloseRoom()


def _pick(numbers: list[int], which: int) -> int:
    return numbers[which % len(numbers)] if numbers else 0


def owned(state: RoomState, user: str, envelopes_over: int = 1_000) -> Entitlements:
    """A user's entitlements by the room's state, with shares of the last ended envelopes; each kind in order of its numbers."""
    over = {number: one.winners for number, one in [*red_envelopes_of(state).over.items()][-envelopes_over:]}
    winners = over | {number: envelope.winners for number, envelope in red_envelopes_of(state).live.items()}
    holds = [
        OwnedHold(
            number,
            sale,
            hold.quantity,
            hold.until_ms,
            hold.due_fen,
            one.price_fen * hold.quantity - hold.due_fen,
            hold.coupon_code,
        )
        for sale, one in flash_sales_of(state).live.items()
        for number, hold in one.holds.items()
        if hold.user == user
    ]
    bought = {
        sale: one.taken.get(user, 0) - sum(hold.quantity for hold in holds if hold.sale == sale) for sale, one in flash_sales_of(state).live.items()
    }
    return Entitlements(
        seq=state.seq,
        shares=tuple(Share(number, won[user]) for number, won in sorted(winners.items()) if user in won),
        coupons=tuple(
            OwnedCoupon(number, one.title, one.terms, code, one.valid_until_ms, claim.order)
            for number, one in coupons_of(state).live.items()
            for code, claim in one.codes.items()
            if claim.user == user
        ),
        holds=tuple(sorted(holds, key=lambda hold: hold.hold)),
        bought={sale: units for sale, units in bought.items() if units},
    )


def added(play: Play, event: Event) -> dict[str, Any]:
    """The entry that a claim adds to its user's coupons; of another event, nothing."""
    if not isinstance(event, CouponClaimed):
        return {}
    issued = play.story[event.coupon][2]
    assert isinstance(issued, CouponIssued)
    return {"coupon": OwnedCoupon(event.coupon, issued.title, issued.terms, event.code, issued.valid_until_ms)}


def in_order(mine: Entitlements | None) -> Entitlements:
    """Each kind in the order of its numbers, without the seq."""
    assert mine is not None
    coupons = sorted(mine.coupons, key=lambda coupon: coupon.code)
    return replace(
        mine,
        seq=0,
        shares=tuple(sorted(mine.shares, key=lambda share: share.envelope)),
        coupons=tuple(coupons),
        holds=tuple(sorted(mine.holds, key=lambda hold: hold.hold)),
    )
