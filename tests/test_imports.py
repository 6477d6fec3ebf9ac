"""The shape of the code: imports run one way, modules are short and have docstrings."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import liveroom

ROOT = Path(liveroom.__file__).parents[1]
MODULES = sorted(p for name in ("liveroom", "loadtests", "tests", "docs", "deploy") for p in (ROOT / name).rglob("*.py"))
SOURCES = [p for p in MODULES if "tests" not in p.relative_to(ROOT).parts]

LINES_MAX = 500
FUNCTION_LINES_MAX = 70

#: Folders whose tests never sleep for a fixed time: they wait for a condition in a loop, or move a clock (`tests/clock.py`).
AWAKE = ("client", "console", "gateway")
#: Functions of these folders that may sleep, and why.
SLEEPERS = {
    "tests/client/test_room.py:test_a_paused_application_is_no_silence_of_the_server": "the client has no clock that can be moved",
    "tests/client/test_room.py:token": "it never answers",
    "tests/gateway/test_connection.py:test_garbage_of_every_kind_leaves_the_others_alone": "some clients close only after the gateway has read",
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_imports_run_one_way() -> None:
    """The contracts of pyproject.toml hold: allowed imports between packages, and of libraries."""
    pytest.importorskip("importlinter")
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


#: Places that may name a feature that moves money: the features themselves, their accounts, and the demo.
NAMING = ("features", "accounting", "demo")


def test_no_other_module_names_a_feature_that_moves_money() -> None:
    """Everything outside loops over the list of features, so a new one changes nothing there."""
    package = ROOT / "liveroom"
    others = [path for path in package.rglob("*.py") if not path.relative_to(package).as_posix().startswith(NAMING)]
    assert len(others) > 100
    naming = {
        path.relative_to(package).as_posix()
        for path in others
        if re.search(r"(?i)red.?envelope|coupon|flash.?sale", path.read_text(encoding="utf-8"))
    }
    assert not naming


@pytest.mark.parametrize("path", [p for p in MODULES if p.stat().st_size], ids=name_of)
def test_a_module_says_what_it_is(path: Path) -> None:
    """Every module begins with a docstring and has at most 500 lines."""
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "has no docstring"
    assert text.count("\n") <= LINES_MAX, f"has {text.count(chr(10))} lines"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_functions_are_short(path: Path) -> None:
    """No function has more than 70 lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name != "__main__.py" and p.is_relative_to(ROOT / "liveroom")], ids=name_of)
def test_what_others_use_is_described(path: Path) -> None:
    """Every public class and function of the package has a docstring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            for inner in (node, *node.body):
                if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
                    assert inner.name.startswith("_") or ast.get_docstring(inner) or _overrides(node), f"{node.name}.{inner.name}"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


def _overrides(node: ast.ClassDef) -> bool:
    """Methods of a class that has bases may carry on their base's words."""
    return bool(node.bases)


def _is_long_sleep(call: str) -> bool:
    return call.startswith(("asyncio.sleep(", "time.sleep(")) and call != "asyncio.sleep(0)"


def _fixed_sleeps(path: Path) -> set[str]:
    """The functions that sleep for more than one turn of the event loop, except between two looks of a `while` loop."""
    found: set[str] = set()

    def look(node: ast.AST, function: str, waits: bool) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function, waits = node.name, False
        elif isinstance(node, ast.While):
            waits = True
        elif isinstance(node, ast.Call) and not waits and _is_long_sleep(ast.unparse(node)):
            found.add(f"{name_of(path)}:{function}")
        for child in ast.iter_child_nodes(node):
            look(child, function, waits)

    look(ast.parse(path.read_text(encoding="utf-8")), "", False)
    return found


def test_tests_wait_for_conditions_and_not_for_fixed_times() -> None:
    """No test of these folders sleeps for a fixed time, except the listed ones; every listed one does."""
    found = set().union(*(_fixed_sleeps(path) for folder in AWAKE for path in (ROOT / "tests" / folder).rglob("*.py")))
    assert found == SLEEPERS.keys()
