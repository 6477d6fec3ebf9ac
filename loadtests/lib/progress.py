"""Progress while a load test runs, on standard error: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final

try:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
except ImportError:
    sys.exit("loadtests: rich is not installed; load tests need more than the server: pip install -e '.[load]'")

__all__ = ["Bar"]

LINE_EVERY_S: Final = 5.0


class Bar:
    """One bar; `stage` begins another part of the test."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description:<10}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[words]}"))
        self._progress = Progress(*columns, TimeElapsedColumn(), console=self._console, transient=True, disable=not self._console.is_terminal)
        self._task: TaskID | None = None
        self._name = ""
        self._total = 0.0
        self._said_s = 0.0

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def stage(self, name: str, total: float) -> None:
        """A new part, `total` units long."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._name, self._total, self._said_s = name, total, time.monotonic()
        self._task = self._progress.add_task(name, total=total, words="")

    def update(self, done: float, words: str = "") -> None:
        """So much of the part is done."""
        assert self._task is not None, "a stage comes first"
        self._progress.update(self._task, completed=done, words=words)
        if not self._console.is_terminal and time.monotonic() - self._said_s >= LINE_EVERY_S:
            self._said_s = time.monotonic()
            print(f"{self._name}: {done:.0f}/{self._total:.0f} {words}".rstrip(), file=sys.stderr)
