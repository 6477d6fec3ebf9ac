"""Runs tests against a mutated module, in a forked process that imports the mutated text in place of the file.

The parent has imported pytest and other packages, and nothing of liveroom. Each child starts from there and edits no file.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from resource import RLIMIT_CPU, setrlimit
from signal import SIGXCPU
from types import CodeType, ModuleType
from typing import Any, Final

import msgspec
import pytest
from hypothesis import Phase, settings
from msgspec import Struct

from tests.mutations.tables import ROOT, Mutation

__all__ = ["CPU_S_MAX", "Outcome", "mutated", "run_tests"]

#: A mutation may loop without end. Tests that use up this CPU time have noticed it, however busy the machine is.
CPU_S_MAX: Final = 120
#: Longest wait for a test to end.
TIMEOUT_S: Final = 3_600.0
#: A mutation that fails with one of these is a slip in the table and breaks no rule.
SLIPS: Final = (ImportError, NameError, SyntaxError)


class Outcome(Struct, frozen=True):
    """The first failed test, or "" if all passed; `trouble` says why the run proves nothing, and `output` is pytest's."""

    failed: str
    trouble: str
    output: str


class _Report(Struct):
    """Sent by the child before each test and at the end."""

    test: str = ""
    failed: str = ""
    trouble: str = ""
    done: bool = False


def mutated(mutation: Mutation) -> str:
    """The text of the file with the mutation; raises `ValueError` unless `find` occurs exactly once."""
    text = (ROOT / mutation.file).read_text(encoding="utf-8")
    count = text.count(mutation.find)
    if count != 1:
        raise ValueError(f"{mutation.find!r} occurs {count} times in {mutation.file}")
    return text.replace(mutation.find, mutation.replace)


def run_tests(files: Sequence[str], mutation: Mutation | None = None, cpu_s_max: int = CPU_S_MAX) -> Outcome:
    """Run test files up to the first failure, against a mutation or the code as it is."""
    try:
        module, text = (_module(mutation.file), mutated(mutation)) if mutation else ("", "")
    except ValueError as error:
        return Outcome("", str(error), "")
    fork = get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        child = fork.Process(target=_child, args=(files, module, text, cpu_s_max, sender, output.fileno()))
        child.start()
        sender.close()
        report = _follow(receiver)
        if report.done or report.trouble:
            child.kill()
        child.join()
        if not report.done and child.exitcode == -SIGXCPU and report.test:
            report = _Report(failed=report.test)
        elif not report.done:
            report.trouble = report.trouble or f"the process of the tests ended with code {child.exitcode}"
        output.seek(0)
        return Outcome(report.failed, report.trouble, output.read())


def _follow(receiver: Connection) -> _Report:
    """The last report of a child. It is not `done` if the child ended early or took too long."""
    last = _Report()
    with receiver:
        while not last.done:
            if not receiver.poll(TIMEOUT_S):
                last.trouble = f"{last.test} took longer than {TIMEOUT_S:g} s"
                return last
            try:
                last = msgspec.json.decode(receiver.recv_bytes(), type=_Report)
            except EOFError:
                return last
    return last


def _module(file: str) -> str:
    return ".".join(Path(file).with_suffix("").parts)


def _child(files: Sequence[str], module: str, text: str, cpu_s_max: int, sender: Connection, output: int) -> None:
    for stream in (1, 2):
        os.dup2(output, stream)
    setrlimit(RLIMIT_CPU, (cpu_s_max, cpu_s_max + 1))
    os.chdir(ROOT)
    finder = _Finder(module, text)
    if module:
        sys.meta_path.insert(0, finder)
    watcher = _Watcher(sender)
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *files], plugins=[watcher])
    report = watcher.report
    if not report.trouble:
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or (code == pytest.ExitCode.TESTS_FAILED) != bool(report.failed):
            report.trouble = f"pytest ended with {code!r}"
        elif module and not finder.found:
            report.trouble = f"the tests do not import {module}"
    report.done = True
    sender.send_bytes(msgspec.json.encode(report))


class _Finder(MetaPathFinder):
    """Finds one module with another text."""

    def __init__(self, module: str, text: str) -> None:
        self.module, self.text, self.found = module, text, False

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The mutated module's spec; `None` for all others."""
        if fullname != self.module:
            return None
        self.found = True
        file = str(ROOT / Path(*fullname.split(".")).with_suffix(".py"))
        return spec_from_file_location(fullname, file, loader=_Loader(fullname, file, self.text))


class _Loader(SourceFileLoader):
    """Compiles the mutated text, past all caches of compiled files."""

    def __init__(self, fullname: str, path: str, text: str) -> None:
        super().__init__(fullname, path)
        self.text = text

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self.text.encode(), self.path)
        return code


class _Watcher:
    """A plugin of pytest that reports what runs and what fails first; Hypothesis draws the same examples in each run and shrinks nothing."""

    def __init__(self, sender: Connection) -> None:
        self.sender = sender
        self.report = _Report()

    def pytest_collection(self) -> None:
        settings.register_profile(
            "mutations", settings.get_profile("liveroom"), derandomize=True, database=None, phases=(Phase.explicit, Phase.generate)
        )
        settings.load_profile("mutations")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.report.test = _name(nodeid)
        self.sender.send_bytes(msgspec.json.encode(self.report))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.report.failed = self.report.failed or _name(report.nodeid)

    def pytest_exception_interact(self, call: pytest.CallInfo[Any]) -> None:
        error = call.excinfo
        if error is not None and isinstance(error.value, (*SLIPS, pytest.Collector.CollectError)):
            self.report.trouble = f"{type(error.value).__name__}: {error.value}"


def _name(nodeid: str) -> str:
    return nodeid.split("::")[-1].split("[")[0]
