"""The registries of refusals and close codes, and the tree of exceptions."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

import liveroom
from liveroom.console.problems import HTTP_PROBLEMS as PROBLEMS
from liveroom.messages import errors
from liveroom.messages.errors import CLOSE_CODES, COMMON_REFUSALS, BadMessage, BadToken, LiveroomError
from liveroom.protocol.commands import COMMANDS
from liveroom.protocol.events import EVENTS
from liveroom.protocol.refusals import REFUSALS

PACKAGE = Path(liveroom.__file__).parent


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_has_a_name_a_status_and_a_meaning(code: str) -> None:
    """Codes are snake_case, statuses are errors of HTTP, meanings are words."""
    status, words = REFUSALS[code]
    assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", code)
    assert 400 <= HTTPStatus(status) < 600
    assert words
    assert not words.endswith(".")


def test_close_codes_tell_by_their_range_whether_to_reconnect() -> None:
    """4000-4499 mean reconnect, 4500-4999 do not; names are unique; the words agree with the range."""
    assert len({name for name, _ in CLOSE_CODES.values()}) == len(CLOSE_CODES)
    for code, (name, words) in CLOSE_CODES.items():
        assert code in (1000, 1009, 1012) or 4000 <= code < 5000
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        if 4000 <= code < 4500:
            assert "reconnect" in words
        elif code >= 4500:
            assert "reconnect" not in words.replace("do not reconnect", "")


def test_the_registries_cannot_be_changed() -> None:
    """Codes are part of the protocol: nothing adds one while running."""
    with pytest.raises(TypeError):
        COMMON_REFUSALS["new"] = (400, "")  # type: ignore[index]
    with pytest.raises(TypeError):
        REFUSALS["new"] = (400, "")  # type: ignore[index]
    with pytest.raises(TypeError):
        CLOSE_CODES[4999] = ("", "")  # type: ignore[index]


def test_every_exception_is_in_the_tree_of_the_docstring() -> None:
    """The module's drawing shows each exception under its base, and `__all__` names it."""
    drawn = re.findall(r"^ {4}[│├└─ ]*([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)
    defined = [name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, LiveroomError)]
    assert sorted(drawn) == sorted(defined)
    assert set(defined) <= set(errors.__all__)


def test_an_exception_takes_only_codes_of_its_own() -> None:
    """A code that no client knows is a bug where it is raised."""
    with pytest.raises(AssertionError):
        BadMessage("nope", "")
    with pytest.raises(AssertionError):
        BadToken("muted", "")
    assert str(BadMessage("too_long", "a text is too long", "text")) == "too_long: a text is too long"


def _strings_of_calls(name: str) -> set[str]:
    """The texts that calls of `name` anywhere in the package have as first argument or as `code`."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == name:
                arguments = node.args[:1] + [keyword.value for keyword in node.keywords if keyword.arg == "code"]
                found |= {a.value for a in arguments if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return found


def test_refusals_in_the_code_are_registered() -> None:
    """Every code that is written down where a command is refused is in the registry."""
    assert _strings_of_calls("BadMessage") <= set(REFUSALS)
    assert _strings_of_calls("Refused") <= set(REFUSALS)
    assert _strings_of_calls("Refusal") - {"malformed", "path", "origin", "no_websocket", "full", "address"} <= set(REFUSALS)


def _close_codes_of_calls() -> set[int]:
    found: set[int] = set()
    for path in (PACKAGE / "gateway").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and type(node.value) is int and 4000 <= node.value < 5000:
                found.add(node.value)
    return found


def test_close_codes_in_the_gateway_are_registered_and_all_used() -> None:
    """The gateway closes with registered codes only, and there is no code that it never uses."""
    mentioned = _close_codes_of_calls() - {4096}  # a number of bytes
    assert mentioned == {code for code in CLOSE_CODES if code >= 4000}


def test_every_refusal_is_used() -> None:
    """There is no code that nothing in the package can answer with."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if path.name not in ("errors.py", "messages.py"))
    assert not [code for code in REFUSALS if f'"{code}"' not in text]


