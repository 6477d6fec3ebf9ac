"""The reference pages say what the code says, completely, and their examples are real."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from docs.generate.__main__ import DOCS, generated, main
from liveroom.config.settings import settings
from liveroom.messages.base import CommandBase, EventBase
from liveroom.messages.errors import CLOSE_CODES
from liveroom.protocol.codec import decode_request
from liveroom.protocol.commands import COMMANDS
from liveroom.protocol.events import EVENTS
from liveroom.protocol.frames import FRAMES
from liveroom.protocol.refusals import REFUSALS
from tests.docs.traffic import check_client_frame, check_server_frame

PAGES = sorted(DOCS.glob("*.md"))
ROOT = DOCS.parent


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """The part of a page under a heading, up to the next heading of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, f"there is no section {heading!r}"
    return found.group(1)


@pytest.mark.parametrize("path", list(generated()), ids=lambda p: p.name)
def test_generated_pages_are_fresh(path: Path) -> None:
    """The committed pages equal the output of `python -m docs.generate`."""
    assert path.read_text(encoding="utf-8") == generated()[path], "run `python -m docs.generate`"


def test_the_generator_says_what_is_stale(capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` finds nothing to do in a fresh tree and says nothing."""
    assert main(["--check"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_described_with_all_its_fields(name: str) -> None:
    """commands.md has each command in its list and in a section of its own with every field."""
    text = page("commands.md")
    assert f"| [`{name}`](#{name}) |" in text
    assert_described(section(text, name), COMMANDS[name])


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_is_described_with_all_its_fields(name: str) -> None:
    """events.md has each event in its list and in a section of its own with every field and the delivery class."""
    text = page("events.md")
    assert f"| [`{name}`](#{name}) | {EVENTS[name].delivery.value}" in text
    assert_described(section(text, name), EVENTS[name])


def assert_described(text: str, cls: type[CommandBase | EventBase]) -> None:
    assert cls.__doc__
    assert text.strip().startswith(cls.__doc__.split(":")[0])
    for field in msgspec.structs.fields(cls):
        assert f"| `{field.encode_name}` |" in text


@pytest.mark.parametrize("name", FRAMES)
def test_every_frame_is_described_with_all_its_fields(name: str) -> None:
    """protocol.md has a section for each frame with every field."""
    text = section(page("protocol.md"), name)
    for field in msgspec.structs.fields(FRAMES[name]):
        assert f"| `{field.encode_name}` |" in text


def test_every_refusal_and_close_code_is_listed_and_no_other() -> None:
    """errors.md lists exactly the codes that the code has."""
    text = page("errors.md")
    assert re.findall(r"^\| `(\w+)` \| \d{3} \|", text, re.MULTILINE) == list(REFUSALS)
    assert re.findall(r"^\| (\d{4}) \| `\w+` \|", text, re.MULTILINE) == [str(code) for code in CLOSE_CODES]


def test_every_setting_is_listed_and_no_other() -> None:
    """configuration.md lists exactly the settings that there are, with all their names."""
    rows = re.findall(r"^\| `(\w+)` \| `(LIVEROOM_\w+)` \| (`--[\w-]+`|none) \|", page("configuration.md"), re.MULTILINE)
    assert rows == [(s.name, s.env, "none" if s.secret else f"`{s.flag}`") for s in settings()]


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_examples_are_real(path: Path) -> None:
    """Every JSON example is a frame that is valid by the AsyncAPI document, or at least JSON when it shows something else."""
    for block in re.findall(r"^```json\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        plain = json.loads(block)
        if "sender" in plain:
            decode_request(block.encode())
        elif "command" in plain:
            check_client_frame(block)
        elif plain.get("type") in FRAMES:
            check_server_frame(block)


def test_the_protocol_page_has_examples() -> None:
    """protocol.md shows a command and most of the frames."""
    shown = {json.loads(block).get("type") for block in re.findall(r"^```json\n(.*?)^```", page("protocol.md"), re.DOTALL | re.MULTILINE)}
    assert shown >= set(FRAMES)


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [*PAGES, *sorted((DOCS / "decisions").glob("*.md"))], ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    """Every link to a file of the project, and to a heading in it, leads to one that is there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), target
        assert file.is_relative_to(ROOT), target
        if anchor and file.suffix == ".md":
            assert anchor in _anchors(file.read_text(encoding="utf-8")), target
