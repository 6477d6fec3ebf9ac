"""The tables of mutations fit the code, have results, and the runner finds what no test notices."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutations.run import mutated
from tests.mutations.tables import ROOT, Mutation, read_results, read_tables

TABLES = read_tables()
MUTATIONS = [(name, mutation) for name, table in TABLES.items() for mutation in table.mutations]
RULES = "liveroom/features/coupon/price.py"


@pytest.mark.parametrize(("table", "mutation"), MUTATIONS, ids=lambda value: value.name if isinstance(value, Mutation) else value)
def test_each_mutation_fits_the_code(table: str, mutation: Mutation) -> None:
    """Its text occurs exactly once in its file, and the file compiles with the replacement. After a refactoring, correct the entry."""
    text = mutated(mutation)
    assert text != (ROOT / mutation.file).read_text(encoding="utf-8")
    compile(text, mutation.file, "exec")


def test_names_are_unique_and_files_of_tests_exist() -> None:
    """A result belongs to one mutation, and no table names a file of tests that was moved."""
    for table in TABLES.values():
        names = [mutation.name for mutation in table.mutations]
        assert len(set(names)) == len(names)
        assert all((ROOT / file).is_file() for file in (*table.tests, *filter(None, (table.story,))))


def test_each_mutation_has_a_result_and_a_line_on_the_page() -> None:
    """Results name tests that exist. `python -m tests.mutations` writes results and page."""
    results = read_results()
    assert {name: list(found) for name, found in results.items()} == {name: [one.name for one in table.mutations] for name, table in TABLES.items()}
    page = (ROOT / "docs" / "mutations.md").read_text(encoding="utf-8")
    for name, table in TABLES.items():
        tests = set(_tests(table.tests))
        for mutation in table.mutations:
            found = results[name][mutation.name].test
            assert found in tests, f"{found} is in none of {table.tests}"
            assert f"| {mutation.what} | `{found}` |" in page


def _tests(files: tuple[str, ...]) -> Iterator[str]:
    for file in files:
        for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
            yield line.partition("def ")[2].partition("(")[0]


def run(folder: Path, find: str, replacement: str, *options: str) -> subprocess.CompletedProcess[str]:
    """The runner with a table of one mutation."""
    tests = "tests/features/coupon/test_price.py"
    table = f'file = "{RULES}"\ntests = ["{tests}"]\n\n[[mutations]]\nwhat = "A rule"\nfind = {find!r}\nreplace = {replacement!r}\n'
    (folder / "one.toml").write_text(table, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "tests.mutations", "--tables", str(folder), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_runner_fails_when_no_test_notices(tmp_path: Path) -> None:
    """A comparison that means the same as before survives, and the runner names it; the file in the tree stays as it was."""
    before = (ROOT / RULES).read_text(encoding="utf-8")
    done = run(tmp_path, "spend_fen >= terms.min_spend_fen", "not spend_fen < terms.min_spend_fen")
    assert (done.returncode, "not noticed: one: A rule\n" in done.stdout) == (1, True), done.stdout
    assert (ROOT / RULES).read_text(encoding="utf-8") == before


def test_the_runner_names_the_test_that_notices(tmp_path: Path) -> None:
    """A broken rule makes an example fail."""
    done = run(tmp_path, "spend_fen >= terms.min_spend_fen", "True")
    assert (done.returncode, "[1/1] one: A rule: test_discounts " in done.stdout) == (0, True), done.stdout


def test_a_test_that_never_ends_has_noticed(tmp_path: Path) -> None:
    """A mutation may loop without end. CPU time stops its test, so a busy machine stops no other."""
    done = run(tmp_path, "return spend_fen >= terms.min_spend_fen", "while True: pass", "--cpu-s-max=10")
    assert (done.returncode, "[1/1] one: A rule: test_discounts " in done.stdout) == (0, True), done.stdout


@pytest.mark.parametrize(
    ("find", "replacement", "why"),
    [
        ("no such text", "", "occurs 0 times"),
        ("return", "pass", "occurs 4 times"),
        ("return spend_fen >= terms.min_spend_fen", "return no_such_name", "NameError"),
        ("return spend_fen >= terms.min_spend_fen", "return (", "SyntaxError"),
    ],
)
def test_a_slip_in_a_table_is_no_broken_rule(tmp_path: Path, find: str, replacement: str, why: str) -> None:
    """Texts that are missing or ambiguous, and replacements that cannot run, count as mutations that no test noticed."""
    done = run(tmp_path, find, replacement)
    assert done.returncode == 1
    assert "not noticed: one: A rule (" in done.stdout
    assert why in done.stdout
