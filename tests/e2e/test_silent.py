"""Thousands of silent clients at a server with few descriptors: honest clients do not notice them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import orjson
import pytest
import websockets

from loadtests.lib.certificate import make_certificate
from tests.e2e.raw import Raw
from tests.serving import Server

pytestmark = pytest.mark.journal("embedded", "connections before they are viewers never reach the journal")

#: The server's limit of open files, and the number of silent clients that each take one.
FILES = 1_024
SILENT = 5_000
ROOM = "demo"
#: How late an honest client may be on a busy machine.
SOON_S = 10


@asynccontextmanager
async def silence(to: tuple[str, int], count: int) -> AsyncIterator[None]:
    """So many connections from a few addresses, as many as this process may have open; those that the server ends stay here too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as crowd:
        for number in range(min(count, hard - 500)):
            client = crowd.enter_context(socket.socket())
            client.setblocking(False)
            client.bind((f"127.0.3.{number % 8 + 1}", 0))
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(loop.sock_connect(client, to), SOON_S)
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


async def test_silent_clients_starve_nobody(tmp_path: Path) -> None:
    """At a gateway with TLS and at the console: health answers, viewers get in, commands are accepted, and the reserve of files is not touched."""
    cert_file, key_file = make_certificate(tmp_path)
    flags = ("--gateway-tls-cert-file", str(cert_file), "--gateway-tls-key-file", str(key_file), "--gateway-handshake-ms", "60000")
    async with Server(tmp_path / "data", *flags, "--console-head-ms", "60000", within=("prlimit", f"--nofile={FILES}:{FILES}")) as server:
        await server.command(ROOM, "open_room", {"title": "Evening show"})
        tls = ssl.create_default_context(cafile=str(cert_file))
        most_files = 0

        async def honest(number: int) -> None:
            nonlocal most_files
            async with aiohttp.ClientSession() as session:
                for path in ("/livez", "/readyz", "/metrics"):
                    async with asyncio.timeout(SOON_S), session.get(server.console_url + path) as answer:
                        assert answer.status == 200, path
            url = server.gateway_url.replace("ws:", "wss:").replace("127.0.0.1", "localhost")
            async with asyncio.timeout(SOON_S):
                token = server.token(ROOM, f"viewer-{number}")
                async with websockets.connect(f"{url}/v1/rooms/{ROOM}?token={token}", ssl=tls) as viewer:
                    assert orjson.loads(await viewer.recv())["type"] == "joined"
            assert (await server.command(ROOM, "set_announcement", {"text": f"number {number}"}))["http_status"] == 200
            most_files = max(most_files, len(os.listdir(f"/proc/{server.pid}/fd")))

        async def keep_coming() -> None:
            number = 0
            while True:
                await honest(number)
                number += 1

        for to in (address_of(server.gateway_url), address_of(server.console_url)):
            coming = asyncio.create_task(keep_coming())
            async with silence(to, SILENT):
                await honest(1_000_000)
                assert not coming.done() or coming.result() is None
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        with await Raw.connect(address_of(server.console_url), "127.0.0.2") as raw:
            await raw.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            metrics = (await raw.rest()).decode()
        assert 'liveroom_gateway_handshakes_refused_total{reason="too_many"}' in metrics
        assert 'liveroom_console_connections_dropped_total{reason="too_many"}' in metrics
        assert most_files < FILES - 100
        log = server.log.read_text()
        assert "too many handshakes are waiting" in log
        assert "Traceback" not in log
        assert "Too many open files" not in log
