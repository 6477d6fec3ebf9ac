"""`python -m docs.generate` rewrites all generated files; with `--check` it only names the stale ones."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.generate import asyncapi, asyncapi_kafka
from docs.generate.tables import PARTS, endings_js
from docs.generate.yaml_text import yaml_text
from liveroom.console import openapi

DOCS = Path(__file__).resolve().parent.parent
CLIENT_JS = DOCS.parent / "liveroom" / "client" / "liveroom.js"


def generated() -> dict[Path, str]:
    """Every generated file with its current text."""
    files = {
        DOCS / "asyncapi.yaml": yaml_text(asyncapi.document()),
        DOCS / "asyncapi-kafka.yaml": yaml_text(asyncapi_kafka.document()),
        DOCS / "openapi.yaml": yaml_text(openapi.document()),
    }
    for part, (page, make) in PARTS.items():
        path = DOCS / page
        files[path] = _replaced(files.get(path) or path.read_text(encoding="utf-8"), part, make())
    files[CLIENT_JS] = _replaced(CLIENT_JS.read_text(encoding="utf-8"), "endings", endings_js(), "// {}", "\n")
    return files


def _replaced(page: str, part: str, text: str, comment: str = "<!-- {} -->", gap: str = "\n\n") -> str:
    """The page with `text` between the markers of a part; `comment` is the form of a comment in the page's language."""
    begin, end = comment.format(f"begin {part}: made by `python -m docs.generate`"), comment.format(f"end {part}")
    head, found, rest = page.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not found or not found_end:
        raise SystemExit(f"docs: the markers {begin!r} and {end!r} are missing")
    return f"{head}{begin}{gap}{text}{gap}{end}{tail}"


def main(arguments: list[str]) -> int:
    """Write the stale files, or only check; returns the exit code."""
    stale = [path for path, text in generated().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(DOCS.parent)} is stale: run `python -m docs.generate`")
        return 1 if stale else 0
    for path in stale:
        path.write_text(generated()[path], encoding="utf-8")
        print(f"{path.relative_to(DOCS.parent)} written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