ROOT = PACKAGE.parent
PYTHON = [path for part in ("liveroom", "loadtests", "deploy", "tests") for path in sorted((ROOT / part).rglob("*.py"))]
SCRIPTS = sorted((PACKAGE / "client").glob("*.js")) + sorted((PACKAGE / "console" / "static").rglob("*.js"))
KNOWN = {*REFUSALS, *PROBLEMS, ""}


def _texts(node: ast.AST) -> list[str]:
    """The texts of a literal: one, or all of a list of nothing but texts."""
    nodes = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    texts = [one.value for one in nodes if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return texts if len(texts) == len(nodes) else []


def _is_a_code(node: ast.AST) -> bool:
    """`refusal.code`, `reply["code"]` or `reply.get("code")`."""
    if isinstance(node, ast.Attribute):
        return node.attr == "code"
    if isinstance(node, ast.Subscript):
        return _texts(node.slice) == ["code"]
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and _texts(node.args[0])[:1] == ["code"]


def _codes_mentioned(text: str) -> Iterator[str]:
    """Strings that a code is compared with in Python, and the members of lists that mostly hold codes."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Compare) and _is_a_code(node.left):
            yield from (code for other in node.comparators for code in _texts(other) if code)
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            texts = set(_texts(node)) - {*COMMANDS, *EVENTS}
            if len(texts & set(REFUSALS)) > len(texts) / 2:
                yield from texts


def test_codes_that_others_compare_with_are_registered() -> None:
    """Load tests, the demo, clients and tests name no refusal that does not exist."""
    mentioned = {path: set(_codes_mentioned(path.read_text(encoding="utf-8"))) for path in PYTHON if path != Path(__file__)}
    assert sum(len(codes & set(REFUSALS)) for codes in mentioned.values()) > len(REFUSALS)
    assert not {path: unknown for path, codes in mentioned.items() if (unknown := codes - KNOWN)}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_codes_that_scripts_compare_with_are_registered(path: Path) -> None:
    """The same for the pages and for liveroom.js; words for refusals are words for codes, with or without a field."""
    text = path.read_text(encoding="utf-8")
    compared = set(re.findall(r'\bcode\)? [!=]== "(\w+)"', text))
    for listed in re.findall(r"CODES? = new Set\(\[([^\]]*)\]\)|UNDECIDED = new Set\(\[([^\]]*)\]\)", text):
        compared |= set(re.findall(r'"(\w+)"', "".join(listed)))
    assert not compared - KNOWN
    worded = set(re.findall(r"^  refused_(\w+):", text, re.MULTILINE)) - {"unanswered", "closed"}  # the clients' own errors
    assert not [key for key in worded if not any(key == code or key.startswith(f"{code}_") for code in (*REFUSALS, *PROBLEMS))]


def test_alerts_name_refusals_that_exist() -> None:
    """`liveroom_gateway_refusals_total` counts by code."""
    text = (ROOT / "deploy" / "prometheus" / "rules.yml").read_text(encoding="utf-8")
    named = re.findall(r'refusals_total\{code="(\w+)"\}', text)
    assert named
    assert set(named) <= set(REFUSALS)


def test_a_code_that_went_is_found() -> None:
    """In a comparison of any form, and in a list of codes."""
    assert set(_codes_mentioned('assert reply.code == "gone_a"; reply["code"] in ("gone_b", "muted"); answer.get("code") != "gone_c"')) >= {
        "gone_a",
        "gone_b",
        "gone_c",
    }
    assert "gone_d" in set(_codes_mentioned('LIST = frozenset({"gone_d", "sold_out", "muted"})'))
    assert not set(_codes_mentioned('EVENTS = ("hold_confirmed", "stock_reserved", "chat_sent")')) - set(REFUSALS)
