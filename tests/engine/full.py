"""A room in which everything is as long and as many as it may be."""

from __future__ import annotations

from random import Random

from liveroom.config.schema import RoomsConfig
from liveroom.features.coupon.messages import ClaimCoupon, CouponTerms, IssueCoupon
from liveroom.features.flash_sale.messages import AnnounceFlashSale, ReserveStock
from liveroom.features.lifecycle.messages import OpenRoom
from liveroom.features.red_envelope.messages import DropRedEnvelope, EnvelopeCondition, GrabRedEnvelope
from liveroom.features.showcase.messages import Product
from liveroom.messages.fields import Role
from liveroom.protocol.commands import Command
from liveroom.protocol.frames import Result
from liveroom.protocol.records import Request, Sender
from liveroom.rooms.room import Decided, RoomState, decide, decide_due, evolve

ROOM = "r" * 64
START_MS = 9_007_199_000_000_000
DAY_MS = 86_400_000
#: A character of the largest size.
WIDE = "\U0001f600"
TITLE = WIDE * 120
REASON = WIDE * 200
URL = "https://" + "\U0001f600" * 492
ORDER = '"' * 64

RULES = RoomsConfig(
    chat_interval_ms=0,
    questions_max=1_000,
    questions_per_user_max=100,
    muted_users_max=10_000,
    banned_users_max=10_000,
    red_envelopes_live_max=8,
    coupons_live_max=1_000,
    coupon_codes_max=10_000_000,
    flash_sales_live_max=200,
)


def user(number: int) -> str:
    """A user id as long as one may be."""
    return f"{number}".rjust(128, '"')


def sender(number: int, role: Role = Role.viewer) -> Sender:
    """Somebody with a long name, at an address of one's own."""
    return Sender(user(number), WIDE * 64, role, watched_s=7_200, address_hash=f"{number:016x}")


ANCHOR = sender(0, Role.anchor)
PLATFORM = sender(1, Role.platform)


class Full:
    """The room; commands are decided and folded at once."""

    def __init__(self, rules: RoomsConfig = RULES, *, room: str = ROOM) -> None:
        self.rules = rules
        self.room = room
        self.rng = Random(1)
        self.now_ms = START_MS
        self.state: RoomState | None = None
        self.does(ANCHOR, OpenRoom(TITLE))
        self.now.seq = 2**53 - 1_000_000  # numbers as long as they may be

    def does(self, who: Sender, command: Command) -> Result:
        """A command that must be accepted; its result."""
        decision = decide(self.state, Request("c", self.room, who, command), self.now_ms, self.rng, self.rules)
        assert isinstance(decision, Decided), decision
        for event in decision.events:
            self.state = evolve(self.state, event, self.state.seq if self.state else 0, self.now_ms)
        return decision.result

    @property
    def now(self) -> RoomState:
        """The room's state."""
        assert self.state is not None
        return self.state

    def product(self, number: int = 0) -> Product:
        """A product with the longest words."""
        return Product(f"{number}".rjust(64, "p"), TITLE, 100_000_000_000, URL, URL)

    def drops(self, *, shares: int = 6, opens_in_ms: int = 0) -> int:
        """An envelope, with as many winners as are remembered as the luckiest."""
        drop = DropRedEnvelope(100_000_000_000, shares, "lucky", TITLE, opens_in_ms, DAY_MS - opens_in_ms, EnvelopeCondition(), 10_000)
        envelope = int(self.does(ANCHOR, drop)["envelope"])
        if opens_in_ms:
            return envelope
        for number in range(min(shares - 1, 5)):
            self.does(sender(number), GrabRedEnvelope(envelope))
        return envelope

    def issues(self, *, stock: int = 1, claimable_ms: int = DAY_MS, valid_ms: int = DAY_MS) -> int:
        """A coupon."""
        issue = IssueCoupon(TITLE, CouponTerms(percent_off=50), stock, 100, claimable_ms, valid_ms, 10_000)
        return int(self.does(ANCHOR, issue)["coupon"])

    def sells(self, *, stock: int = 1_000, hold_ms: int = 1_000) -> int:
        """A flash sale of the first product, open."""
        sale = AnnounceFlashSale(self.product().id, 100_000_000_000, stock, 1_000, 0, DAY_MS, hold_ms, 10_000)
        return int(self.does(ANCHOR, sale)["sale"])

    def reserves(self, sale: int, who: Sender, *, coupon: int = -1) -> int:
        """A hold, with a code of a coupon."""
        code = str(self.does(who, ClaimCoupon(coupon))["code"]) if coupon >= 0 else ""
        return int(self.does(who, ReserveStock(sale, 1, code))["hold"])

    def passes(self, duration_ms: int) -> None:
        """Let time pass and everything that is due then happen."""
        self.now_ms += duration_ms
        while events := decide_due(self.now, self.now_ms):
            for event in events:
                self.state = evolve(self.state, event, self.now.seq, self.now_ms)
