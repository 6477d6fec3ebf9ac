"""Scenario `red-envelope`: everybody grabs one envelope within a second of its opening."""

from __future__ import annotations

from typing import Any, Final

from liveroom.features.red_envelope.messages import GrabRedEnvelope
from loadtests.lib.findings import Findings
from loadtests.lib.target import Target
from loadtests.storm.customer import Customer
from loadtests.storm.options import StormOptions, StormStart
from loadtests.storm.reply_audit import audit_told, audit_units
from loadtests.storm.scenario import Case, Scenario

__all__ = ["RED_ENVELOPE", "audit"]

#: Average share.
SHARE_FEN: Final = 100
#: Time from the announcement to the opening, so that every viewer sees the envelope in time.
LEAD_MS: Final = 3_000
OPEN_FOR_MS: Final = 3_600_000


async def begin(target: Target, options: StormOptions, lead_ms: int = LEAD_MS) -> StormStart:
    """Drop the envelope."""
    terms = {"total_fen": options.units * SHARE_FEN, "shares": options.units, "opens_in_ms": lead_ms, "open_for_ms": OPEN_FOR_MS}
    result = (await target.command(options.room, "drop_red_envelope", **terms))["result"]
    return StormStart(result["envelope"], result["opens_ms"])


async def play(customer: Customer, start: StormStart) -> None:
    """Grab."""
    await customer.until_opening(start)
    await customer.claim(GrabRedEnvelope(start.thing), start.thing)


def audit(case: Case, findings: Findings) -> dict[str, Any]:
    """One share a user, as many as there are or users want, all adding up, and everywhere the same."""
    options, envelope = case.options, case.start.thing
    shares: dict[str, int] = {}
    for one in case.transcript.asked:
        granted = one.granted
        if granted is None:
            continue
        if one.user in shares:
            findings.add("double_winner", f"{one.user} by {one.id} and another id")
            continue
        shares[one.user] = int(granted.result["amount_fen"])
        if shares[one.user] < 1:
            findings.add("sum", f"{one.user} got {shares[one.user]} fen")
    audit_units(len(shares), min(options.units, options.viewers), findings)

    told = set(shares.items())
    shown = {(event["user"], event["amount_fen"]) for event in case.transcript.shown.values() if _is_grant(event, envelope)}
    audit_told("shown_otherwise", "share", told if not case.transcript.skipped else told & shown, shown, findings)
    if case.journal is not None:
        written = {(event["user"], event["amount_fen"]) for event in case.journal if _is_grant(event, envelope)}
        audit_told("journal_otherwise", "share", told, written, findings)
    _audit_owned(case, shares, findings)
    return {"winners": len(shares), "gone_after_ms": _gone_after_ms(case), **_audit_ledger(case, shares, findings)}


def _audit_owned(case: Case, shares: dict[str, int], findings: Findings) -> None:
    """A returning customer owns exactly the share that its answer had named by then."""
    since = {one.user: granted.seq for one in case.transcript.asked if (granted := one.granted) is not None}
    for owned in case.transcript.owned:
        amounts_fen = [share.amount_fen for share in owned.entitlements.shares if share.envelope == case.start.thing]
        if amounts_fen or since.get(owned.user, owned.entitlements.seq + 1) <= owned.entitlements.seq:
            findings.same("owned_otherwise", f"shares of {owned.user}", amounts_fen, [shares.get(owned.user)])


def _gone_after_ms(case: Case) -> int | None:
    """From the opening to the last grant, by the room's clock."""
    times_ms = [event["time_ms"] for event in case.journal or () if _is_grant(event, case.start.thing)]
    return max(times_ms) - case.start.opens_ms if times_ms else None


def _audit_ledger(case: Case, shares: dict[str, int], findings: Findings) -> dict[str, Any]:
    if case.ledger is None:
        return {}
    account = next(one for one in case.ledger.envelopes if one.envelope == case.start.thing)
    findings.same("sum", "fen that winners were told, and the ledger's", sum(shares.values()), account.granted_fen)
    findings.same("sum", "granted + refunded fen", account.granted_fen + account.refunded_fen, account.total_fen)
    findings.same("sum", "fen of the envelope", account.total_fen, case.options.units * SHARE_FEN)
    findings.same("sum", "fen that remain after the end", account.remaining_fen, 0)
    return {"granted_fen": account.granted_fen, "refunded_fen": account.refunded_fen, "total_fen": account.total_fen}


def _is_grant(event: dict[str, Any], envelope: int) -> bool:
    return bool(event["type"] == "red_envelope_grabbed" and event["envelope"] == envelope)


RED_ENVELOPE: Final = Scenario(begin, play, audit, refusals=frozenset({"envelope_empty", "already_grabbed", "envelope_not_open"}), stages=1)
