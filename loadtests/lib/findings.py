"""The faults that an audit found: codes, each with a count and the first few cases in words."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["FINDINGS", "Findings"]

EXAMPLES_MAX: Final = 5

#: Every code that there is, in words.
FINDINGS: Final = {
    "unanswered": "a command got no answer, or fewer replies than times it was sent over connections that held",
    "extra_answer": "more replies than times the command was sent",
    "two_answers": "a command id got two different answers",
    "other_answer_after_kill": "a command id got another answer after the server was killed than before",
    "unexpected_refusal": "a refusal that nothing in the scenario leads to",
    "disconnected": "the server ended a connection, or lost it without being killed",
    "gap": "a viewer's stream had a gap that it was not told of, or was out of order",
    "rewritten": "somebody was told something else at the same seq",
    "oversold": "more was granted than there was",
    "lost_unit": "less was granted than there was and was wished for",
    "double_winner": "a user got more than one share",
    "double_code": "two claims got the same code",
    "double_hold": "two reservations got the same hold",
    "over_limit": "a user got more than one user may have",
    "sum": "amounts do not add up",
    "two_receipts": "a payment got two different receipts",
    "not_resold": "nothing expired, or what expired was not sold again",
    "shown_otherwise": "the room, or a personal event, showed something else than the answer said",
    "owned_otherwise": "a user who came back was told to own something else than the answers said",
    "journal_otherwise": "the journal says something else than the customers were told",
    "audit_failed": "the ledger or `liveroom audit` of the journal failed",
    "engine_load": "more commands reached the engine than the admission queues should let through",
    "not_taken_over": "a partition had nobody who decided for too long",
    "cluster_broken": "a process of the cluster ended by itself, or could not start again on what stood in the journal",
    "late": "an answer, or a line at a viewer, took longer than anybody would wait",
    "turned_away": "an honest user was refused for what others did, or its line was not shown",
    "kept_out": "a newcomer could not join",
    "not_healthy": "health or metrics were not answered",
    "not_delivered": "a line that was accepted did not come to every viewer once and in order",
    "slower": "honest users waited longer while attackers were at work",
    "memory_grows": "the server's memory grew through the run, or beyond its bound",
    "descriptors_grow": "the server's open files grew through the run, or beyond its settings",
    "log": "the server logged an error that nobody but a bug can cause",
    "lost_outcome": "an outcome that was acknowledged is not there any more",
    "doubled_outcome": "one command id had an effect twice",
    "kill_missing": "a kill that was asked for did not come in the middle of the storm",
}


class Findings:
    """Collects them."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self.counts)

    def add(self, code: str, words: str) -> None:
        """Something is wrong."""
        assert code in FINDINGS, code
        self.counts[code] = self.counts.get(code, 0) + 1
        examples = self._examples.setdefault(code, [])
        if len(examples) < EXAMPLES_MAX:
            examples.append(words)

    def same(self, code: str, what: str, found: object, right: object) -> None:
        """Add `code` unless a number is what it should be."""
        if found != right:
            self.add(code, f"{what}: {found}, and it should be {right}")

    def to_plain(self) -> dict[str, Any]:
        """The findings as plain JSON data."""
        return {code: {"count": count, "examples": self._examples[code]} for code, count in self.counts.items()}
