"""Addresses that servers listen on: IPv4, IPv6 or both, and the errors when they cannot."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from liveroom.app import App
from liveroom.config.schema import Config, ConsoleConfig, GatewayConfig, JournalConfig, LiveroomConfig, OpsConfig
from liveroom.console.ops import OpsServer
from liveroom.messages.errors import BadConfig
from liveroom.process.listening import listen
from liveroom.telemetry.metrics import Metrics


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")


async def statuses(port: int, path: str) -> list[int]:
    """The statuses of one port by IPv4 and by IPv6."""
    found = []
    async with aiohttp.ClientSession() as session:
        for host in ("127.0.0.1", "[::1]"):
            async with session.get(f"http://{host}:{port}{path}") as answer:
                found.append(answer.status)
    return found


@needs_ipv6
async def test_the_ipv6_wildcard_takes_ipv4_too(tmp_path: Path) -> None:
    """`--gateway-host ::` and the same of the console; both are reached either way."""
    config = Config(
        liveroom=LiveroomConfig(mode="dev", data_dir=str(tmp_path)),
        journal=JournalConfig(kind="memory"),
        gateway=GatewayConfig(host="::", port=0, drain_ms=0),
        console=ConsoleConfig(host="::", port=0),
    )
    app = App(config)
    await app.start()
    try:
        assert await statuses(int(app.console_url.rpartition(":")[2]), "/livez") == [200, 200]
        assert await statuses(int(app.gateway_url.rpartition(":")[2]), "/") == [404, 404]
    finally:
        await app.stop()


@needs_ipv6
async def test_so_does_that_of_a_process_without_a_console() -> None:
    """`--ops-host ::`."""
    server = OpsServer(OpsConfig(host="::", port=0), Metrics(), lambda: None)
    await server.start()
    try:
        assert await statuses(server.port, "/livez") == [200, 200]
    finally:
        await server.stop()


@needs_ipv6
async def test_a_name_of_several_addresses_is_listened_on_at_all_of_them() -> None:
    """With one port, also when any free one was asked for."""
    sockets = await listen("localhost", 0, section="gateway")
    try:
        assert len({one.getsockname()[1] for one in sockets}) == 1
        families = {one[0] for one in await asyncio.get_running_loop().getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
        assert {one.family for one in sockets} == families
    finally:
        for one in sockets:
            one.close()


@pytest.mark.parametrize("host", ["nowhere.invalid", "203.0.113.1", "x" * 100, "\udcff"])
async def test_what_cannot_be_listened_on_is_told_with_its_settings(host: str) -> None:
    """Names that are none, and addresses of other machines."""
    with pytest.raises(BadConfig, match=r"ops\.host, ops\.port: cannot listen on"):
        await listen(host, 0, section="ops")


async def test_a_port_that_is_taken_is_told() -> None:
    """In the system's words."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadConfig, match=rf"gateway\.host, gateway\.port: cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
            await listen("127.0.0.1", port, section="gateway")
