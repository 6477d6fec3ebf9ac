"""`python -m docs.prose` checks all prose; `python -m docs.prose FILE...` shows every finding of some files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from docs.prose import allowances, commits, config, javascript, markdown, python
from docs.prose.rules import Finding, Passage, check

ROOT = Path(__file__).resolve().parents[2]
#: The list of places that may break a rule, by its path from the root.
ALLOWED = "docs/prose/allowed.toml"
#: Where prose is looked for, besides these files at the top.
FOLDERS = (".ci", "deploy", "docs", "liveroom", "loadtests", "tests")
TOP = ("*.md", "Dockerfile", "Makefile", "pyproject.toml")
#: Where string literals are read by people: in the package, the command lines and the reference pages.
LITERALS = ("liveroom/", "loadtests/", "deploy/", "docs/generate/")
SKIPPED = frozenset({"node_modules", "__pycache__", ".venv"})
CODE = (".md", ".py", ".js", ".mjs")
CONFIG = (".yaml", ".yml", ".toml", ".cfg", ".css", "Dockerfile", "Makefile", "run", "newest", "dashboards/liveroom.json")
#: Reference documents that `make docs` writes from the classes, whose texts are checked there.
GENERATED = ("docs/asyncapi.yaml", "docs/asyncapi-kafka.yaml", "docs/openapi.yaml")


def files(root: Path) -> list[str]:
    """Every file with prose, by its path from the root."""
    found = {path for pattern in TOP for path in root.glob(pattern)}
    for folder in FOLDERS:
        found |= {path for path in (root / folder).rglob("*") if path.is_file() and not SKIPPED & set(path.relative_to(root).parts)}
    paths = sorted(path.relative_to(root).as_posix() for path in found)
    return [path for path in paths if path.endswith((*CODE, *CONFIG)) and path not in GENERATED]


def passages(path: str, text: str) -> Iterable[Passage]:
    """The prose of one file."""
    if path.endswith(".md"):
        return markdown.passages(text)
    if path.endswith(".py"):
        return python.passages(text, literals=path.startswith(LITERALS))
    if path.endswith((".js", ".mjs")):
        return javascript.passages(text, words=path.endswith("words-en.js"))
    return config.passages(path, text)


def findings(root: Path, paths: Iterable[str]) -> list[Finding]:
    """The findings of some files."""
    return [finding for path in paths for passage in passages(path, (root / path).read_text(encoding="utf-8")) for finding in check(path, passage)]


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Check all prose, or some files; the exit code is 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m docs.prose", description="Checks the prose of this project.")
    parser.add_argument("paths", nargs="*", metavar="FILE", help="check these files or folders alone, without the allowances")
    options = parser.parse_args(arguments)
    if options.paths:
        wanted = [Path(path).resolve().relative_to(root).as_posix() for path in options.paths]
        paths = [path for path in files(root) if any(path == w or path.startswith(f"{w}/") for w in wanted)]
        wrong = [str(finding) for finding in findings(root, paths)]
    else:
        wrong = allowances.judge(findings(root, files(root)), allowances.read(root / ALLOWED))
        wrong += [str(finding) for finding in commits.check(root)]
    for line in wrong:
        print(line)
    if wrong:
        print(f"prose: {len(wrong)} findings; CONTRIBUTING.md has the rules")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
