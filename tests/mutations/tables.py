"""Reads the tables of mutations in `tables/` and their results in `results.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

__all__ = ["RESULTS", "ROOT", "TABLES", "Mutation", "Result", "Results", "Table", "read_results", "read_tables", "write_results"]

ROOT: Final = Path(__file__).resolve().parents[2]
TABLES: Final = Path(__file__).parent / "tables"
RESULTS: Final = Path(__file__).parent / "results.json"


class Mutation(Struct, frozen=True, forbid_unknown_fields=True):
    """One broken rule: `find` occurs once in `file` and becomes `replace`. `area` groups the rows of a long table."""

    what: str
    find: str
    replace: str
    file: str = ""
    area: str = ""

    @property
    def name(self) -> str:
        """The name of the row, unique in its table."""
        return f"{self.area}: {self.what}" if self.area else self.what


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """Mutations that the same tests must notice.

    `file` is the file of all mutations that name none.
    `tests` are files of examples. `story` is a file with a random test, which runs by itself and may miss a mutation.
    """

    mutations: tuple[Mutation, ...]
    tests: tuple[str, ...]
    file: str = ""
    story: str = ""


class Result(Struct, frozen=True, omit_defaults=True):
    """The first failed test of a mutation, and whether the story failed; `None` if it did not run."""

    test: str
    story: bool | None = None


#: By name of the table and name of the mutation.
Results = dict[str, dict[str, Result]]


def read_tables(folder: Path = TABLES) -> dict[str, Table]:
    """All tables by the names of their files."""
    tables = {path.stem: msgspec.toml.decode(path.read_bytes(), type=Table) for path in sorted(folder.glob("*.toml"))}
    return {name: replace(one, mutations=tuple(replace(each, file=each.file or one.file) for each in one.mutations)) for name, one in tables.items()}


def read_results(path: Path = RESULTS) -> Results:
    """The results of the last runs."""
    return msgspec.json.decode(path.read_bytes(), type=Results) if path.exists() else {}


def write_results(results: Results, tables: dict[str, Table], path: Path = RESULTS) -> None:
    """Write results in the order of the tables, without results of mutations that are gone."""
    ordered = {
        name: {one.name: results[name][one.name] for one in table.mutations if one.name in results.get(name, {})} for name, table in tables.items()
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(ordered), indent=2) + b"\n")
