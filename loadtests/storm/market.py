"""Scenario `market`: everybody chats, grabs one envelope and buys from one sale, so that all kinds of money flow at once."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from msgspec.structs import replace

from liveroom.features.chat.messages import SendChat
from loadtests.lib.findings import Findings
from loadtests.lib.target import Target
from loadtests.storm import flash_sale, red_envelope
from loadtests.storm.customer import Customer
from loadtests.storm.options import StormOptions, StormStart
from loadtests.storm.reply_audit import audit_told
from loadtests.storm.scenario import Case, Scenario

__all__ = ["MARKET"]

LEAD_MS: Final = 1_000


async def begin(target: Target, options: StormOptions) -> StormStart:
    """Drop the envelope and announce the sale."""
    envelope = await red_envelope.begin(target, options, LEAD_MS)
    sale = await flash_sale.begin(target, options, LEAD_MS)
    return StormStart(envelope.thing, max(envelope.opens_ms, sale.opens_ms), sale.thing)


async def play(customer: Customer, start: StormStart) -> None:
    """Grab and buy, and say so."""
    await customer.until_opening(start)
    await _say(customer, 1)
    await red_envelope.play(customer, start)
    await _say(customer, 2)
    await flash_sale.play(customer, StormStart(start.sale, start.opens_ms))
    await _say(customer, 3)


async def _say(customer: Customer, number: int) -> None:
    await customer.ask(SendChat(f"line {number}"), number)


def audit(case: Case, findings: Findings) -> dict[str, Any]:
    """The audits of both, and every line that was taken stands in the journal, once."""
    shares = red_envelope.audit(_about(case, case.start.thing, "grab_red_envelope"), findings)
    sold = flash_sale.audit(_about(case, case.start.sale, "reserve_stock", "confirm_hold"), findings)
    if case.journal is not None:
        said = Counter((event["user"], event["text"]) for event in case.journal if event["type"] == "chat_sent")
        told = {(one.user, f"line {one.about}") for one in case.transcript.asked if one.command == "send_chat" and one.granted}
        audit_told("journal_otherwise", "line", told, set(said), findings)
        for line, times in said.items():
            if times > 1:
                findings.add("journal_otherwise", f"line {line} was said {times} times")
    return shares | sold


def _about(case: Case, thing: int, *commands: str) -> Case:
    asked = [one for one in case.transcript.asked if one.command in commands]
    return case._replace(start=StormStart(thing, case.start.opens_ms), transcript=replace(case.transcript, asked=asked))


MARKET: Final = Scenario(
    begin,
    play,
    audit,
    refusals=red_envelope.RED_ENVELOPE.refusals | flash_sale.FLASH_SALE.refusals,
    stages=red_envelope.RED_ENVELOPE.stages + flash_sale.FLASH_SALE.stages,
)
