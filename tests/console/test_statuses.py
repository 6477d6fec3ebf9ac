"""The console's answers to requests that reach no handler."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.console.live import Live

HTTP_MD = Path(__file__).parents[2] / "docs" / "http.md"
HOST = b"Host: localhost\r\n"


async def status_of(live: Live, request: bytes) -> int:
    """The status of the answer to some bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", live.console.port)
    try:
        writer.write(request)
        async with asyncio.timeout(20):
            line = await reader.readline()
    finally:
        writer.close()
    return int(line.split()[1])


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /v1/rooms/r/commands/send_chat HTTP/1.1\r\n" + HOST + b"Expect: the-best\r\nContent-Length: 0\r\n\r\n", 417),
        (b"GET /livez HTTP/9.9\r\n" + HOST + b"\r\n", 400),
        (b"BREW /livez HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: a\r\n" % i for i in range(200)) + b"\r\n", 400),
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"Cookie: " + b"a" * 40_000 + b"\r\n\r\n", 400),
    ],
    ids=["expectation", "version", "method", "headers", "head"],
)
async def test_what_reaches_no_handler_has_a_documented_status(live: Live, request_: bytes, status: int) -> None:
    """The table of docs/http.md has every status of HTTP itself."""
    assert await status_of(live, request_) == status
    assert f"| {status}" in HTTP_MD.read_text(encoding="utf-8")
