"""`python -m loadtests`: one command line for all load tests."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from loadtests.__main__ import COMMANDS, main
from loadtests.crowd.scenarios import CROWD_SCENARIOS
from tests.loadtests.commands import ROOT, refused

SCENARIOS = ("steady", *CROWD_SCENARIOS, "red-envelope", "coupon", "flash-sale")
FOLDER = ROOT / "loadtests"


def test_help_lists_every_command_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` has one line of its own for each command."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.partition("commands (")[2].splitlines()[1:]]
    assert dict(lines) == {name: command.summary for name, command in COMMANDS.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_runs_from_the_one_command_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command describes itself under the name by which it is started."""
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: python -m loadtests {name} " in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_writes_its_report_as_json_and_as_a_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command, and each of its scenarios, has the options of a report."""
    scenarios = [[]] if name != "swarm" else [[scenario] for scenario in SCENARIOS]
    for scenario in scenarios:
        with pytest.raises(SystemExit):
            main([name, *scenario, "--help"])
        words = capsys.readouterr().out
        assert "--json FILE" in words, scenario
        assert "--html FILE" in words, scenario


def test_the_scenarios_are_those_of_the_swarm(capsys: pytest.CaptureFixture[str]) -> None:
    """The list above is complete."""
    with pytest.raises(SystemExit):
        main(["swarm", "--help"])
    listed = re.findall(r"^    ([a-z][\w-]*)(?: |$)", capsys.readouterr().out, re.MULTILINE)
    assert tuple(listed) == SCENARIOS


@pytest.mark.parametrize("arguments", [[], ["swarn"], ["loadtests.storm.swarm"]])
def test_an_unknown_command_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A missing or unknown command ends with exit code 2 and the usage."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m loadtests COMMAND" in capsys.readouterr().err


def test_a_wrong_argument_of_a_command_is_refused() -> None:
    """Arguments after the command are the command's own: it refuses them itself."""
    assert "python -m loadtests kills: error" in refused("kills", "--kills", "0")


def test_every_load_test_is_a_command() -> None:
    """Each module with a `main` for arguments is in the list, so no load test is left without a command."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in FOLDER.rglob("*.py")
        if "arguments: Sequence[str]) -> int" in path.read_text()
    }
    assert modules - {"loadtests.__main__"} == {command.module for command in COMMANDS.values()}
    assert all(inspect.isfunction(importlib.import_module(command.module).main) for command in COMMANDS.values())


@pytest.mark.parametrize(
    "path", [path for path in sorted(ROOT.glob("docs/**/*.md")) if "python -m loadtests" in path.read_text(encoding="utf-8")], ids=str
)
def test_the_docs_name_commands_that_exist(path: Path) -> None:
    """Each `python -m loadtests COMMAND` of the docs can be typed as it stands."""
    used = set(re.findall(r"python -m loadtests([.\w]*\s+[\w-]+)", path.read_text(encoding="utf-8")))
    assert used <= {f" {name}" for name in COMMANDS} | {" COMMAND", " --help"}
