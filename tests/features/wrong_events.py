"""Events that break an invariant about money, each folded into a room of its own; also a program that runs with `python -O`."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from liveroom.features.address_limits.messages import AddressCounted
from liveroom.features.coupon.messages import ClaimCoupon, CouponLeft, CouponTerms, IssueCoupon
from liveroom.features.flash_sale.messages import AnnounceFlashSale, FlashSaleClosed, ReserveStock, StockChanged, StockReserved
from liveroom.features.red_envelope.messages import DropRedEnvelope, GrabRedEnvelope, RedEnvelopeClosed, RedEnvelopeGrabbed, RedEnvelopeSealed
from liveroom.messages.base import EventBase
from liveroom.messages.errors import InvariantBroken
from liveroom.rooms.room import evolve
from tests.features.play import ANCHOR, SHIRT, VERA, Play

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


#: By the rule that the event breaks: a room, and the event for its item.
WRONG: dict[str, tuple[Callable[[], tuple[Play, int]], Callable[[int], EventBase]]] = {
    "no unit is held twice": (_sale, lambda sale: StockReserved(sale, "victor", 3, 9, 9)),
    "held = units of open holds": (_sale, lambda sale: StockChanged(sale, 2, 2, 0)),
    "sold = units of paid holds": (_sale, lambda sale: StockChanged(sale, 2, 1, 1)),
    "available + held + sold = stock": (_sale, lambda sale: StockChanged(sale, 3, 1, 0)),
    "the stock of a closed sale says so": (_sale, lambda sale: StockChanged(sale, 2, 1, 0, True)),
    "a closed sale says what is held": (_sale, lambda sale: FlashSaleClosed(sale, "anna", 0)),
    "a user has one share": (_envelope, lambda envelope: RedEnvelopeGrabbed(envelope, "vera", "Vera", 5, 1, 0)),
    "shares are granted as they were drawn": (_envelope, lambda envelope: RedEnvelopeGrabbed(envelope, "victor", "Victor", 4, 0, 1)),
    "granted + left = total": (_envelope, lambda envelope: RedEnvelopeGrabbed(envelope, "victor", "Victor", 5, 0, 5)),
    "every share is granted once": (_envelope, lambda envelope: RedEnvelopeGrabbed(envelope, "victor", "Victor", 5, 1, 0)),
    "granted + refunded = total": (_envelope, lambda envelope: RedEnvelopeClosed(envelope, "expired", 10, 0, "00")),
    "the seed is the committed one": (_envelope, lambda envelope: RedEnvelopeSealed(envelope, "00" * 32)),
    "the claims say how many are left": (_coupon, lambda coupon: CouponLeft(coupon, 3)),
    "users are counted only where there is a limit": (_envelope, lambda envelope: AddressCounted(envelope, "victor", "a")),
    "users of one address within the limit": (_limited_envelope, lambda envelope: AddressCounted(envelope, "victor", "a")),
}


def breaks(rule: str) -> bool:
    """Whether folding the wrong event raises."""
    make, wrong = WRONG[rule]
    play, item = make()
    room = play.room
    try:
        evolve(room, wrong(item), room.seq, play.now_ms)
    except InvariantBroken:
        return True
    return False


if __name__ == "__main__":
    print("\n".join(rule for rule in WRONG if not breaks(rule)))
