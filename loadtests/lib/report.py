"""The report of a load test: JSON on standard output and in a file, and a page for people."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from loadtests.lib.recorder import Recorder
from loadtests.lib.report_page import Figure, page_of

__all__ = ["add_report_options", "report_file", "report_json", "write_files", "write_report"]


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """The options that name the files of a report."""
    parser.add_argument("--json", type=report_file, metavar="FILE", help="write the report there too")
    parser.add_argument("--html", type=report_file, metavar="FILE", help="write the report there as a page, with charts over time")
    parser.set_defaults(program=parser.prog)


def report_file(text: str) -> Path:
    """An argument that names a file to write: its directory has to be there before the test runs, not after."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text} cannot be written: no such directory, or it is one")
    return path


def write_report(report: dict[str, Any], options: argparse.Namespace, recorder: Recorder, figures: Sequence[Figure]) -> None:
    """Write a report as JSON to standard output, and to the files of `add_report_options`."""
    print(report_json(report).decode(), end="")
    write_files(report, options, recorder, figures)


def write_files(report: dict[str, Any], options: argparse.Namespace, recorder: Recorder, figures: Sequence[Figure]) -> None:
    """Write a report to the files of `add_report_options` alone."""
    if options.json is not None:
        options.json.write_bytes(report_json(report))
    if options.html is not None:
        command = shlex.join(["python", "-m", "loadtests", *sys.argv[1:]])
        title = options.program.removeprefix("python -m loadtests ")
        options.html.write_text(page_of(title, command, report, recorder, figures), encoding="utf-8")


def report_json(report: dict[str, Any]) -> bytes:
    """A report as JSON with indentation."""
    return orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE)
