"""The prose of a Markdown file: everything but code, link targets, comments and generated parts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from docs.prose.rules import Passage, masked

__all__ = ["passages"]

_FENCE = re.compile(r"\s*(?:>\s*)*(?:[-*+]\s+|\d+[.)]\s+)?(```+|~~~+)")
_ITEM = re.compile(r"(\s*)(?:[-*+]|\d+[.)])\s+(?:\[[ xX]\]\s+)?")
_HEADING = re.compile(r"#{1,6}\s+")
_QUOTE = re.compile(r"\s*>\s?")
_TABLE_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_RULE = re.compile(r"\s*(?:-{3,}|={3,}|\*{3,})\s*$")
_DEFINITION = re.compile(r"\s*\[[^\]]+\]:\s")
_GENERATED = re.compile(r"<!-- begin [^\n]*?-->.*?<!-- end [^\n]*?-->", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")


def passages(text: str) -> Iterator[Passage]:
    """The paragraphs, list items, headings and table cells of a file."""
    for pattern in (_GENERATED, _COMMENT):
        text = pattern.sub(lambda match: "\n" * match[0].count("\n"), text)
    open_: list[tuple[int, str]] = []
    lines = list(_without_code(text))
    for index, (number, line) in enumerate(lines):
        body = _QUOTE.sub("", line)
        if not body.strip() or _DEFINITION.match(body) or _RULE.match(body):
            yield from _paragraph(open_)
        elif _HEADING.match(body):
            yield from _paragraph(open_)
            yield Passage(((number, _HEADING.sub("", body)),))
        elif body.lstrip().startswith("|"):
            yield from _paragraph(open_)
            heading = index + 1 < len(lines) and bool(_TABLE_RULE.match(_QUOTE.sub("", lines[index + 1][1])))
            yield from _cells(number, body, heading)
        else:
            if _ITEM.match(body):
                yield from _paragraph(open_)
                body = body[_ITEM.match(body).end() :]  # type: ignore[union-attr]
            open_.append((number, _TAG.sub("", body).lstrip()))
    yield from _paragraph(open_)


def _paragraph(lines: list[tuple[int, str]]) -> Iterator[Passage]:
    """The paragraph that was open, if there was one; the list is empty afterwards."""
    if lines:
        yield Passage(tuple(lines), wraps=True)
        lines.clear()


def _cells(number: int, row: str, heading: bool) -> Iterator[Passage]:
    shielded = masked(row.strip().strip("|")).replace("\\|", " ")
    for cell in shielded.split("|"):
        if cell.strip():
            yield Passage(((number, cell.strip()),), sentences=not heading)


def _without_code(text: str) -> Iterator[tuple[int, str]]:
    """The numbered lines outside of code; a block of code counts as an empty line."""
    fence = ""
    blank, in_list = True, False
    for number, line in enumerate(text.split("\n"), 1):
        if fence:
            if line.lstrip("> ").startswith(fence) and not line.lstrip("> ").strip(fence[0]).strip():
                fence = ""
            yield number, ""
        elif found := _FENCE.match(line):
            fence = found[1]
            yield number, ""
        elif line.startswith("    ") and blank and not in_list:
            yield number, ""
        else:
            if line.strip():
                in_list = bool(_ITEM.match(line)) or (in_list and line.startswith(" "))
            blank = not line.strip()
            yield number, line
