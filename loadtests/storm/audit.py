"""The whole audit of a storm: its answers, its streams, who got what, how it went, and what it cost the engine."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from loadtests.lib.findings import Findings
from loadtests.lib.journal import JournalCheck
from loadtests.storm.reply_audit import audit_answers, audit_streams, repeated_after_kill
from loadtests.storm.scenario import Case
from loadtests.storm.scenarios import SCENARIOS

__all__ = ["Course", "Kill", "audit_storm"]

#: Commands that reach the engine whatever the storm: of the anchor, and of gateways about themselves.
ENGINE_COMMANDS_SPARE: Final = 100
#: Commands that reach the engine for each that is granted: its retries, its user's other taps, and others sent along by the margin.
ENGINE_COMMANDS_GRANTED: Final = 3


class Kill(Struct):
    """How far the storm was when the server was killed."""

    granted: int
    answered: int
    unfinished: int


class Course(Struct):
    """How it went: the kills, the engine's commands by outcome, why there is no ledger, and the journal when the server is ours."""

    kills: list[Kill] = []
    commands: dict[str, int] = {}
    ledger_broken: str = ""
    journal: JournalCheck | None = None


def audit_storm(case: Case, course: Course) -> tuple[Findings, dict[str, Any]]:
    """The findings, and the grants of each user."""
    options, scenario, findings = case.options, SCENARIOS[case.options.scenario], Findings()
    audit_answers(case.transcript.asked, scenario.refusals, findings)
    audit_streams(case.transcript, len(course.kills), findings)
    figures = scenario.audit(case, findings)
    if course.ledger_broken:
        findings.add("audit_failed", course.ledger_broken)
    if course.journal is not None and not course.journal.audit_ok:
        findings.add("audit_failed", course.journal.audit)
    if len(course.kills) < options.kills or not all(kill.unfinished for kill in course.kills):
        findings.add("kill_missing", f"{len(course.kills)} of {options.kills}: {course.kills}")
    if course.kills and not repeated_after_kill(case.transcript.asked):
        findings.add("kill_missing", "no user repeated an answered command after it")
    commands, limit = sum(course.commands.values()), _engine_commands_max(case)
    if commands > limit and course.journal is not None and not course.kills:  # else there may be others' commands, or many retries
        findings.add("engine_load", f"{commands} commands, and at most {limit} were expected")
    return findings, figures


def _engine_commands_max(case: Case) -> int:
    """Some for each command that was granted, and those that were asked again because the server was too busy."""
    asked = case.transcript.asked
    return (
        ENGINE_COMMANDS_SPARE
        + ENGINE_COMMANDS_GRANTED * sum(one.granted is not None for one in asked)
        + sum(len(one.told) - len(one.answers()) for one in asked)
    )
