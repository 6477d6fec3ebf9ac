"""The prose of a JavaScript file: comments that have lines of their own and, in the English word list, all words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from docs.prose import markdown
from docs.prose.rules import Passage, hidden

__all__ = ["passages"]

_COMMENT = re.compile(r"^[ \t]*(?:/\*.*?\*/|(?://[^\n]*\n?[ \t]*)+)", re.DOTALL | re.MULTILINE)
_MARK = re.compile(r"^[ \t]*(?:/\*\*?|//|\*(?!/)) ?|[ \t]*\*/[ \t]*$")
#: A tag such as `@param` begins a text of its own, as an item of a list does.
_TAG = re.compile(r"^@\w+\s*(?:\{.*?\}\s*)?")
_GENERATED = re.compile(r"// begin [^\n]*\n.*?// end [^\n]*", re.DOTALL)
_STRING = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|`(?:[^`\\]|\\.)*`|'(?:[^'\\\n]|\\.)*'")
_HOLE = re.compile(r"\{\w+\}|\$\{[^}]*\}")


def passages(text: str, *, words: bool) -> Iterator[Passage]:
    """Comments, and with `words` also the texts of a word list."""
    text = _GENERATED.sub(lambda match: "\n" * match[0].count("\n"), text)
    for match in _COMMENT.finditer(text):
        lines = [_TAG.sub("- ", _MARK.sub("", _MARK.sub("", line))) for line in match[0].rstrip().split("\n")]
        yield from _block(text.count("\n", 0, match.start()) + 1, "\n".join(lines))
    if words:
        rest = _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), text)
        for match in _STRING.finditer(rest):
            if " " in match[0]:
                line = rest.count("\n", 0, match.start()) + 1
                yield from _block(line, _HOLE.sub(hidden("{}"), match[0][1:-1]))


def _block(line: int, text: str) -> Iterator[Passage]:
    for passage in markdown.passages(text):
        lines = tuple((line + number - 1, words) for number, words in passage.lines)
        yield replace(passage, lines=lines, wraps=False)
