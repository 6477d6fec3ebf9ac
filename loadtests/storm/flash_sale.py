"""Scenario `flash-sale`: everybody buys at once, some never pay, and who was refused tries again until all is sold."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Final, NamedTuple

from liveroom.features.flash_sale.messages import ReserveStock
from liveroom.protocol.frames import Accepted
from loadtests.lib.findings import Findings
from loadtests.lib.target import Target
from loadtests.storm.customer import Customer
from loadtests.storm.options import StormOptions, StormStart
from loadtests.storm.reply_audit import audit_told, audit_units
from loadtests.storm.scenario import Case, Scenario

__all__ = ["FLASH_SALE", "PRICE_FEN", "Sold", "audit", "audit_accounts"]

PRICE_FEN: Final = 9_900
LEAD_MS: Final = 3_000
#: The longest that a sale may be open, because a run of an hour, with joining and an audit, takes longer than an hour.
OPEN_FOR_MS: Final = 86_400_000
#: Longest time that a buyer takes to pay, as a share of the hold's lifetime.
PAY_WITHIN: Final = 0.3
#: Share of the holds of several units that are paid in part, and share of the payments that are confirmed again.
PARTIAL: Final = 0.2
CONFIRMED_AGAIN: Final = 0.2
#: Longest time until a viewer taps after stock came back.
BACK_S: Final = 0.3
#: Time that a message about an expired hold may take.
EXPIRY_S: Final = 10.0


async def begin(target: Target, options: StormOptions, lead_ms: int = LEAD_MS) -> StormStart:
    """Announce the sale."""
    product = {"id": f"storm-{options.run}", "title": "Load test", "price_fen": PRICE_FEN}
    await target.command(options.room, "add_product", product=product)
    terms = {"product": product["id"], "price_fen": PRICE_FEN, "stock": options.units, "per_user_max": options.per_user, "hold_ms": options.hold_ms}
    answer = await target.command(options.room, "announce_flash_sale", **terms, opens_in_ms=lead_ms, open_for_ms=OPEN_FOR_MS)
    sale = int(answer["result"]["sale"])
    return StormStart(sale, next(view["opens_ms"] for view in (await target.room(options.room))["sales"] if view["sale"] == sale))


async def play(customer: Customer, start: StormStart) -> None:
    """Buy, until this buyer has what it wants or all is sold."""
    context, rng, stock_view = customer.context, customer.rng, customer.context.stock_view
    stock_view.follow(start.thing)
    wanted, bought, tries = rng.randint(1, context.options.per_user), 0, 0
    await customer.until_opening(start)
    while not stock_view.over and bought < wanted:
        quantity = rng.randint(1, wanted - bought)
        if tries and stock_view.available:
            quantity = min(quantity, stock_view.available)
        command = ReserveStock(start.thing, quantity)
        answers = await customer.ask(command, start.thing, quantity) if tries else await customer.claim(command, start.thing, quantity)
        tries += 1
        held = [answer for answer in (answers if isinstance(answers, list) else [answers]) if isinstance(answer, Accepted)]
        bought += sum(await asyncio.gather(*(_settle(customer, int(answer.result["hold"]), quantity) for answer in held)))
        if not held:
            await stock_view.back()
            await asyncio.sleep(rng.random() * BACK_S)
    if "again" in customer.habits and bought == context.options.per_user and not stock_view.over:
        await customer.ask(ReserveStock(start.thing), start.thing)


async def _settle(customer: Customer, hold: int, units: int) -> int:
    """Pay a hold, or a part of it, or never; gives the units that were sold."""
    context, rng = customer.context, customer.rng
    hold_s = context.options.hold_ms / 1000
    if rng.random() < context.options.unpaid:
        await customer.letter("hold_expired", hold, hold_s + EXPIRY_S)
        return 0
    await asyncio.sleep(rng.random() * hold_s * PAY_WITHIN)
    quantity = rng.randint(1, units - 1) if units > 1 and rng.random() < PARTIAL else 0
    receipt = await customer.payments.confirm(hold, quantity, units)
    if rng.random() < CONFIRMED_AGAIN:
        await customer.payments.repeat(hold, quantity, units)
    if not isinstance(receipt, Accepted):
        return 0  # too late: the platform gives the money back
    context.granted += (sold := int(receipt.result["quantity"]))
    return sold


class Sold(NamedTuple):
    """Facts from customers' answers: user and units of each hold, the receipt of each payment by hold, and units sold by user."""

    holds: dict[int, tuple[str, int]]
    receipts: dict[int, Accepted]
    units: Counter[str]


def audit(case: Case, findings: Findings) -> dict[str, Any]:
    """All is sold and paid for exactly, nobody has more than one may have, and what expired was sold again."""
    options, (holds, receipts, sold) = case.options, audit_accounts(case, findings)
    audit_units(sold.total(), options.units, findings)
    held_units = sum(units for _, units in holds.values())
    returned = sum(int(receipt.result["returned"]) for receipt in receipts.values())
    expired = sum(units for hold, (_, units) in holds.items() if hold not in receipts)
    if (options.unpaid and not expired) or held_units != sold.total() + returned + expired:
        findings.add("not_resold", f"{held_units} units were held: {sold.total()} sold, {returned} given back, {expired} expired")
    return {
        "sold": sold.total(),
        "buyers": len(sold),
        "holds": len(holds),
        "holds_expired": len(holds) - len(receipts),
        "units_held": held_units,
        "units_resold": held_units - sold.total(),
        "gross_fen": sum(int(receipt.result["paid_fen"]) for receipt in receipts.values()),
    }


