"""Logs: one line an event, whatever is in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import pytest

from liveroom.config.schema import LogsConfig
from liveroom.telemetry.logs import set_up_logs

log = logging.getLogger("liveroom.test")


@pytest.fixture(autouse=True)
def _keep_handlers() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == "", "logs go to standard error"
    return err.removesuffix("\n").split("\n") if err else []


def test_text_is_one_line_with_its_extras(capsys: pytest.CaptureFixture[str]) -> None:
    """A line has time, level, logger, message, and each extra as name=value."""
    set_up_logs(LogsConfig())
    log.info("room opened", extra={"room": "r1", "viewers": 3})
    (line,) = lines(capsys)
    assert line[12:] == " info    liveroom.test: room opened room=r1 viewers=3"


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line is a JSON object with time, level, logger, message and the extras."""
    set_up_logs(LogsConfig(format="json"))
    log.warning("room %s opened", "r1", extra={"viewers": 3})
    (line,) = lines(capsys)
    entry = json.loads(line)
    assert datetime.fromisoformat(entry.pop("time")).tzinfo
    assert entry == {"level": "warning", "logger": "liveroom.test", "message": "room r1 opened", "viewers": 3}


@pytest.mark.parametrize("format_", ["text", "json"])
def test_what_is_below_the_level_is_not_written(format_: Literal["text", "json"], capsys: pytest.CaptureFixture[str]) -> None:
    """`logs.level` is the least that is written."""
    set_up_logs(LogsConfig(level="warning", format=format_))
    log.info("quiet")
    assert lines(capsys) == []


def test_a_talkative_library_says_the_same_once(capsys: pytest.CaptureFixture[str]) -> None:
    """While brokers are away their client complains many times a second: one line of each kind is enough. Our own are all written."""
    set_up_logs(LogsConfig())
    for n in range(50):
        logging.getLogger("aiokafka.conn").error("Unable to connect to node %s", n)
    logging.getLogger("aiokafka.conn").error("another trouble")
    for _ in range(2):
        log.info("ours")
    assert [line[12:] for line in lines(capsys)] == [
        " error   aiokafka.conn: Unable to connect to node 0",
        " error   aiokafka.conn: another trouble",
        *[" info    liveroom.test: ours"] * 2,
    ]


@pytest.mark.parametrize("format_", ["text", "json"])
def test_setting_up_twice_does_not_write_twice(format_: Literal["text", "json"], capsys: pytest.CaptureFixture[str]) -> None:
    """The handlers are replaced, not added to."""
    set_up_logs(LogsConfig(format=format_))
    set_up_logs(LogsConfig(format=format_))
    log.info("once")
    assert len(lines(capsys)) == 1


@pytest.mark.parametrize("format_", ["text", "json"])
@pytest.mark.parametrize("value", ["two\nlines", "\x1b[31mred", "\u2028", "\ud800", 2**70, b"\xff", float("nan"), {"a": {1, 2}}, None], ids=ascii)
def test_no_value_breaks_the_line(value: object, format_: Literal["text", "json"], capsys: pytest.CaptureFixture[str]) -> None:
    """Users' texts cannot begin a line of their own, color the terminal, or lose the line."""
    set_up_logs(LogsConfig(format=format_))
    log.info("said", extra={"value": value})
    log.info("said: %s", value)
    written = lines(capsys)
    assert len(written) == 2
    for line in written:
        assert "said" in line
        assert json.loads(line)["level"] == "info" if format_ == "json" else line.isprintable()


@pytest.mark.parametrize("name", ["time", "level", "logger"])
def test_an_extra_cannot_take_the_place_of_what_every_line_has(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A collector can rely on time, level and logger."""
    set_up_logs(LogsConfig(format="json"))
    log.info("x", extra={name: "forged"})
    (line,) = lines(capsys)
    assert json.loads(line)[name] != "forged"


def test_an_exception_is_told_with_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """In JSON as a field of the one line, in text below the line."""
    formats: tuple[Literal["json"], Literal["text"]] = ("json", "text")
    for format_ in formats:
        set_up_logs(LogsConfig(format=format_))
        try:
            raise ValueError("broken")
        except ValueError:
            log.exception("it failed")
        written = lines(capsys)
        if format_ == "json":
            (line,) = written
            assert "ValueError: broken" in json.loads(line)["exception"]
        else:
            assert written[0].endswith("it failed")
            assert written[-1] == "ValueError: broken"
