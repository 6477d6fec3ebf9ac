"""`python -m docs.prose` checks all prose; `python -m docs.prose FILE...` shows every finding of some files.

Files in `docs/prose/old.txt` still have old prose: their findings do not count, until they have none and leave the list.
`--tidy` takes clean files off that list and follows files that were moved.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from docs.prose import commits, javascript, markdown, python, ratchet
from docs.prose.rules import Finding, Passage, check

ROOT = Path(__file__).resolve().parents[2]
#: The two lists, by their paths from the root.
OLD = "docs/prose/old.txt"
ALLOWED = "docs/prose/allowed.toml"
#: Where prose is looked for, besides Markdown files at the top.
FOLDERS = ("deploy", "docs", "liveroom", "loadtests", "tests")
#: Where string literals are read by people: in the package and in the reference pages.
LITERALS = ("liveroom/", "docs/generate/")
SKIPPED = frozenset({"node_modules", "__pycache__", ".venv"})


def files(root: Path) -> list[str]:
    """Every file with prose, by its path from the root."""
    found = list(root.glob("*.md"))
    for folder in FOLDERS:
        found += [path for path in (root / folder).rglob("*") if reader(path.name) and not SKIPPED & set(path.parts)]
    return sorted(path.relative_to(root).as_posix() for path in found)


def reader(name: str) -> bool:
    """Whether a file of this name has prose."""
    return name.endswith((".md", ".py", ".js", ".mjs"))


def passages(path: str, text: str) -> Iterable[Passage]:
    """The prose of one file."""
    if path.endswith(".md"):
        return markdown.passages(text)
    if path.endswith(".py"):
        return python.passages(text, literals=path.startswith(LITERALS))
    return javascript.passages(text, words=path.endswith("words-en.js"))


def findings(root: Path, paths: Iterable[str]) -> dict[str, list[Finding]]:
    """The findings of each file."""
    return {path: _findings(path, (root / path).read_text(encoding="utf-8")) for path in paths}


def _findings(path: str, text: str) -> list[Finding]:
    return [finding for passage in passages(path, text) for finding in check(path, passage)]


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Check, or tidy the list; the exit code is 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m docs.prose", description="Checks the prose of this project.")
    parser.add_argument("paths", nargs="*", metavar="FILE", help="show every finding of these files or folders, old prose included")
    parser.add_argument("--tidy", action="store_true", help="take clean files off the list of old prose, and follow files that were moved")
    options = parser.parse_args(arguments)
    if options.paths:
        wanted = [Path(path).resolve().relative_to(root).as_posix() for path in options.paths]
        paths = [path for path in files(root) if any(path == w or path.startswith(f"{w}/") for w in wanted)]
        wrong = [str(f) for found in findings(root, paths).values() for f in found]
    else:
        found, old, allowed = findings(root, files(root)), ratchet.entries(root / OLD), ratchet.allowances(root / ALLOWED)
        if options.tidy:
            old = ratchet.tidied(found, old, allowed)
            head = [line for line in (root / OLD).read_text(encoding="utf-8").splitlines() if line.startswith("#")]
            (root / OLD).write_text("\n".join([*head, *old]) + "\n", encoding="utf-8")
        wrong = ratchet.judge(found, old, allowed) + [str(finding) for finding in commits.check(root)]
    for line in wrong:
        print(line)
    if wrong:
        print(f"prose: {len(wrong)} findings; CONTRIBUTING.md has the rules")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
