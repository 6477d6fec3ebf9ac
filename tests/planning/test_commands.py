"""`liveroom plan` on the command line."""

from __future__ import annotations

import orjson
import pytest

from liveroom.cli import main
from liveroom.planning.commands import plan_lines
from liveroom.planning.plan import Load, Machine, make_plan


def test_a_plan_is_printed_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints what `plan_lines` makes of the same load."""
    main(["plan", "--viewers", "1,000,000", "--rooms", "1000", "--by-room"])
    assert capsys.readouterr().out.splitlines() == plan_lines(make_plan(Load(1_000_000, 1_000, by_room=True), Machine()))


def test_a_plan_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints the plan with its load and its machine."""
    main(["plan", "--viewers", "5000", "--cores", "4", "--port-gbit", "25", "--json"])
    plan = orjson.loads(capsys.readouterr().out)
    assert (plan["load"]["viewers"], plan["machine"]["cores"], plan["machine"]["port_gbit"]) == (5_000, 4, 25.0)
    assert plan["cell"]["kind"] == "serve"


def test_the_setting_of_the_gateway_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """A plan uses the settings with which the gateways will run."""
    main(["plan", "--viewers", "9000", "--gateway-connections-max", "3000", "--json"])
    assert orjson.loads(capsys.readouterr().out)["cell"]["gateways"] >= 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["--viewers", "0"],
        ["--viewers", "nan"],
        ["--viewers", "1e30"],
        ["--viewers", "many"],
        ["--viewers", "1.5"],
        ["--viewers", "5", "--fill", "1.1"],
        ["--viewers", "5", "--join-s", "-1"],
        ["--viewers", "5", "--core-speed", "inf"],
    ],
)
def test_a_number_that_makes_no_plan_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A bad number is a usage error that says what was expected."""
    with pytest.raises(SystemExit) as ended:
        main(["plan", *arguments])
    assert ended.value.code == 2
    assert "expected" in capsys.readouterr().err


def test_a_room_that_no_engine_can_serve_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The reason is one line, without a trace."""
    with pytest.raises(SystemExit) as ended:
        main(["plan", "--viewers", "10000000", "--commands-per-min", "60"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("liveroom: one room's commands keep an engine busy")
