"""The subjects of the newest commits, where git and a history are there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from docs.prose.rules import Finding

__all__ = ["SUBJECT_MAX", "check"]

#: The most characters of a commit's subject.
SUBJECT_MAX = 72
#: This many commits are looked at, and all that the branch `main` does not have.
COMMITS = 20


def check(root: Path) -> Iterator[Finding]:
    """Every new commit whose subject is too long; nothing for a source archive."""
    top = _git(root, "rev-parse", "--show-toplevel").strip()
    if not top or Path(top).resolve() != root.resolve():
        return
    newest = _git(root, "log", "--no-merges", f"--max-count={COMMITS}", "--format=%h%x09%s")
    branch = _git(root, "log", "--no-merges", "main..HEAD", "--format=%h%x09%s")
    for entry in dict.fromkeys([*newest.splitlines(), *branch.splitlines()]):
        commit, _, subject = entry.partition("\t")
        if len(subject) > SUBJECT_MAX:
            yield Finding(f"commit {commit}", 1, "subject", subject, f"{len(subject)} characters, at most {SUBJECT_MAX}")


def _git(root: Path, *arguments: str) -> str:
    """The output of git; empty if there is no git, no repository or no such branch."""
    try:
        run = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return ""
    return run.stdout if run.returncode == 0 else ""
