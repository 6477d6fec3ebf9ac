"""The examples of docs/client-python.md run as they stand there."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from liveroom.messages.fields import Role
from tests.serving import Server

PAGE = Path(__file__).parents[2] / "docs" / "client-python.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


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


def _as_function(example: str, gateway_url: str) -> str:
    """The example as the body of a function; what it imports stays for the next ones, as for somebody who reads the page."""
    imports = "".join(re.findall(r"^from .*\n", example, re.MULTILINE))
    body = textwrap.indent(example.replace("ws://127.0.0.1:8800", gateway_url), "    ")
    return f"{imports}async def example(token, anchor_token, my_login_service):\n{body}"
