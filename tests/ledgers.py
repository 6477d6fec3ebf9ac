"""A room in which all kinds of money move, for the tests of the ledger, the audit and the export."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from liveroom.accounting.ledger import Ledger
from liveroom.features.coupon.messages import ClaimCoupon, CouponTerms, IssueCoupon, RedeemCoupon, ReleaseCoupon, StopCoupon
from liveroom.features.flash_sale.messages import AnnounceFlashSale, CancelHold, CloseFlashSale, ConfirmHold, ReserveStock, RestockFlashSale
from liveroom.features.red_envelope.messages import CancelRedEnvelope, DropRedEnvelope, GrabRedEnvelope
from liveroom.protocol.commands import Command
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Result
from liveroom.protocol.records import Sender
from liveroom.rooms.room import Decided
from tests.features.play import ANCHOR, PLATFORM, SHIRT, Play

EventList = list[tuple[int, int, Event]]

USERS = [Sender(f"u{number}", f"User {number}", address_hash=f"{number % 3:016x}" if number else "") for number in range(6)]


def folded(story: Iterable[tuple[int, int, Event]]) -> Ledger:
    """The ledger after a story of (seq, time_ms, event)."""
    ledger = Ledger()
    for seq, time_ms, event in story:
        ledger.apply(event, seq, time_ms)
    return ledger


def an_evening() -> Play:
    """One of everything: an envelope emptied, one expired, one cancelled, one that lives; coupons and holds of every fate."""
    play = Play()
    play.adds(SHIRT)
    first, second = USERS[0], USERS[1]
    emptied = int(play.does(ANCHOR, DropRedEnvelope(1_000, 2, opens_in_ms=0))["envelope"])
    play.does(first, GrabRedEnvelope(emptied))
    play.does(second, GrabRedEnvelope(emptied))
    expires = int(play.does(ANCHOR, DropRedEnvelope(500, 5, opens_in_ms=0, open_for_ms=1_000))["envelope"])
    play.does(first, GrabRedEnvelope(expires))
    cancelled = int(play.does(ANCHOR, DropRedEnvelope(300, 3))["envelope"])
    play.does(ANCHOR, CancelRedEnvelope(cancelled))
    lives = int(play.does(ANCHOR, DropRedEnvelope(200, 2, split="equal", opens_in_ms=0))["envelope"])
    play.does(second, GrabRedEnvelope(lives))
    coupon = int(play.does(ANCHOR, IssueCoupon("Ten off", CouponTerms(percent_off=10), 4, per_user_max=2))["coupon"])
    codes = [str(play.does(user, ClaimCoupon(coupon))["code"]) for user in (first, first, second)]
    play.does(PLATFORM, RedeemCoupon(codes[2], "order-1", 5_000))
    play.does(PLATFORM, ReleaseCoupon(codes[2], "order-1"))
    play.does(PLATFORM, RedeemCoupon(codes[2], "order-2", 6_000))
    sale = int(play.does(ANCHOR, AnnounceFlashSale("shirt", 10_000, 5, per_user_max=3, opens_in_ms=0, hold_ms=10_000))["sale"])
    paid = int(play.does(first, ReserveStock(sale, 3, codes[0]))["hold"])
    given_back = int(play.does(second, ReserveStock(sale, 1, codes[1]))["hold"])
    play.does(second, CancelHold(given_back))
    play.does(PLATFORM, ConfirmHold(paid, "payment-1", 2))
    play.does(second, ReserveStock(sale, 2))
    play.does(ANCHOR, RestockFlashSale(sale, 4))
    play.passes(10_000)
    play.does(first, ReserveStock(sale, 1, codes[1]))
    return play


def a_random_evening(seed: int, steps: int = 250) -> Play:
    """Whatever users and the platform try, refusals included, with leaps of time."""
    chance, play, things = Random(seed), Play(), Things()
    play.adds(SHIRT)
    for number in range(steps):
        if chance.random() < 0.15:
            play.passes(chance.choice([10, 1_000, 20_000, 200_000]))
        decision = play.tries(*random_command(chance, things, number))
        if isinstance(decision, Decided):
            things.note(decision.result)
    return play


class Things:
    """The offers and holds that answers have named so far."""

    def __init__(self) -> None:
        self.known: dict[str, list[int]] = {"envelope": [], "coupon": [], "sale": [], "hold": []}
        self.codes: list[str] = []

    def note(self, result: Result) -> None:
        """Take note of an answer."""
        for kind, known in self.known.items():
            if kind in result and int(result[kind]) not in known:
                known.append(int(result[kind]))
        if "code" in result and result["code"] not in self.codes:
            self.codes.append(str(result["code"]))


def random_command(chance: Random, things: Things, number: int) -> tuple[Sender, Command]:
    """Anything that somebody may try; `number` names it."""

    def some(kind: str) -> int:
        return chance.choice(things.known[kind][-3:] or [0])

    code = chance.choice(things.codes[-6:] or ["A" * 16])
    user, order = chance.choice(USERS), f"order-{chance.randrange(8)}"
    terms = chance.choice(
        [CouponTerms(amount_fen=500), CouponTerms(percent_off=33, discount_max_fen=900), CouponTerms(percent_off=50, min_spend_fen=15_000)]
    )
    per_address = chance.choice([0, 1, 1, 2])
    commands: list[tuple[Sender, Command]] = [
        (
            ANCHOR,
            DropRedEnvelope(chance.randint(5, 900), chance.randint(1, 5), opens_in_ms=chance.choice([0, 1_000]), users_per_address_max=per_address),
        ),
        (ANCHOR, CancelRedEnvelope(some("envelope"))),
        *[(user, GrabRedEnvelope(some("envelope")))] * 4,
        (ANCHOR, IssueCoupon("c", terms, chance.randint(1, 6), chance.randint(1, 2), 5_000, chance.choice([5_000, 500_000]), per_address)),
        (ANCHOR, StopCoupon(some("coupon"))),
        *[(user, ClaimCoupon(some("coupon")))] * 4,
        (PLATFORM, RedeemCoupon(code, order, chance.randint(100, 30_000))),
        (PLATFORM, ReleaseCoupon(code, chance.choice([order, f"hold-{some('hold')}"]))),
        (
            ANCHOR,
            AnnounceFlashSale(
                "shirt",
                9_999,
                chance.randint(1, 9),
                4,
                chance.choice([0, 1_000]),
                hold_ms=chance.choice([2_000, 60_000]),
                users_per_address_max=per_address,
            ),
        ),
        *[(user, ReserveStock(some("sale"), chance.randint(1, 3), chance.choice(["", code])))] * 5,
        *[(PLATFORM, ConfirmHold(some("hold"), f"p{number}", chance.randint(0, 2)))] * 2,
        (chance.choice([user, PLATFORM]), CancelHold(some("hold"))),
        (ANCHOR, RestockFlashSale(some("sale"), 3)),
        (ANCHOR, CloseFlashSale(some("sale"))),
    ]
    return chance.choice(commands)
