"""The registries of refusals and close codes, and the tree of exceptions."""

from __future__ import annotations

import ast
import inspect
import re
from http import HTTPStatus
from pathlib import Path

import pytest

import liveroom
from liveroom import errors
from liveroom.errors import CLOSE_CODES, REFUSALS, BadMessage, BadToken, LiveroomError

PACKAGE = Path(liveroom.__file__).parent


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_has_a_name_a_status_and_a_meaning(code: str) -> None:
    """Codes are snake_case, statuses are errors of HTTP, meanings are words."""
    status, words = REFUSALS[code]
    assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", code)
    assert 400 <= HTTPStatus(status) < 600
    assert words
    assert not words.endswith(".")


def test_close_codes_tell_by_their_range_whether_to_come_back() -> None:
    """4000-4499 mean come back, 4500-4999 do not; names are unique; the words agree with the range."""
    assert len({name for name, _ in CLOSE_CODES.values()}) == len(CLOSE_CODES)
    for code, (name, words) in CLOSE_CODES.items():
        assert code in (1000, 1009, 1012) or 4000 <= code < 5000
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        if 4000 <= code < 4500:
            assert "come back" in words
        elif code >= 4500:
            assert "come back" not in words.replace("do not come back", "")


def test_the_registries_cannot_be_changed() -> None:
    """Codes are part of the protocol: nothing adds one while running."""
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
    text = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if path.name != "errors.py")
    assert not [code for code in REFUSALS if f'"{code}"' not in text]
