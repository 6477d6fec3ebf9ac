"""The shape of the code: imports run one way, modules are short and say what they are."""

from __future__ import annotations

import ast
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


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_imports_run_one_way() -> None:
    """The contracts of pyproject.toml hold: who may import whom, and which library is used where."""
    pytest.importorskip("importlinter")
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


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
