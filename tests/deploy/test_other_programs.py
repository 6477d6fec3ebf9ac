"""Other programs on the topics: the examples of docs/kafka.md run unchanged."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from pathlib import Path

import orjson
import pytest

from tests.broker import can_start_broker
from tests.deploy.files import ROOT, Object
from tests.docs.test_asyncapi_kafka import validator
from tests.serving import Server, journal_kept_in

PAGE = (ROOT / "docs" / "kafka.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Other programs by example\n")[2].partition("\n## ")[0]
EXAMPLES = re.findall(r"^```sh\n(.*?)^```", SECTION, re.DOTALL | re.MULTILINE)
SEE_S = 60


def needs_kcat() -> None:
    """Skips the test when there is no kcat here, or fails it when the tests must have it."""
    if shutil.which("kcat") is None:
        if os.environ.get("LIVEROOM_TEST_REQUIRE_KCAT"):
            pytest.fail("kcat not found: Debian has it as kcat")
        pytest.skip("kcat not found: Debian has it as kcat")


class Shell:
    """Runs examples on the topics of one server."""

    def __init__(self, server: Server) -> None:
        self._prefix = server.config.kafka.topic_prefix
        self.variables = {"BROKER": server.config.kafka.bootstrap_servers[0]}

    async def run(self, example: str) -> str:
        """An example's output; it must succeed."""
        script = re.sub(r"\bliveroom\.(?=commands|feed|dead-letters)", f"{self._prefix}.", example)
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", script),
            cwd=ROOT,
            env=os.environ | self.variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complained = await process.communicate()
        assert process.returncode == 0, complained.decode()
        return said.decode()

    async def run_until(self, example: str, pattern: str) -> str:
        """The same, again and again until something is said: what was written is there a moment later."""
        async with asyncio.timeout(SEE_S):
            while not re.search(pattern, said := await self.run(example)):
                await asyncio.sleep(0.1)
        return said


def told(lines: str) -> list[Object]:
    """The feed's events as a reader has them who drops what it has seen; each must be as the schema says, under its room's key."""
    events: list[Object] = []
    for line in lines.splitlines():
        key, plain = re.split(r"[ \t]", line, maxsplit=1)
        event = orjson.loads(plain)
        assert key == event["room"]
        validator("withheld" if "withheld" in event else "event").validate(event)
        if event["seq"] >= len(events):
            events.append(event)
    assert [event["seq"] for event in events] == list(range(len(events)))
    return events


def seq_of(events: list[Object], type_: str) -> str:
    """The place of the one event of a type."""
    (found,) = [event["seq"] for event in events if event["type"] == type_]
    return str(found)


async def test_kcat_and_kafkas_own_tools_drive_a_room_and_read_its_feed(tmp_path: Path) -> None:
    """A room is opened, a sale sells, a bad command becomes a dead letter with its reason and the room goes on; the feed has every seq."""
    can_start_broker()
    needs_kcat()
    opening, feed, reserving, confirming, flying, dead_letters, speaking, listening = EXAMPLES
    with journal_kept_in("kafka"):
        server = Server(tmp_path / "data")
    shell = Shell(server)
    async with server:
        await shell.run(opening)
        events = told(await shell.run_until(feed, "Free shipping today"))
        assert [event["type"] for event in events[:3]] == ["room_opened", "product_added", "flash_sale_announced"]
        shell.variables["SALE"] = seq_of(events, "flash_sale_announced")
        await shell.run(reserving)
        shell.variables["HOLD"] = seq_of(told(await shell.run_until(feed, "stock_reserved")), "stock_reserved")
        await shell.run(confirming)
        await shell.run(confirming)  # like a service that saw no acknowledgment
        events = told(await shell.run_until(feed, "hold_confirmed"))
        await shell.run(flying)
        (letter,) = map(orjson.loads, (await shell.run_until(dead_letters, "fly-1")).splitlines())
        assert orjson.loads(letter["payload"])["id"] == "fly-1"
        assert letter["reason"] in SECTION
        await shell.run(speaking)
        events = told(await shell.run_until(listening, "Nine left!"))
    assert [event["type"] for event in events].count("hold_confirmed") == 1
    stock = [event for event in events if event["type"] == "stock_changed"][-1]
    assert (stock["available"], stock["held"], stock["sold"]) == (9, 0, 1)
    assert [(event["user"], event["text"]) for event in events if event["type"] == "chat_sent"] == [
        ("shop", "Free shipping today"),
        ("anna", "Nine left!"),
    ]
    shown = [orjson.loads(line) for line in re.findall(r"^lamp-sale (\{.*)$", SECTION, re.MULTILINE)]
    assert len(shown) > 3
    for event in shown:  # lines of the feed, as the page has them
        assert {**events[event["seq"]], "time_ms": event["time_ms"]} == event
