"""The whole audit of a storm: its answers, its streams, who got what, how it went, and what it cost the engine."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from loadtests.answers import audit_answers, audit_streams, repeated_after_kill
from loadtests.findings import Findings
from loadtests.journal import Journal
from loadtests.scenario import Case
from loadtests.scenarios import SCENARIOS

__all__ = ["Course", "Kill", "audit_storm"]

#: Commands that reach the engine whatever the storm: of the anchor, and of gateways about themselves.
ENGINE_COMMANDS_SPARE: Final = 100


class Kill(Struct):
    """How far the storm was when the server was killed."""

    granted: int
    answered: int
    unfinished: int


class Course(Struct):
    """How it went: the kills, the engine's commands by outcome, and the journal when the server is ours."""

    kills: list[Kill] = []
    commands: dict[str, int] = {}
    journal: Journal | None = None


def audit_storm(case: Case, course: Course) -> tuple[Findings, dict[str, Any]]:
    """What is wrong, and who got what."""
    options, scenario, findings = case.options, SCENARIOS[case.options.scenario], Findings()
    audit_answers(case.story.asked, scenario.refusals, findings)
    audit_streams(case.story, len(course.kills), findings)
    figures = scenario.audit(case, findings)
    if course.journal is not None and not course.journal.audit_ok:
        findings.add("audit_failed", course.journal.audit)
    if len(course.kills) < options.kills or not all(kill.unfinished for kill in course.kills):
        findings.add("kill_missing", f"{len(course.kills)} of {options.kills}: {course.kills}")
    if course.kills and not repeated_after_kill(case.story.asked):
        findings.add("kill_missing", "nobody asked again after it for what had been answered before")
    limit = options.units * scenario.engine_load + ENGINE_COMMANDS_SPARE
    limit += sum(len(one.told) - len(one.answers()) for one in case.story.asked)  # what was too slow is asked again
    commands = sum(course.commands.values())
    if commands > limit and course.journal is not None and not course.kills:  # else there may be others' commands, or many retries
        findings.add("engine_load", f"{commands} commands for {options.units} units, and at most {limit} were expected")
    return findings, figures
