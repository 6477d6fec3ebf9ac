"""The two lists beside the rules: files with old prose, and single places that may break a rule."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from docs.prose.rules import Finding

__all__ = ["Allowance", "allowances", "entries", "judge", "tidied"]


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


def allowances(path: Path) -> list[Allowance]:
    """The allowances of a TOML file; raises KeyError or TypeError for one without a field or with an unknown one."""
    return [Allowance(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("allow", [])]


def entries(path: Path) -> list[str]:
    """The files on the list of old prose."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def judge(findings: Mapping[str, Iterable[Finding]], old: list[str], allowed: list[Allowance]) -> list[str]:
    """All that is wrong, in words: findings of files that are not on the list, and entries of both lists that nothing needs."""
    wrong: list[str] = []
    kept = {path: [f for f in found if not any(a.covers(f) for a in allowed)] for path, found in findings.items()}
    for path, found in sorted(kept.items()):
        if path not in old:
            wrong += [str(finding) for finding in sorted(found)]
    for path in old:
        if path not in kept:
            wrong.append(f"{path}: is on the list of old prose, but there is no such file")
        elif not kept[path]:
            wrong.append(f"{path}: has no finding any more: take it off the list of old prose")
    wrong += [f"{path}: is on the list of old prose twice" for path, times in Counter(old).items() if times > 1]
    if old != sorted(old):
        wrong.append("the list of old prose is not sorted")
    everything = [finding for found in findings.values() for finding in found]
    for allowance in allowed:
        if not any(allowance.covers(finding) for finding in everything):
            wrong.append(f"{allowance.path}: an allowance is not used: {allowance.rule}: {allowance.words}")
        if not allowance.reason.strip():
            wrong.append(f"{allowance.path}: an allowance has no reason: {allowance.rule}: {allowance.words}")
    return wrong


def tidied(findings: Mapping[str, Iterable[Finding]], old: list[str], allowed: list[Allowance]) -> list[str]:
    """The list without clean and lost files; an entry follows its file when that was moved and kept its name."""
    dirty = {path for path, found in findings.items() if any(not any(a.covers(f) for a in allowed) for f in found)}
    kept = {path for path in old if path in dirty}
    for lost in (path for path in old if path not in findings):
        moved = [path for path in dirty - kept if PurePosixPath(path).name == PurePosixPath(lost).name]
        if len(moved) == 1:
            kept.add(moved[0])
    return sorted(kept)
