"""`python -m docs.generate` rewrites what is made from the classes; with `--check` it only says what is stale."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.generate import asyncapi, asyncapi_kafka
from docs.generate.tables import PARTS
from liveroom.console import openapi

DOCS = Path(__file__).resolve().parent.parent


def generated() -> dict[Path, str]:
    """Every generated file with the text that it should have."""
    files = {
        DOCS / "asyncapi.yaml": asyncapi.text(),
        DOCS / "asyncapi-kafka.yaml": asyncapi_kafka.text(),
        DOCS / "openapi.yaml": openapi.document_yaml(),
    }
    for part, (page, make) in PARTS.items():
        path = DOCS / page
        files[path] = _replaced(files.get(path) or path.read_text(encoding="utf-8"), part, make())
    return files


def _replaced(page: str, part: str, text: str) -> str:
    begin, end = f"<!-- begin {part}: made by `python -m docs.generate` -->", f"<!-- end {part} -->"
    head, found, rest = page.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not found or not found_end:
        raise SystemExit(f"docs: the markers {begin!r} and {end!r} are missing")
    return f"{head}{begin}\n\n{text}\n\n{end}{tail}"


def main(arguments: list[str]) -> int:
    """Write, or check when asked; returns the exit code."""
    stale = [path for path, text in generated().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        for path in stale:
            print(f"docs/{path.name} is stale: run `python -m docs.generate`")
        return 1 if stale else 0
    for path in stale:
        path.write_text(generated()[path], encoding="utf-8")
        print(f"docs/{path.name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
