"""Pages and their files: the package's files and nothing else, cached by ETag, under a strict policy."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from liveroom.console import pages
from liveroom.console.security import security_headers
from liveroom.messages.errors import BadConfig
from tests.console.live import ANCHOR, Live

FILES = sorted(path.relative_to(pages.STATIC).as_posix() for path in pages.STATIC.rglob("*") if path.is_file())
TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}


async def raw(live: Live, data: bytes) -> bytes:
    """The console's answer to these raw bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", live.console.port)
    writer.write(data)
    async with asyncio.timeout(10):
        answer = await reader.read(65_536)
    writer.close()
    return answer


@pytest.mark.parametrize("path", ["/", "/rooms/r1", "/console/r1"])
async def test_pages_are_html_and_need_no_token(live: Live, path: str) -> None:
    """Every user gets every page; the token decides what it may do."""
    answer = await live.get(path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.body.startswith(b"<!doctype html>") or answer.body.startswith(b"<!DOCTYPE html>")


async def test_every_file_of_the_pages_is_served_with_its_type(live: Live) -> None:
    """Files keep their bytes and have a type that a browser believes under `nosniff`."""
    for name in FILES:
        answer = await live.get(f"/static/{name}")
        assert answer.status == 200
        assert answer.body == (pages.STATIC / name).read_bytes()
        assert answer.headers["Content-Type"].partition(";")[0] == TYPES[name.rpartition(".")[2]]
    client = await live.get("/client/liveroom.js")
    assert client.body == pages.CLIENT_JS.read_bytes()
    assert client.headers["Content-Type"] == "text/javascript; charset=utf-8"


async def test_what_pages_refer_to_is_there(live: Live) -> None:
    """Every address of our own that a page or module names can be fetched."""
    found = 0
    for name in FILES:
        for address in re.findall(r"""["'(](/(?:static|client)/[\w./-]+)["')#]""", (pages.STATIC / name).read_text(encoding="utf-8")):
            found += 1
            assert (await live.get(address)).status == 200, f"{name} refers to {address}"
    assert found > 5


async def test_a_file_that_is_known_is_not_sent_again(live: Live) -> None:
    """`If-None-Match` with the ETag gets 304 and no body; another one gets the file."""
    for path in ("/", f"/static/{FILES[0]}", "/v1/settings", "/v1/openapi.json"):
        first = await live.get(path)
        assert first.headers["Cache-Control"] == "no-cache"
        etag = first.headers["ETag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            again = await live.get(path, headers={"If-None-Match": known})
            assert (again.status, again.body, again.headers["ETag"]) == (304, b"", etag)
        assert (await live.get(path, headers={"If-None-Match": '"other"'})).status == 200


async def test_an_answer_that_changed_has_another_etag(live: Live) -> None:
    """A showcase is sent again once it changed, and only then."""
    await live.do("open_room", {"title": "t"})
    etag = (await live.get("/v1/rooms/r1/showcase")).headers["ETag"]
    assert (await live.get("/v1/rooms/r1/showcase", headers={"If-None-Match": etag})).status == 304
    await live.do("add_product", {"product": {"id": "p", "title": "P", "price_fen": 1}})
    assert (await live.get("/v1/rooms/r1/showcase", headers={"If-None-Match": etag})).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static/..%5cserver.py",
        "/static/js/../../server.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/./index.html",
        "/static/index.html%00.js",
        "/static/",
        "/static",
        "/static/js",
        "/client/../console/server.py",
        "/client/room.py",
        "/../../../../etc/passwd",
        "//etc/passwd",
    ],
)
async def test_nothing_else_of_the_disk_can_be_reached(live: Live, path: str) -> None:
    """Whatever a path says, only the pages' own files are served."""
    answer = await raw(live, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] in (b"404", b"400") or body == (pages.STATIC / "index.html").read_bytes()
    assert b"import " not in body
    assert b"root:" not in body


async def test_every_answer_has_the_security_headers(live: Live) -> None:
    """Pages, answers, problems and files alike; scripts come from us alone and connections go to us and the gateway alone."""
    await live.do("open_room", {"title": "t"})
    answers = [await live.get(p) for p in ("/", f"/static/{FILES[0]}", "/v1/rooms", "/nowhere", "/metrics", "/readyz")]
    answers += [await live.send("send_likes", {}), await live.ask("DELETE", "/v1/rooms", token=ANCHOR)]
    for answer in answers:
        policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'self'"
        assert policy["connect-src"] == "'self' ws://127.0.0.1:8800"
        assert policy["img-src"] == "'self' https: http: data:"
        assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Server"] == "liveroom"
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_pages_keep_to_the_policy() -> None:
    """No page has a script, a style or a handler inline, or asks another host for anything."""
    for name in (file for file in FILES if file.endswith(".html")):
        page = (Path(pages.STATIC) / name).read_text(encoding="utf-8")
        assert not re.search(r"<script(?![^>]*\bsrc=)", page), name
        assert not re.search(r"<style\b|\sstyle=|\son\w+=", page), name
        assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page), name


@pytest.mark.parametrize("url", ["", "http://x", "ws://", "ws://a;script-src *", "ws://a b", "ws://a'b", "wss://u@h/"])
def test_a_gateway_address_cannot_bend_the_policy(url: str) -> None:
    """An address that is no plain ws address is a clear error at start."""
    with pytest.raises(BadConfig, match=r"console\.gateway_url"):
        security_headers(url)


async def test_what_is_no_http_is_refused_quietly(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """Garbage gets 400 without a traceback, fills no log, and others are served on."""
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"G" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nA" + b"a" * 9_000,
    ):
        answer = await raw(live, data + b"\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.split()[1] == b"400"
        assert b"Server: liveroom" in head
        assert b'"code":"bad_request"' in body
    assert not [record for record in caplog.records if record.exc_info]
    assert (await live.get("/livez")).status == 200


async def test_an_unknown_address_or_method_is_a_problem(live: Live) -> None:
    """404 and 405 are problems, too, and 405 names the allowed methods."""
    missing = await live.get("/v2/rooms")
    assert (missing.status, missing.json["code"]) == (404, "not_found")
    wrong = await live.ask("DELETE", "/v1/rooms/r1")
    assert (wrong.status, wrong.json["code"]) == (405, "method_not_allowed")
    assert set(wrong.headers["Allow"].split(", ")) == {"GET", "HEAD"}
    assert (await live.get("/v1/rooms/r1/commands/open_room")).status == 405
    assert (await live.ask("HEAD", "/")).status == 200
