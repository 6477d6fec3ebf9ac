"""Small transcripts of correct storms, which tests then falsify."""

from __future__ import annotations

from typing import Any

from liveroom.accounting.statement import CouponAccount, EnvelopeAccount, SaleAccount, Statement, Totals
from liveroom.features.coupon.entitlements import OwnedCoupon
from liveroom.features.coupon.messages import CouponTerms
from liveroom.features.flash_sale.entitlements import OwnedHold
from liveroom.features.red_envelope.entitlements import Share
from liveroom.protocol.frames import Accepted, Entitlements, Refused
from loadtests.lib.journal import JournalCheck
from loadtests.storm.audit import Course
from loadtests.storm.options import StormOptions, StormStart
from loadtests.storm.scenario import Case
from loadtests.storm.transcript import Asked, Letter, Owned, TimedReply, Transcript

THING = 7
PRICE_FEN = 9_900


def accepted(id: str, seq: int, **result: int | str) -> Accepted:
    return Accepted(id, seq, {**result})


def refused(id: str, code: str) -> Refused:
    return Refused(id, code, "no")


def asked(user: str, command: str, *replies: Accepted | Refused, about: int = THING, quantity: int = 1) -> Asked:
    """A command whose id, answered more than once, was sent as often."""
    return Asked(user, replies[0].id, command, about, quantity, len(replies), 0, [TimedReply(0, reply) for reply in replies])


def case_of(scenario: str, transcript: Transcript, account: Any, journal: list[dict[str, Any]], **options: Any) -> tuple[Case, Course]:
    known: dict[str, Any] = {"viewers": 4, "units": 3, "per_user": 1, "unpaid": 0.0, "hold_ms": 2_000, "kills": 0}
    asked_for = StormOptions(scenario=scenario, within_s=1.0, unruly=0.1, processes=1, timeout_s=60.0, room="swarm", run="r", **{**known, **options})
    nothing = Totals(**dict.fromkeys(Totals.__struct_fields__, 0))
    kinds: dict[str, Any] = {"envelopes": (), "coupons": (), "sales": ()}
    kinds[{"red-envelope": "envelopes", "coupon": "coupons", "flash-sale": "sales"}[scenario]] = (account,)
    ledger = Statement("swarm", 99, 0, nothing, **kinds, omitted=0)
    return Case(asked_for, StormStart(THING, 0), transcript, ledger, journal), Course(journal=JournalCheck(journal, {}, "verdict", True))


def envelope() -> tuple[Case, Course]:
    """Three of four users win; one of them grabs again and is refused, one repeats its id."""
    shares = {"u0": 120, "u1": 80, "u2": 100}
    grants = [{"type": "red_envelope_grabbed", "envelope": THING, "user": user, "amount_fen": fen} for user, fen in shares.items()]
    first = {user: accepted("c1", 10 + i, envelope=THING, amount_fen=fen, shares_left=2 - i) for i, (user, fen) in enumerate(shares.items())}
    transcript = Transcript(
        asked=[
            asked("u0", "grab_red_envelope", first["u0"]),
            asked("u0", "grab_red_envelope", refused("c2", "already_grabbed")),
            asked("u1", "grab_red_envelope", first["u1"], first["u1"]),
            asked("u2", "grab_red_envelope", first["u2"]),
            asked("u3", "grab_red_envelope", refused("c1", "envelope_empty")),
        ],
        shown=dict(enumerate(grants, 10)),
        owned=[
            Owned("u1", Entitlements(40, shares=(Share(THING, 80), Share(3, 5)))),
            Owned("u2", Entitlements(11)),  # before it won
            Owned("u3", Entitlements(40)),
        ],
    )
    account = EnvelopeAccount(THING, "Luck", "empty", 3, 3, 300, 300, 0, 0)
    return case_of("red-envelope", transcript, account, [{**grant, "seq": seq, "time_ms": seq} for seq, grant in enumerate(grants, 10)])


def coupon() -> tuple[Case, Course]:
    """Two users get one code of three each, one gets none: it never asked."""
    codes = {"u0": "AAAA", "u1": "BBBB", "u2": "CCCC"}
    claims = [{"type": "coupon_claimed", "coupon": THING, "user": user, "code": code, "seq": 10 + i} for i, (user, code) in enumerate(codes.items())]
    transcript = Transcript(
        asked=[
            *(asked(user, "claim_coupon", accepted("c1", 11, coupon=THING, code=code)) for user, code in codes.items()),
            asked("u3", "claim_coupon", refused("c1", "coupon_gone")),
            asked("u0", "claim_coupon", refused("c2", "per_user_limit")),
        ],
        letters=[Letter(claim["user"], claim["seq"], claim) for claim in claims],  # type: ignore[arg-type]
        owned=[Owned("u0", Entitlements(40, coupons=(OwnedCoupon(THING, "Off", CouponTerms(5), "AAAA", 0),))), Owned("u3", Entitlements(40))],
    )
    return case_of("coupon", transcript, CouponAccount(THING, "Off", "stopped", 3, 3, 0, 0), claims)


def sale() -> tuple[Case, Course]:
    """Three units: u0 buys two, u1 one of a hold of two; u2's hold expires, and is sold again to u1."""
    holds = {20: ("u0", 2), 21: ("u2", 1), 30: ("u1", 2)}
    reserved = [{"type": "stock_reserved", "sale": THING, "user": user, "quantity": units, "seq": hold} for hold, (user, units) in holds.items()]
    paid = [
        {"type": "hold_confirmed", "sale": THING, "hold": hold, "user": user, "quantity": units, "paid_fen": units * PRICE_FEN, "seq": hold + 50}
        for hold, user, units in ((20, "u0", 2), (30, "u1", 1))
    ]
    receipts = {20: {"quantity": 2, "returned": 0, "paid_fen": 2 * PRICE_FEN}, 30: {"quantity": 1, "returned": 1, "paid_fen": PRICE_FEN}}
    transcript = Transcript(
        asked=[
            asked("u0", "reserve_stock", accepted("c1", 21, hold=20), quantity=2),
            asked("u1", "reserve_stock", refused("c1", "sold_out"), quantity=2),
            asked("u2", "reserve_stock", accepted("c1", 22, hold=21), quantity=1),
            asked("u1", "reserve_stock", accepted("c2", 31, hold=30), quantity=2),
            asked("platform", "confirm_hold", accepted("hold-20", 71, **receipts[20]), about=20, quantity=2),
            asked("platform", "confirm_hold", accepted("hold-20-again", 71, **receipts[20]), about=20, quantity=2),
            asked("platform", "confirm_hold", refused("hold-21", "hold_expired"), about=21, quantity=1),
            asked("platform", "confirm_hold", accepted("hold-30", 81, **receipts[30]), about=30, quantity=1),
        ],
        letters=[Letter(event["user"], event["seq"], event) for event in reserved],  # type: ignore[arg-type]
        owned=[Owned("u0", Entitlements(90, bought={THING: 2})), Owned("u1", Entitlements(40, holds=(OwnedHold(30, THING, 2, 0, 2 * PRICE_FEN),)))],
    )
    account = SaleAccount(THING, "p", "Load test", "closed", PRICE_FEN, 3, 0, 0, 3, 3 * PRICE_FEN, 0)
    return case_of("flash-sale", transcript, account, [*reserved, *paid], per_user=2, unpaid=0.3)
