"""Proxies of the environment: a server on this machine is reached without, whatever is set there."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from liveroom.client import connect
from liveroom.client.proxies import is_loopback, proxy_for


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("ws://127.0.0.1:8800/v1/rooms/a", True),
        ("ws://127.9.9.9", True),
        ("wss://localhost:8800", True),
        ("http://LOCALHOST.", True),
        ("http://gw.localhost", True),
        ("ws://[::1]:8800", True),
        ("wss://gw.example", False),
        ("ws://10.0.0.1:8800", False),
        ("ws://[2001:db8::1]", False),
        ("ws://localhost.evil.example", False),
        ("ws://notlocalhost", False),
    ],
)
def test_what_leads_to_this_machine(url: str, loopback: bool) -> None:
    """Its addresses and its names, and nothing that looks like them."""
    assert is_loopback(url) is loopback


@pytest.mark.parametrize(
    ("url", "proxy", "told"),
    [
        ("ws://127.0.0.1", True, None),
        ("ws://gw.example", True, True),
        ("ws://gw.example", False, None),
        ("ws://127.0.0.1", "http://proxy.example:3128", "http://proxy.example:3128"),
    ],
)
def test_a_proxy_is_taken_when_it_can_lead_there_or_was_asked_for(url: str, proxy: bool | str, told: str | Literal[True] | None) -> None:
    """One that is named is always taken."""
    assert proxy_for(url, proxy) == told


@pytest.mark.parametrize("asked", [True, False])
async def test_the_environments_proxies_are_not_asked_for_this_machine(asked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that the caller names is used; otherwise the client connects to the server directly."""
    first_lines: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first_lines.put_nowait(await reader.readline())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as proxy, await asyncio.start_server(serve, "127.0.0.1", 0) as gateway:
        proxy_port, port = (server.sockets[0].getsockname()[1] for server in (proxy, gateway))
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ws_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy_port}")
        monkeypatch.setenv("socks_proxy", "socks5://127.0.0.1:1")
        room = connect(f"ws://127.0.0.1:{port}", "demo", "token", proxy=f"http://127.0.0.1:{proxy_port}" if asked else True)
        entering = asyncio.create_task(room.__aenter__())
        line = await asyncio.wait_for(first_lines.get(), 10)
        entering.cancel()
        await asyncio.gather(entering, return_exceptions=True)
        await room.close()
    assert line.split(b" ")[:2] == ([b"CONNECT", b"127.0.0.1:%d" % port] if asked else [b"GET", b"/v1/rooms/demo"])
