"""The examples of docs/client-python.md run as they stand there."""

import asyncio
import re
import sys
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from liveroom import client
from liveroom.messages.fields import Role
from liveroom.protocol.commands import COMMANDS
from liveroom.protocol.events import EVENTS
from tests.serving import Server

PAGE = Path(__file__).parents[2] / "docs" / "client-python.md"
BLOCKS: list[str] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
#: The whole program, and pieces that stand in one.
(PROGRAM,) = (block for block in BLOCKS if block.startswith("# shop.py"))
EXAMPLES = [block for block in BLOCKS if block != PROGRAM]


class _LoginService:
    def __init__(self, token: str) -> None:
        self._token = token

    async def token_for(self, room: str) -> str:
        return self._token


async def test_the_examples_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each example runs against a real server and does what the page says."""
    server = Server(tmp_path / "data", "--gateway-drain-ms", "0")
    await server.start()
    try:
        assert (await server.command("demo", "open_room", {"title": "Tea time"}))["http_status"] == 200
        viewer = server.token("demo", "vera", name="Vera")
        names: dict[str, Any] = {
            "token": viewer,
            "anchor_token": server.token("demo", "anna", Role.anchor),
            "my_login_service": _LoginService(viewer),
        }
        for example in EXAMPLES:
            exec(_as_function(example, server.gateway_url), names)
            await names["example"](**{name: names[name] for name in ("token", "anchor_token", "my_login_service")})
    finally:
        await server.stop()
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("Tea time ")
    assert re.fullmatch(r"said as message \d+", said[1])
    assert re.fullmatch(r"\d+ Vera hi", said[2])
    assert re.fullmatch(r"won \d+ fen", said[3])
    assert said[4] == "inside as vera"


async def test_the_whole_program_runs_as_it_stands(tmp_path: Path) -> None:
    """A file of the program's words alone, beside a server's data folder: it sells out, and the ledger says for how much."""
    async with Server(tmp_path / "data", "--gateway-drain-ms", "0") as server:
        program = PROGRAM.replace("ws://127.0.0.1:8800", server.gateway_url).replace("http://127.0.0.1:8801", server.console_url)
        assert server.gateway_url in program
        assert server.console_url in program
        (tmp_path / "shop.py").write_text(program, encoding="utf-8")
        run = await asyncio.create_subprocess_exec(sys.executable, "shop.py", cwd=tmp_path, stdout=asyncio.subprocess.PIPE)
        async with asyncio.timeout(60):
            said = (await run.communicate())[0].decode().splitlines()
    assert run.returncode == 0
    assert sorted(said[:-1]) == [f"viewer{n} bought 2" for n in range(5)]
    assert said[-1] == "10 sold for 5000 fen"


def test_the_imports_of_the_page_are_there() -> None:
    """The page names modules and classes that exist, and its rule for commands and events holds for all of them."""
    for kind in (*COMMANDS.values(), *EVENTS.values()):
        assert re.fullmatch(r"liveroom\.features\.\w+\.messages", kind.__module__)
    imports = PAGE.read_text(encoding="utf-8").partition("## Imports")[2].partition("\n## ")[0]
    modules = [client]
    for name in re.findall(r"`(liveroom\.[\w.]+)`", imports):
        module, _, last = name.rpartition(".")
        if last[0].isupper():
            assert hasattr(import_module(module), last), name
        else:
            modules.append(import_module(name))
    for name in re.findall(r"`(\w+)`", imports):
        if name[0].isupper():
            assert any(hasattr(module, name) for module in modules), name


def _as_function(example: str, gateway_url: str) -> str:
    """The example as the body of a function; what it imports stays for the next ones, as for somebody who reads the page."""
    imports = "".join(re.findall(r"^from .*\n", example, re.MULTILINE))
    body = textwrap.indent(example.replace("ws://127.0.0.1:8800", gateway_url), "    ")
    return f"{imports}async def example(token, anchor_token, my_login_service):\n{body}"
