"""Events that break an invariant about money, each folded into a room of its own; also a program that runs with `python -O`."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from liveroom.features.address_limits.messages import AddressCounted
from liveroom.features.coupon.messages import (
    ClaimCoupon,
    CouponClaimed,
    CouponLeft,
    CouponRedeemed,
    CouponReleased,
    CouponTerms,
    IssueCoupon,
    RedeemCoupon,
)
from liveroom.features.coupon.state import of as coupon_of
from liveroom.features.flash_sale.messages import (
    AnnounceFlashSale,
    ConfirmHold,
    FlashSaleClosed,
    HoldConfirmed,
    ReserveStock,
    StockChanged,
    StockReserved,
)
from liveroom.features.flash_sale.state import of as flash_sale_of
from liveroom.features.red_envelope.messages import DropRedEnvelope, GrabRedEnvelope, RedEnvelopeClosed, RedEnvelopeGrabbed, RedEnvelopeSealed
from liveroom.messages.base import EventBase
from liveroom.messages.errors import InvariantBroken
from liveroom.rooms.room import evolve
from tests.features.play import ANCHOR, PLATFORM, SHIRT, VERA, Play

__all__ = ["WRONG", "breaks"]


def _sale() -> tuple[Play, int]:
    """A sale of 3 shirts; vera holds one."""
    play = Play()
    play.adds(SHIRT)
    sale = int(play.does(ANCHOR, AnnounceFlashSale("shirt", 9_900, 3, opens_in_ms=0, open_for_ms=60_000, per_user_max=2))["sale"])
    play.does(VERA, ReserveStock(sale))
    return play, sale


def _envelope() -> tuple[Play, int]:
    """Two shares of 5 fen each; vera has one."""
    play = Play()
    envelope = int(play.does(ANCHOR, DropRedEnvelope(10, 2, opens_in_ms=0, split="equal"))["envelope"])
    play.does(VERA, GrabRedEnvelope(envelope))
    return play, envelope


def _limited_envelope() -> tuple[Play, int]:
    """An envelope for one user of each address; vera has a share."""
    play = Play()
    envelope = int(play.does(ANCHOR, DropRedEnvelope(10, 2, opens_in_ms=0, users_per_address_max=1))["envelope"])
    play.does(replace(VERA, address_hash="a"), GrabRedEnvelope(envelope))
    return play, envelope


def _coupon() -> tuple[Play, int]:
    """A coupon with a stock of 3; vera has one."""
    play = Play()
    coupon = int(play.does(ANCHOR, IssueCoupon("Less", CouponTerms(amount_fen=100), 3))["coupon"])
    play.does(VERA, ClaimCoupon(coupon))
    return play, coupon


def _paid_sale() -> tuple[Play, int]:
    """A sale of 3 shirts; vera has paid one by `p1` and holds another."""
    play, sale = _sale()
    hold = next(iter(flash_sale_of(play.room).live[sale].holds))
    play.does(PLATFORM, ConfirmHold(hold, "p1"))
    play.does(VERA, ReserveStock(sale))
    return play, sale


def _held(play: Play, sale: int) -> int:
    """The seq of the open hold."""
    return next(iter(flash_sale_of(play.room).live[sale].holds))


def _used_coupon() -> tuple[Play, int]:
    """A coupon of which there was one code: vera has used it."""
    play = Play()
    coupon = int(play.does(ANCHOR, IssueCoupon("Less", CouponTerms(amount_fen=100), 1))["coupon"])
    code = str(play.does(VERA, ClaimCoupon(coupon))["code"])
    play.does(PLATFORM, RedeemCoupon(code, "o1", 1_000))
    return play, coupon


def _code(play: Play, coupon: int) -> str:
    """The code that vera has."""
    return next(iter(coupon_of(play.room).live[coupon].codes))


#: By the rule that the event breaks: a room, and the event for its item.
WRONG: dict[str, tuple[Callable[[], tuple[Play, int]], Callable[[Play, int], EventBase]]] = {
    "no unit is held twice": (_sale, lambda play, sale: StockReserved(sale, "victor", 3, 9, 9)),
    "a user has no more units than one may have": (_sale, lambda play, sale: StockReserved(sale, "vera", 2, 9, 9)),
    "a payment pays one hold": (_paid_sale, lambda play, sale: HoldConfirmed(sale, _held(play, sale), "vera", 1, 0, 9_900, "p1")),
    "a payment sells no more than was held": (_sale, lambda play, sale: HoldConfirmed(sale, _held(play, sale), "vera", 3, 0, 9_900, "p2")),
    "a payment returns the rest": (_sale, lambda play, sale: HoldConfirmed(sale, _held(play, sale), "vera", 1, 1, 9_900, "p2")),
    "held = units of open holds": (_sale, lambda play, sale: StockChanged(sale, 2, 2, 0)),
    "sold = units of paid holds": (_sale, lambda play, sale: StockChanged(sale, 2, 1, 1)),
    "available + held + sold = stock": (_sale, lambda play, sale: StockChanged(sale, 3, 1, 0)),
    "the stock of a closed sale says so": (_sale, lambda play, sale: StockChanged(sale, 2, 1, 0, True)),
    "a closed sale says what is held": (_sale, lambda play, sale: FlashSaleClosed(sale, "anna", 0)),
    "a user has one share": (_envelope, lambda play, envelope: RedEnvelopeGrabbed(envelope, "vera", "Vera", 5, 1, 0)),
    "shares are granted as they were drawn": (_envelope, lambda play, envelope: RedEnvelopeGrabbed(envelope, "victor", "Victor", 4, 0, 1)),
    "granted + left = total": (_envelope, lambda play, envelope: RedEnvelopeGrabbed(envelope, "victor", "Victor", 5, 0, 5)),
    "every share is granted once": (_envelope, lambda play, envelope: RedEnvelopeGrabbed(envelope, "victor", "Victor", 5, 1, 0)),
    "granted + refunded = total": (_envelope, lambda play, envelope: RedEnvelopeClosed(envelope, "expired", 10, 0, "00")),
    "the seed is the one that was committed to": (_envelope, lambda play, envelope: RedEnvelopeSealed(envelope, "00" * 32)),
    "the claims say how many are left": (_coupon, lambda play, coupon: CouponLeft(coupon, 3)),
    "no more codes are claimed than were issued": (_used_coupon, lambda play, coupon: CouponClaimed(coupon, "victor", "ANOTHER")),
    "a user has no more codes than one may have": (_coupon, lambda play, coupon: CouponClaimed(coupon, "vera", "ANOTHER")),
    "a code is given once": (_coupon, lambda play, coupon: CouponClaimed(coupon, "victor", _code(play, coupon))),
    "a code is used by one order": (_used_coupon, lambda play, coupon: CouponRedeemed(coupon, "vera", _code(play, coupon), "o2", 100)),
    "an order releases the code that it uses": (_used_coupon, lambda play, coupon: CouponReleased(coupon, "vera", _code(play, coupon), "o2")),
    "users are counted only where there is a limit": (_envelope, lambda play, envelope: AddressCounted(envelope, "victor", "a")),
    "users of one address within the limit": (_limited_envelope, lambda play, envelope: AddressCounted(envelope, "victor", "a")),
}


def breaks(rule: str) -> bool:
    """Whether folding the wrong event raises, and names the rule."""
    make, wrong = WRONG[rule]
    play, item = make()
    room = play.room
    try:
        evolve(room, wrong(play, item), room.seq, play.now_ms)
    except InvariantBroken as broken:
        return str(broken) == rule
    return False


if __name__ == "__main__":
    print("\n".join(rule for rule in WRONG if not breaks(rule)))
