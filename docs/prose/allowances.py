"""Single places that may break a rule, each with its reason."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from docs.prose.rules import Finding

__all__ = ["Allowance", "judge", "read"]


@dataclass(frozen=True)
class Allowance:
    """One place that may break a rule: every finding of `path` and `rule` with these words in it."""

    path: str
    rule: str
    words: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        """Whether the finding is the one meant."""
        return self.path == finding.path and self.rule == finding.rule and self.words in finding.words


def read(path: Path) -> list[Allowance]:
    """The allowances of a TOML file; raises KeyError or TypeError for one without a field or with an unknown one."""
    return [Allowance(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("allow", [])]


def judge(findings: Iterable[Finding], allowed: list[Allowance]) -> list[str]:
    """Everything that is wrong, in words: findings without an allowance, and allowances without a finding or a reason."""
    found = sorted(findings)
    wrong = [str(finding) for finding in found if not any(allowance.covers(finding) for allowance in allowed)]
    for allowance in allowed:
        if not any(allowance.covers(finding) for finding in found):
            wrong.append(f"{allowance.path}: an allowance is not used: {allowance.rule}: {allowance.words}")
        if not allowance.reason.strip():
            wrong.append(f"{allowance.path}: an allowance has no reason: {allowance.rule}: {allowance.words}")
    return wrong