def audit_accounts(case: Case, findings: Findings) -> Sold:
    """Hold what customers were told of their holds and payments against each other, the journal and the ledger."""
    options, transcript = case.options, case.transcript
    holds: dict[int, tuple[str, int]] = {}
    receipts: dict[int, Accepted] = {}
    for one in transcript.asked:
        if (granted := one.granted) is None:
            continue
        if one.command == "confirm_hold":
            first = receipts.setdefault(one.about, granted)
            if first.result != granted.result:
                findings.add("two_receipts", f"hold {one.about}: {first.result}, and {granted.result} by {one.id}")
        else:
            hold = int(granted.result["hold"])
            if hold in holds:
                findings.add("double_hold", f"hold {hold} of {one.user} by {one.id} and of {holds[hold][0]}")
            holds[hold] = one.user, one.quantity
    sold: Counter[str] = Counter()
    for number, receipt in receipts.items():
        if number not in holds:
            findings.add("sum", f"hold {number} was paid, and nobody was told of it")
            continue
        sold[holds[number][0]] += int(receipt.result["quantity"])
    for user, units in sold.items():
        if units > options.per_user:
            findings.add("over_limit", f"{user} bought {units}")
    _audit_journal(case, holds, receipts, findings)
    _audit_owned(case, holds, receipts, findings)
    _audit_ledger(case, receipts, findings)
    return Sold(holds, receipts, sold)


def _audit_journal(case: Case, holds: dict[int, tuple[str, int]], receipts: dict[int, Accepted], findings: Findings) -> None:
    """The journal and the personal events say the same about each hold as the customers' answers."""
    told = {(hold, user, units) for hold, (user, units) in holds.items()}
    letters = {(one.seq, one.event["user"], one.event["quantity"]) for one in case.transcript.letters if one.event["type"] == "stock_reserved"}
    audit_told("shown_otherwise", "hold", told & letters, letters, findings)
    if case.journal is None:
        return
    mine = [event for event in case.journal if event.get("sale") == case.start.thing]
    written = {(event["seq"], event["user"], event["quantity"]) for event in mine if event["type"] == "stock_reserved"}
    audit_told("journal_otherwise", "hold", told, written, findings)
    paid = {(event["hold"], event["quantity"], event["paid_fen"]) for event in mine if event["type"] == "hold_confirmed"}
    receipted = {(hold, int(one.result["quantity"]), int(one.result["paid_fen"])) for hold, one in receipts.items()}
    audit_told("journal_otherwise", "payment", receipted, paid, findings)


def _audit_owned(case: Case, holds: dict[int, tuple[str, int]], receipts: dict[int, Accepted], findings: Findings) -> None:
    """A returning customer has no hold beyond its answers, and has bought every unit paid by then."""
    paid: dict[str, list[tuple[int, int]]] = {}
    for hold, receipt in receipts.items():
        if hold in holds:
            paid.setdefault(holds[hold][0], []).append((receipt.seq, int(receipt.result["quantity"])))
    for owned in case.transcript.owned:
        for one in owned.entitlements.holds:
            if one.sale == case.start.thing:
                findings.same("owned_otherwise", f"hold {one.hold} of {owned.user}", (owned.user, one.quantity), holds.get(one.hold))
        units = paid.get(owned.user, [])
        by_then = sum(quantity for seq, quantity in units if seq <= owned.entitlements.seq)
        bought = owned.entitlements.bought.get(case.start.thing, 0)
        if not by_then <= bought <= sum(quantity for _, quantity in units):
            findings.add("owned_otherwise", f"{owned.user} bought {bought} at seq {owned.entitlements.seq}, and was told {units}")


def _audit_ledger(case: Case, receipts: dict[int, Accepted], findings: Findings) -> None:
    if case.ledger is None:
        return
    account = next(one for one in case.ledger.sales if one.sale == case.start.thing)
    sold = sum(int(receipt.result["quantity"]) for receipt in receipts.values())
    paid_fen = sum(int(receipt.result["paid_fen"]) for receipt in receipts.values())
    findings.same("sum", "units sold by the ledger", account.sold, sold)
    findings.same("sum", "units by the ledger", account.available + account.held + account.sold, case.options.units)
    findings.same("sum", "gross by the ledger, and the payments", account.gross_fen, paid_fen)
    findings.same("sum", "payments, and price × units sold", paid_fen, PRICE_FEN * sold)


FLASH_SALE: Final = Scenario(
    begin,
    play,
    audit,
    refusals=frozenset({"sold_out", "per_user_limit", "unpaid_limit", "others_first", "sale_not_open", "sale_closed", "hold_expired"}),
    stages=2,
)
