"""The prose of a Python file: docstrings, comments and, in the package, texts that people read."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, replace

from docs.prose import markdown
from docs.prose.rules import Passage, hidden

__all__ = ["passages"]

_NO_PROSE = re.compile(r"#(?:!|\s*(?:noqa|type:|pragma|ruff:|mypy:|fmt:))")
_STATEMENT = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|CREATE|PRAGMA|WITH|BEGIN|DROP|ALTER|COMMIT|REPLACE|VACUUM|ATTACH|local)\b")
_WORD = re.compile(r"(?<![\w-])[A-Za-z][a-z']*(?![\w-])")
#: A literal with fewer words is a name, a key or a format.
WORDS_MIN = 3
_HOLE = hidden("{}")


def passages(text: str, *, literals: bool) -> Iterator[Passage]:
    """Docstrings and comments, and with `literals` also all strings that look like prose."""
    tree = ast.parse(text)
    booleans = {node.lineno for node in ast.walk(tree) if isinstance(node, ast.AnnAssign) and _is_boolean(node.annotation)}
    yield from _comments(text, booleans)
    docstrings = _Docstrings()
    docstrings.visit(tree)
    yield from docstrings.found
    if literals:
        texts = _Texts(docstrings.nodes)
        texts.visit(tree)
        yield from texts.found


def _is_boolean(annotation: ast.expr | None) -> bool:
    return annotation is not None and any(isinstance(node, ast.Name) and node.id == "bool" for node in ast.walk(annotation))


def _block(line: int, text: str, *, boolean: bool = False) -> Iterator[Passage]:
    """The paragraphs of a text that begins on a line; lines may end anywhere in it."""
    for passage in markdown.passages(text):
        lines = tuple((line + number - 1, words) for number, words in passage.lines)
        yield replace(passage, lines=lines, wraps=False, boolean=boolean)


def _comments(text: str, booleans: set[int]) -> Iterator[Passage]:
    """Comments, whole lines in a row as one text."""
    block: list[str] = []
    last = column = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT or _NO_PROSE.match(token.string):
            continue
        line, at = token.start
        whole = not token.line[:at].strip()
        if block and not (whole and line == last + 1 and at == column):
            yield from _comment(last, block, booleans)
            block = []
        block.append(token.string.lstrip("#").removeprefix(":").removeprefix(" "))
        last, column = line, at if whole else -1
    if block:
        yield from _comment(last, block, booleans)


def _comment(last: int, block: list[str], booleans: set[int]) -> Iterator[Passage]:
    yield from _block(last - len(block) + 1, "\n".join(block), boolean=bool({last, last + 1} & booleans))


class _Docstrings(ast.NodeVisitor):
    """Collects the docstrings of modules, classes and functions."""

    def __init__(self) -> None:
        self.found: list[Passage] = []
        self.nodes: set[ast.expr] = set()

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                self.nodes.add(first.value)
                boolean = _is_boolean(getattr(node, "returns", None))
                self.found += _block(first.value.lineno, _dedented(first.value.value, first.value.col_offset), boolean=boolean)
        super().generic_visit(node)


def _dedented(docstring: str, margin: int) -> str:
    """The text without the indentation that its place in the file gives it, line for line."""
    first, *rest = docstring.split("\n")
    return "\n".join([first, *(line[min(margin, len(line) - len(line.lstrip())) :] for line in rest)])


@dataclass
class _Texts(ast.NodeVisitor):
    """Collects strings that look like prose, with a hole for each value that is put into them."""

    docstrings: set[ast.expr]

    def __post_init__(self) -> None:
        self.found: list[Passage] = []
        self._booleans = 0

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """The description of a setting is part of its type."""
        self._booleans += _is_boolean(node.annotation)
        self.generic_visit(node)
        self._booleans -= _is_boolean(node.annotation)

    def visit_Call(self, node: ast.Call) -> None:
        """Patterns are no prose."""
        if not (isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and node.func.value.id == "re"):
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """A string of its own."""
        self._add(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """An f-string is one text; what stands in its holes is looked at for itself."""
        self._add(node)
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Strings that are added are one text."""
        parts = _summands(node)
        if any(_text(part) is not None for part in parts):
            self._add(node)
            for part in parts:
                if _text(part) is None:
                    self.visit(part)
        else:
            self.generic_visit(node)

    def _add(self, node: ast.expr) -> None:
        if node in self.docstrings:
            return
        text = "".join(_HOLE if (words := _text(part)) is None else words for part in _summands(node))
        if len(_WORD.findall(text)) >= WORDS_MIN and " " in text and not _STATEMENT.match(text):
            self.found += _block(node.lineno, text, boolean=self._booleans > 0)


def _summands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_summands(node.left), *_summands(node.right)]
    return [node]


def _text(node: ast.expr) -> str | None:
    """The text of a literal; None for everything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(_HOLE if (words := _text(part)) is None else words for part in node.values)
    return None
