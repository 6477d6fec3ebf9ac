"""The audit that all storms share: every command has one answer, its repetition gets the same answer, and no stream has a gap."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from liveroom.protocol.frames import Accepted
from loadtests.lib.findings import Findings
from loadtests.storm.transcript import FOR_A_WHILE, Asked, Reply, TimedReply, Transcript

__all__ = ["audit_answers", "audit_streams", "audit_told", "audit_units", "repeated_after_kill"]


def audit_answers(asked: Iterable[Asked], refusals: frozenset[str], findings: Findings) -> None:
    """Hold each command's replies against each other; `refusals` are the codes that the scenario leads to."""
    for one in asked:
        who = f"{one.user} {one.command} {one.id}"
        if (missing := one.sent - one.cut - len(one.told)) or one.answer is None:
            code = "extra_answer" if missing < 0 else "unanswered"
            findings.add(code, f"{who}: sent {one.sent} times, {one.cut} of these cut off, and {len(one.told)} replies")
        if one.answer is not None and not isinstance(one.answer, Accepted) and one.answer.code not in refusals:
            findings.add("unexpected_refusal", f"{who}: {one.answer.code}: {one.answer.detail}")
        _audit_replies(who, one.answers(), findings)


def _audit_replies(who: str, answers: list[TimedReply], findings: Findings) -> None:
    for before, after in pairwise(answers):
        if not _same(before.reply, after.reply):
            code = "two_answers" if before.life == after.life else "other_answer_after_kill"
            findings.add(code, f"{who}: {_words(before)}, then {_words(after)}")


def _same(before: Reply, after: Reply) -> bool:
    """A yes is repeated to the letter. A no keeps its code, unless it holds for a while only: until stock comes back, or until it opens."""
    if not isinstance(before, Accepted) and before.code in FOR_A_WHILE:
        return True
    if isinstance(before, Accepted) or isinstance(after, Accepted):
        return before == after
    return before.code == after.code


def _words(told: TimedReply) -> str:
    reply = told.reply
    words = f"accepted {reply.seq} {reply.result}" if isinstance(reply, Accepted) else f"refused {reply.code}"
    return f"{words} in life {told.life}"


def audit_streams(transcript: Transcript, kills: int, findings: Findings, ends: tuple[str, ...] = ("1006",)) -> None:
    """Check the viewers' streams. The server may close connections only at the end of one of its lives, with a code among `ends`."""
    for _ in range(transcript.gaps):
        findings.add("gap", "a delta began beyond its viewer's cursor")
    for _ in range(transcript.disorders):
        findings.add("gap", "seqs of a delta are out of order or outside its span")
    for _ in range(transcript.rewritten):
        findings.add("rewritten", "an event is not the one that was told at its seq before")
    for end in transcript.ends:
        if end.life >= kills or not end.words.startswith(ends):
            findings.add("disconnected", f"{end.user} in life {end.life}: {end.words}")
    for letter in transcript.letters:
        if letter.event.get("user") != letter.user:
            findings.add("shown_otherwise", f"{letter.user} got a personal event of {letter.event.get('user')} at seq {letter.seq}")


def audit_units(granted: int, expected: int, findings: Findings) -> None:
    """All units were granted, and no more."""
    if granted > expected:
        findings.add("oversold", f"{granted} of {expected}")
    elif granted < expected:
        findings.add("lost_unit", f"{granted} of {expected}")


def audit_told(code: str, what: str, told: set[Any], found: set[Any], findings: Findings) -> None:
    """The facts in customers' answers equal the facts found elsewhere."""
    for one in sorted(told - found):
        findings.add(code, f"{what}: {one} was told and is not there")
    for one in sorted(found - told):
        findings.add(code, f"{what}: {one} is there and was not told")


def repeated_after_kill(asked: Iterable[Asked]) -> int:
    """Command ids that had an answer before a kill and were asked again, and answered, after it."""
    return sum(len({told.life for told in one.answers()}) > 1 for one in asked)
