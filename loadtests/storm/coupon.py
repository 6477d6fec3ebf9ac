"""Scenario `coupon`: everybody claims one coupon at once."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Final

from liveroom.features.coupon.messages import ClaimCoupon
from loadtests.lib.findings import Findings
from loadtests.lib.target import Target
from loadtests.storm.customer import Customer
from loadtests.storm.options import StormOptions, StormStart
from loadtests.storm.reply_audit import audit_told, audit_units
from loadtests.storm.scenario import Case, Scenario

__all__ = ["COUPON", "COUPON_TWICE", "audit"]

#: A coupon can be claimed as soon as it is there; customers have seen it so much later.
SEEN_MS: Final = 1_000
CLAIMABLE_MS: Final = 3_600_000


async def begin(target: Target, options: StormOptions) -> StormStart:
    """Issue the coupon."""
    terms = {"title": "Load test", "terms": {"amount_fen": 500, "min_spend_fen": 1_000}, "stock": options.units, "per_user_max": options.per_user}
    result = (await target.command(options.room, "issue_coupon", **terms, claimable_ms=CLAIMABLE_MS, valid_ms=CLAIMABLE_MS))["result"]
    return StormStart(result["coupon"], int(time.time() * 1000) + SEEN_MS)


async def play(customer: Customer, start: StormStart) -> None:
    """Claim as many as one user may have, one after the other."""
    await customer.until_opening(start)
    answers = await customer.claim(ClaimCoupon(start.thing), start.thing)
    while len(answers) < customer.context.options.per_user:
        answers.append(await customer.ask(ClaimCoupon(start.thing), start.thing))


async def play_twice(customer: Customer, start: StormStart) -> None:
    """Like `play`, but the customer repeats each command under the same id before its answer comes."""
    customer.habits |= {"impatient"}
    await play(customer, start)


def audit(case: Case, findings: Findings) -> dict[str, Any]:
    """The room granted as many codes as stock and demand allow: each once, to one user, and the same in every source."""
    options, coupon = case.options, case.start.thing
    codes: dict[str, str] = {}
    claimed: Counter[str] = Counter()
    wished: Counter[str] = Counter()
    for one in case.transcript.asked:
        wished[one.user] += 1
        if (granted := one.granted) is None:
            continue
        code = str(granted.result["code"])
        if code in codes:
            findings.add("double_code", f"{one.user} by {one.id} and {codes[code]}")
        codes[code] = one.user
        claimed[one.user] += 1
    for user, count in claimed.items():
        if count > options.per_user:
            findings.add("over_limit", f"{user} has {count}")
    audit_units(claimed.total(), min(options.units, sum(min(count, options.per_user) for count in wished.values())), findings)

    told = {(user, code) for code, user in codes.items()}
    letters = {(one.user, one.event["code"]) for one in case.transcript.letters if _is_claim(one.event, coupon)}
    audit_told("shown_otherwise", "code", told & letters, letters, findings)
    if case.journal is not None:
        written = {(event["user"], event["code"]) for event in case.journal if _is_claim(event, coupon)}
        audit_told("journal_otherwise", "code", told, written, findings)
    _audit_owned(case, told, findings)
    if case.ledger is not None:
        account = next(one for one in case.ledger.coupons if one.coupon == coupon)
        findings.same("sum", "claims that users were told, and the ledger's", claimed.total(), account.claimed)
    return {"codes": len(codes), "winners": len(claimed), "stock": options.units}


def _audit_owned(case: Case, told: set[tuple[str, str]], findings: Findings) -> None:
    """A returning customer owns exactly the codes that its answers had named by then."""
    since = [(one.user, str(granted.result["code"]), granted.seq) for one in case.transcript.asked if (granted := one.granted) is not None]
    due: dict[str, list[tuple[str, int]]] = {}
    for user, code, seq in since:
        due.setdefault(user, []).append((code, seq))
    for owned in case.transcript.owned:
        codes = {(owned.user, one.code) for one in owned.entitlements.coupons if one.coupon == case.start.thing}
        missing = {(owned.user, code) for code, seq in due.get(owned.user, ()) if seq <= owned.entitlements.seq} - codes
        audit_told("owned_otherwise", "code", (told & codes) | missing, codes, findings)


def _is_claim(event: dict[str, Any], coupon: int) -> bool:
    return bool(event["type"] == "coupon_claimed" and event["coupon"] == coupon)


COUPON: Final = Scenario(begin, play, audit, refusals=frozenset({"coupon_gone", "per_user_limit"}), stages=1)
#: A scenario for the chaos test alone: its repeated commands tempt a zombie engine to answer.
COUPON_TWICE: Final = COUPON._replace(play=play_twice)
