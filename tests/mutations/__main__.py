"""`python -m tests.mutations` breaks each rule of the tables, runs its tests, and writes `docs/mutations.md`.

It fails if a mutation survives: all tests pass with the rule broken, so no test checks the rule.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from time import monotonic

import pytest_asyncio  # noqa: F401  # imported here, so that no child has to
from msgspec import Struct
from msgspec.structs import replace

from tests.mutations.run import CPU_S_MAX, Outcome, run_tests
from tests.mutations.tables import TABLES, Mutation, Result, Table, read_results, read_tables, write_results


class _Verdict(Struct, frozen=True):
    """Outcomes of the examples and of the story for one mutation."""

    examples: Outcome
    story: bool
    seconds: float


def _check(table: Table, mutation: Mutation, cpu_s_max: int) -> _Verdict:
    begun = monotonic()
    examples = run_tests(table.tests, mutation, cpu_s_max)
    story = run_tests((table.story,), mutation, cpu_s_max) if table.story and not examples.trouble else Outcome("", "", "")
    if story.trouble:
        examples = story
    return _Verdict(examples, bool(story.failed), monotonic() - begun)


def main(arguments: Sequence[str]) -> int:
    """Run the chosen mutations; the exit code is 1 if one survives or cannot be run."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description="Break each rule of the tables and see a test fail.")
    parser.add_argument("--only", metavar="TEXT", default="", help="only mutations with this text in `table: name`")
    parser.add_argument("--missing", action="store_true", help="only mutations without a result")
    parser.add_argument("--jobs", type=int, default=1, help="mutations that run at the same time (default: 1)")
    parser.add_argument("--cpu-s-max", type=int, default=CPU_S_MAX, help=f"CPU time of a run that never ends (default: {CPU_S_MAX})")
    parser.add_argument("--no-story", action="store_true", help="run the examples alone, and keep what is known of the stories")
    parser.add_argument("--tables", type=Path, metavar="FOLDER", help="read the tables from this folder, and write no results")
    options = parser.parse_args(arguments)
    tables = read_tables(options.tables or TABLES)
    chosen = [(name, one) for name, table in tables.items() for one in table.mutations if options.only.lower() in f"{name}: {one.name}".lower()]
    if options.no_story:
        tables = {name: replace(table, story="") for name, table in tables.items()}
    if options.missing:
        results = read_results()
        chosen = [(name, one) for name, one in chosen if not _is_known(tables[name], results.get(name, {}).get(one.name))]
    if not chosen:
        print("there is no such mutation")
        return 1
    with ProcessPoolExecutor(options.jobs, get_context("fork")) as pool:
        if not _all_pass(pool, [tables[name] for name in dict.fromkeys(name for name, _ in chosen)]):
            return 1
        survivors = _run(pool, tables, chosen, options.cpu_s_max, write=options.tables is None)
    if options.tables is None:
        _write_page()
    for survivor in survivors:
        print(f"not noticed: {survivor}")
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutations were noticed")
    return 1 if survivors else 0


def _is_known(table: Table, result: Result | None) -> bool:
    return result is not None and (result.story is not None or not table.story)


def _all_pass(pool: ProcessPoolExecutor, tables: list[Table]) -> bool:
    """Whether all tests pass with no rule broken."""
    runs = {files: pool.submit(run_tests, files) for table in tables for files in (table.tests, (table.story,)) if files != ("",)}
    for files, run in runs.items():
        outcome = run.result()
        if outcome.failed or outcome.trouble:
            print(f"{outcome.output}\nwithout a mutation: {outcome.failed or outcome.trouble} in {', '.join(files)}")
            return False
    return True


def _run(pool: ProcessPoolExecutor, tables: dict[str, Table], chosen: list[tuple[str, Mutation]], cpu_s_max: int, *, write: bool) -> list[str]:
    """The mutations that no example noticed. Each result is written at once, so an interrupted run loses none."""
    runs = {pool.submit(_check, tables[name], one, cpu_s_max): (name, one) for name, one in chosen}
    survivors: list[str] = []
    for count, run in enumerate(as_completed(runs), 1):
        (name, mutation), verdict = runs[run], run.result()
        examples = verdict.examples
        results = read_results() if write else {}
        known = results.setdefault(name, {}).pop(mutation.name, Result(""))
        if examples.trouble or not examples.failed:
            survivors.append(f"{name}: {mutation.name}{f' ({examples.trouble})' if examples.trouble else ''}")
        else:
            results[name][mutation.name] = Result(examples.failed, verdict.story if tables[name].story else known.story)
        if write:
            write_results(results, tables)
        seen = examples.trouble or examples.failed or "NOT NOTICED"
        print(f"[{count}/{len(chosen)}] {name}: {mutation.name}: {seen}{', story' if verdict.story else ''} ({verdict.seconds:.1f} s)", flush=True)
    return survivors


def _write_page() -> None:
    """Write the page. Only now may this process import the code that the page's generator needs."""
    from docs.generate.__main__ import DOCS, generated

    page = DOCS / "mutations.md"
    page.write_text(generated()[page], encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
