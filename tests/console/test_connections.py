"""The console's connections: silent ones, too many of them, and the reserve for health checks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from liveroom.config.schema import OpsConfig
from liveroom.console import ops
from liveroom.console.connection_pool import HEALTH_RESERVE
from liveroom.console.ops import OpsServer
from liveroom.process.listening import HEAD_BYTES_MAX
from liveroom.telemetry.metrics import Metrics
from tests.console.live import ANCHOR, WAIT_S, Live, config_of, serve, until

Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
COMMAND = b"POST /v1/rooms/r1/commands/open_room HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n"


@asynccontextmanager
async def connected(port: int, count: int, sending: bytes = b"") -> AsyncIterator[list[Pipe]]:
    """A number of connections that sent the same bytes."""
    pipes = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    for _, writer in pipes:
        writer.write(sending)
    try:
        yield pipes
    finally:
        for _, writer in pipes:
            writer.transport.abort()


async def head_of(pipe: Pipe) -> bytes:
    """The head of the next answer; empty at the end."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        return await asyncio.wait_for(pipe[0].readuntil(b"\r\n\r\n"), WAIT_S)
    return b""


async def ask(port: int, request: bytes = LIVEZ) -> bytes:
    """The head of the answer to a request on a connection of its own."""
    async with connected(port, 1, request) as (pipe,):
        return await head_of(pipe)


def dropped(live: Live, reason: str) -> float:
    return live.metrics.registry.get_sample_value("liveroom_console_connections_dropped_total", {"reason": reason}) or 0.0


async def test_silent_connections_give_way_to_newcomers(caplog: pytest.LogCaptureFixture) -> None:
    """However many there are, the oldest is dropped, and health, metrics and the API answer at once. The log has no traceback."""
    async with serve(config_of(connections_max=20, head_ms=60_000)) as live:
        async with connected(live.console.port, 100) as silent, connected(live.console.port, 20, b"GET /livez HTT") as half_open:
            await until(lambda: dropped(live, "too_many") >= 99)
            for path in ("/livez", "/metrics", "/v1/rooms"):
                assert (await ask(live.console.port, LIVEZ.replace(b"/livez", path.encode()))).startswith(b"HTTP/1.1 200"), path
            assert await silent[0][0].read() == b""
            assert await half_open[0][0].read() == b""
        assert len(live.console._listener.connections) <= 20
    (told,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (told.name, told.levelname, told.exc_info) == ("liveroom.console.connection_pool", "WARNING", None)


async def test_who_keeps_alive_outlives_the_silent() -> None:
    """A connection with a request is dropped only after those without."""
    async with serve(config_of(connections_max=4, head_ms=60_000)) as live, connected(live.console.port, 1, LIVEZ) as (proxy,):
        assert await head_of(proxy)
        assert await proxy[0].readexactly(6) == b"alive\n"
        async with connected(live.console.port, 50):
            await until(lambda: dropped(live, "too_many") >= 46)
            proxy[1].write(LIVEZ)
            assert (await head_of(proxy)).startswith(b"HTTP/1.1 200")


async def test_beyond_the_limit_of_requests_the_answer_is_503_and_health_goes_on() -> None:
    """While all connections have a request under way, a newcomer gets 503, and health checks are answered."""
    request = COMMAND + f"Authorization: Bearer {ANCHOR}\r\n\r\n".encode() + b'{"title":"t"}'
    async with serve(config_of(connections_max=3)) as live, connected(live.console.port, 3, request):
        await until(lambda: len(live.journal.sent) == 3)
        refused = await ask(live.console.port, LIVEZ.replace(b"/livez", b"/v1/rooms"))
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1" in refused
        async with connected(live.console.port, HEALTH_RESERVE * 2):  # silent ones do not take the reserve either
            for path in (b"/livez", b"/readyz", b"/metrics"):
                assert (await ask(live.console.port, LIVEZ.replace(b"/livez", path))).startswith(b"HTTP/1.1 200"), path
            await until(lambda: len(live.console._listener.connections) <= 3 + HEALTH_RESERVE)


async def test_a_connection_that_never_asks_is_dropped_soon() -> None:
    """Silent, or with half a head: after `console.head_ms`. One that has asked keeps alive."""
    async with serve(config_of(head_ms=200)) as live, connected(live.console.port, 1, LIVEZ) as (kept,):
        assert await head_of(kept)
        async with connected(live.console.port, 3) as silent, connected(live.console.port, 3, b"GET /livez HTTP/1.1\r\nHo") as half_open:
            for reader, _ in silent + half_open:
                with contextlib.suppress(ConnectionError):
                    assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
            assert dropped(live, "silent") == 6
        kept[1].write(LIVEZ)
        await kept[0].readexactly(6)
        assert (await head_of(kept)).startswith(b"HTTP/1.1 200")


async def test_an_idle_connection_is_closed_after_its_time() -> None:
    """`console.keep_alive_ms` after its last answer."""
    async with serve(config_of(keep_alive_ms=1_000)) as live, connected(live.console.port, 1, LIVEZ) as (pipe,):
        began = asyncio.get_running_loop().time()
        await head_of(pipe)
        assert await asyncio.wait_for(pipe[0].read(), WAIT_S) == b"alive\n"
        assert asyncio.get_running_loop().time() - began >= 0.9


def test_idle_connections_outlive_load_balancers() -> None:
    """nginx keeps 75 s, Amazon's balancer 60 s: they must be the first to close."""
    assert config_of().console.keep_alive_ms > 75_000


@pytest.mark.parametrize("first", [b"", LIVEZ])
async def test_large_heads_are_read_and_larger_ones_refused(first: bytes) -> None:
    """Nine thousand bytes of a site's cookies pass; a head beyond the limit, in one line or many, is a 400 and is not kept."""
    async with serve() as live:
        async with connected(live.console.port, 1, first) as (pipe,):
            if first:
                await head_of(pipe)
                await pipe[0].readexactly(6)
            pipe[1].write(LIVEZ[:-2] + b"Cookie: " + b"c" * 9_000 + b"\r\n\r\n")
            assert (await head_of(pipe)).startswith(b"HTTP/1.1 200")
        for begun, more in ((b"", b"X: " + b"y" * 1_000 + b"\r\n"), (b"X: ", b"y" * 1_000)):
            async with connected(live.console.port, 1, first + LIVEZ[:-2] + begun) as (pipe,):
                if first:
                    await head_of(pipe)
                    await pipe[0].readexactly(6)
                with contextlib.suppress(ConnectionError):
                    for _ in range(HEAD_BYTES_MAX // len(more) + 2):
                        pipe[1].write(more)
                        await pipe[1].drain()
                answer = await head_of(pipe)
                assert answer == b"" or answer[8:12] == b" 400", answer
                with contextlib.suppress(ConnectionError):
                    await asyncio.wait_for(pipe[0].read(), WAIT_S)  # it ends


async def test_what_machines_ask_of_other_processes_has_the_same_limits() -> None:
    """A process without a console: silent connections keep no probe out."""
    server = OpsServer(OpsConfig(port=0), Metrics(), lambda: None)
    await server.start()
    try:
        async with connected(server.port, ops.CONNECTIONS_MAX * 3):
            for path in (b"/livez", b"/readyz", b"/metrics"):
                assert (await ask(server.port, LIVEZ.replace(b"/livez", path))).startswith(b"HTTP/1.1 200")
    finally:
        await server.stop()
