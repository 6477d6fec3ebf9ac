"""The prose of configuration files: comments behind `#`, comments of CSS, and the texts of alerts and dashboards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from docs.prose import markdown
from docs.prose.rules import Passage, hidden

__all__ = ["passages"]

#: A comment behind `#`, which begins the line or follows a blank outside quotes.
_COMMENT = re.compile(r"^((?:[^#\"'\n]|\"[^\"\n]*\"|'[^'\n]*'|(?<!\s)#)*?)(?<!\S)#(?!!) ?(.*)$")
_CSS_COMMENT = re.compile(r"/\*(.*?)\*/", re.DOTALL)
#: An annotation of an alert, or a text of a dashboard's panel, in YAML or JSON.
_TEXT = re.compile(r'^\s*"?(?:summary|meaning|action|description)"?:\s+(?:"((?:[^"\\]|\\.)*)"|([^"\s\[{>|].*?)),?\s*$')
_HOLE = re.compile(r"\{\{.*?\}\}")


def passages(path: str, text: str) -> Iterator[Passage]:
    """The prose of one file, by the format that its name says."""
    if path.endswith(".css"):
        for comment in _CSS_COMMENT.finditer(text):
            yield from _block(text.count("\n", 0, comment.start()) + 1, comment[1])
        return
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if found := _TEXT.match(line):
            yield from _block(number, _HOLE.sub(hidden("{}"), found[1] or found[2] or ""))
    if not path.endswith(".json"):
        yield from _comments(lines)


def _comments(lines: list[str]) -> Iterator[Passage]:
    """Comments, whole lines in a row as one text."""
    block: list[str] = []
    for number, line in enumerate([*lines, ""], 1):
        match = _COMMENT.match(line)
        whole = match is not None and not match[1].strip()
        if block and not whole:
            yield from _block(number - len(block), "\n".join(block))
            block = []
        if match is not None and whole:
            block.append(match[2])
        elif match is not None:
            yield from _block(number, match[2])


def _block(line: int, text: str) -> Iterator[Passage]:
    for passage in markdown.passages(text):
        lines = tuple((line + number - 1, words) for number, words in passage.lines)
        yield replace(passage, lines=lines, wraps=False)
