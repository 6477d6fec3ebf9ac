"""The tables of `docs/mutations.md`, from the mutations and their results."""

from __future__ import annotations

from docs.generate.words import table
from tests.mutations.tables import Mutation, Result, read_results, read_tables

__all__ = ["mutation_table"]

_NOT_RUN = Result("not run yet")


def mutation_table(name: str) -> str:
    """One table: its mutations, the test that failed for each, and whether the story failed, too."""
    mutations, results = read_tables()[name], read_results().get(name, {})
    columns = ["Area"] if any(one.area for one in mutations.mutations) else []
    columns += ["What was broken", "Test that saw it", *(["Story"] if mutations.story else [])]
    return table(columns, [_cells(one, results.get(one.name, _NOT_RUN), columns) for one in mutations.mutations])


def _cells(mutation: Mutation, result: Result, columns: list[str]) -> list[str]:
    cells = {
        "Area": mutation.area,
        "What was broken": mutation.what,
        "Test that saw it": f"`{result.test}`",
        "Story": {True: "yes", False: "no", None: ""}[result.story],
    }
    return [cells[column] for column in columns]
