"""Load tests started from the command line, and their reports."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from loadtests.__main__ import main

ROOT = Path(__file__).parents[2]


def run(*arguments: str, within_s: float = 120, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtests", *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


def refused(command: str, *arguments: str) -> str:
    """The words on standard error of a command that refuses its arguments with exit code 2; an exception would come through."""
    with contextlib.redirect_stderr(io.StringIO()) as words:
        try:
            code: object = main([command, *arguments])
        except SystemExit as ended:
            code = ended.code
    assert code == 2, words.getvalue()
    return words.getvalue()


class PageParser(HTMLParser):
    """Reads a report's page: titles of charts, the texts, and everything that would load another file."""

    def __init__(self) -> None:
        super().__init__()
        self.titles: set[str] = set()
        self.tags: Counter[str] = Counter()
        self.loads: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.loads += [f"{tag} {name}" for name, _ in attributes if name in ("src", "srcset", "href", "data", "action", "poster", "background")]
        self.loads += [tag] if tag in ("script", "link", "iframe", "object", "embed", "img", "base", "form") else []
        if tag == "svg":
            self.titles.add(str(dict(attributes)["aria-label"]).rpartition(",")[0])

    def handle_data(self, data: str) -> None:
        self.text += data


def read_page(text: str) -> PageParser:
    """A page that loads nothing: no script, no image, no style sheet, no link."""
    parser = PageParser()
    parser.feed(text)
    assert parser.loads == []
    assert not re.search(r"url\(|@import|javascript:", text)
    return parser


def charts_of(page: Path) -> set[str]:
    """The titles of the charts of a report's page."""
    return read_page(page.read_text(encoding="utf-8")).titles


def report_of(done: subprocess.CompletedProcess[str], file: Path, code: int | None = 0) -> dict[str, Any]:
    """The report of a run that ended with `code`, or with any; every part of it is explained."""
    assert code is None or done.returncode == code, done.stderr + done.stdout
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert json.loads(done.stdout) == report
    words = (ROOT / "docs" / "load-tests.md").read_text(encoding="utf-8")
    assert [name for name in report if f"`{name}`" not in words] == [], "every part of a report is explained"
    return report
