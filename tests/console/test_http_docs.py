"""docs/http.md is true: its examples run in their order and each succeeds."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import msgspec

from liveroom.console.problems import HTTP_PROBLEMS
from liveroom.messages.fields import Role
from liveroom.protocol.refusals import REFUSALS
from tests.console.contract import check_answer
from tests.console.live import Live, token

HTTP_MD = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
TOKENS = {
    "$ANCHOR": token("anna", Role.anchor, "tea"),
    "$VIEWER": token("vera", Role.viewer, "tea"),
    "$PLATFORM": token("shop", Role.platform, "tea"),
}


def requests_of(text: str) -> list[tuple[str, str, dict[str, str], bytes]]:
    """Method, path with query, headers and body of every `curl` in the page's shell blocks."""
    curl = argparse.ArgumentParser(exit_on_error=False)
    curl.add_argument("url")
    curl.add_argument("-X", dest="method")
    curl.add_argument("-H", dest="headers", action="append", default=[])
    curl.add_argument("--json")
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line)
            assert words[0] == "curl", line
            given = curl.parse_args(words[1:])
            headers = dict(header.split(": ", 1) for header in given.headers)
            for name, value in TOKENS.items():
                headers = {header: words.replace(name, value) for header, words in headers.items()}
            path = given.url.removeprefix("http://127.0.0.1:8801")
            found.append((given.method or ("POST" if given.json else "GET"), path, headers, (given.json or "").encode()))
    return found


async def test_every_example_works(live: Live) -> None:
    """Each `curl` of the page is answered 200, as the API's description says."""
    requests = requests_of(HTTP_MD)
    assert len(requests) > 10
    named: dict[bytes, bytes] = {}
    for method, path, headers, body in requests:
        for name, value in named.items():
            body = body.replace(name, value)
        plain, _, query = path.partition("?")
        answer = await live.ask(method, plain, headers=headers, body=body, query=dict(pair.split("=") for pair in query.split("&") if pair))
        assert answer.status == 200, (method, path, answer.body)
        result = answer.json.get("result", {}) if "/commands/" in path else {}
        named |= {f"${name.upper()}".encode(): str(value).encode() for name, value in result.items() if name in ("sale", "hold")}
    questions = (await live.get("/v1/rooms/tea/questions")).json["questions"]
    assert [question["text"] for question in questions] == ["Is it from this spring?"]
    (sale,) = (await live.get("/v1/rooms/tea")).json["sales"]
    assert (sale["available"], sale["sold"]) == (18, 2)


async def test_the_shown_answers_have_the_right_form(live: Live) -> None:
    """The JSON on the page fits the API's description."""
    done, problem = (block.encode() for block in re.findall(r"^```json\n(.*?)^```", HTTP_MD, re.MULTILINE | re.DOTALL))
    check_answer("POST", "/v1/rooms/tea/commands/open_room", 200, {"Content-Type": "application/json"}, done)
    check_answer("POST", "/v1/rooms/tea/commands/add_product", 400, {"Content-Type": "application/problem+json"}, problem)
    assert (await live.send("open_room", {"title": "t"})).json.keys() == msgspec.json.decode(done).keys()
    real = await live.send("add_product", {"product": {"id": "oolong", "title": "Oolong", "price_fen": "88"}}, key="add-oolong-1")
    assert real.json == {**msgspec.json.decode(problem), "detail": real.json["detail"]}
    assert msgspec.json.decode(problem)["detail"] == real.json["detail"]


def test_every_code_that_is_named_exists() -> None:
    """The codes in the text are codes, and those of HTTP alone are all there."""
    for code in HTTP_PROBLEMS:
        assert f"`{code}`" in HTTP_MD
    for code in re.findall(r"(?:refused as|4\d\d|503)\s+`(\w+)`", HTTP_MD):
        assert code in {**REFUSALS, **HTTP_PROBLEMS}
