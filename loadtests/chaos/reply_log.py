"""The clients' own log of acknowledged outcomes, compared with itself and with the journal. It knows nothing of the storms' audits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

import orjson

from loadtests.lib.findings import Findings

__all__ = ["judge_log"]

#: Refusals that say nothing about the command, or hold for a while only.
NO_OUTCOME: Final = frozenset({"unavailable", "overloaded", "rate_limited", "sold_out", "envelope_not_open", "sale_not_open"})
#: The journal event of each accepted command: its type and the fields that identify it. `seq` is the event's own place.
EFFECTS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "reserve_stock": ("stock_reserved", ("seq", "user")),
    "send_chat": ("chat_sent", ("seq", "user")),
    "grab_red_envelope": ("red_envelope_grabbed", ("envelope", "user", "amount_fen")),
    "confirm_hold": ("hold_confirmed", ("hold", "quantity", "paid_fen")),
    "cancel_hold": ("hold_cancelled", ("hold",)),
    "drop_red_envelope": ("red_envelope_dropped", ("seq",)),
}
#: The field of a result that names the event's seq.
SEQ_OF: Final = {"reserve_stock": "hold", "send_chat": "message", "drop_red_envelope": "envelope"}


def judge_log(file: Path, events: list[dict[str, Any]], findings: Findings) -> dict[str, int]:
    """Every acknowledged outcome is repeated to the letter and stands in the journal once, and no effect belongs to two ids. Gives figures."""
    first: dict[tuple[str, str, str], dict[str, Any]] = {}
    repeated: set[tuple[str, str, str]] = set()
    replies = 0
    for line in file.read_bytes().splitlines():
        user, command, reply = orjson.loads(line)
        replies += 1
        key, told = (user, command, reply["id"]), _outcome(reply)
        if told is None:
            continue
        known = first.setdefault(key, told)
        if known is not told:
            repeated.add(key)
            if known != told:
                findings.add("lost_outcome", f"{key}: was told {known}, and later {told}")
    accepted = {key: told for key, told in first.items() if "code" not in told}
    written = Counter(effect for event in events if (effect := _effect_of(event)) is not None)
    owners: dict[tuple[Any, ...], tuple[str, str, str]] = {}
    for key, told in accepted.items():
        effect = _effect_told(key, told)
        found = written[effect]
        if not found:
            findings.add("lost_outcome", f"{key}: was told {told}, which the journal does not hold")
        elif found > 1:
            findings.add("doubled_outcome", f"{key}: stands {found} times in the journal")
        if owners.setdefault(effect, key) != key:
            findings.add("doubled_outcome", f"{key} and {owners[effect]} were told one effect: {effect}")
    for effect, times in written.items():
        if effect not in owners:
            findings.add("doubled_outcome", f"the journal holds {effect} ({times}), and no id of all that were asked had it as its outcome")
    return {"outcomes": len(first), "accepted": len(accepted), "replies_with_repeats": replies, "repeated": len(repeated)}


def _outcome(reply: dict[str, Any]) -> dict[str, Any] | None:
    """The final part of a reply; `None` for a refusal that holds for a while only."""
    if reply["type"] == "accepted":
        return {"seq": reply["seq"], **reply.get("result", {})}
    return None if reply["code"] in NO_OUTCOME else {"code": reply["code"]}


def _effect_of(event: dict[str, Any]) -> tuple[Any, ...] | None:
    for type, fields in EFFECTS.values():
        if event["type"] == type:
            return (type, *(event[field] for field in fields))
    return None


def _effect_told(key: tuple[str, str, str], told: dict[str, Any]) -> tuple[Any, ...]:
    """The effect that an accepted command says it had."""
    user, command, id = key
    type, fields = EFFECTS[command]
    said = {"user": user, **told}
    if command in SEQ_OF:
        said["seq"] = told[SEQ_OF[command]]
    if command == "confirm_hold":
        said["hold"] = int(id.split("-")[1])
    return (type, *(said[field] for field in fields))
