"""A link that dies without a word: both clients notice it in a room where nothing happens, and come back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from liveroom.app import App
from liveroom.auth.tokens import make_token
from liveroom.config.settings import load_config
from liveroom.messages.fields import Role
from loadtests.lib.target import Target
from tests.client.clients import NODE, JavaScript, Python

SECRET = "a secret of this test, long enough"
BEAT_MS = 300
WAIT_S = 30
#: Two beats are missing before a client leaves; it may take some more on a busy machine until the test hears of it.
BEATS_LOST_MAX = 8


class Proxy:
    """Forwards bytes until it is asked to forget its connections: they stay open, and nothing passes."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._frozen: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.passed = self.dropped = 0  # pieces of what the server sent

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def freeze(self) -> None:
        self._frozen.update(range(self.connections + 1))

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        for source, sink in ((reader, back), (there, writer)):
            self._tasks.add(asyncio.create_task(self._forward(number, source, sink, counted=source is there)))

    async def _forward(self, number: int, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, counted: bool) -> None:
        with contextlib.suppress(OSError), contextlib.closing(sink):
            while data := await source.read(65_536):
                if number not in self._frozen:
                    self.passed += counted
                    sink.write(data)
                    await sink.drain()
                else:
                    self.dropped += counted

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    """A server with a quiet room and short beats."""
    ports = {("liveroom", "data_dir"): str(tmp_path), ("console", "port"): "0", ("gateway", "port"): "0", ("gateway", "drain_ms"): "0"}
    app = App(load_config(None, {}, {**ports, ("auth", "secret"): SECRET, ("gateway", "beat_ms"): str(BEAT_MS)}))
    await app.start()
    await Target(app.gateway_url, app.console_url, app.config.auth).open_room("demo", "Demo")
    yield app
    await app.stop()


@pytest.mark.parametrize("kind", ["python", "javascript"])
async def test_a_dead_link_is_noticed_within_two_beats(app: App, kind: str) -> None:
    """A proxy stops forwarding. A client that only watches leaves after about two beats, comes back and is inside; a live link is left alone."""
    if kind == "javascript" and NODE is None:
        pytest.skip("node is not installed")
    proxy = Proxy(int(app.gateway_url.rpartition(":")[2]))
    client = Python() if kind == "python" else JavaScript()
    try:
        token = make_token(SECRET, app.config.auth, user="eve", room="demo", role=Role.viewer, lifetime_s=600)
        await client.start(await proxy.start(), fixed=token)
        await client.until("joined")
        joined = proxy.passed
        async with asyncio.timeout(WAIT_S):
            while proxy.passed < joined + 5:  # a live link: nothing but beats comes
                await asyncio.sleep(0.01)
        assert proxy.connections == 1
        proxy.freeze()
        assert (await client.until("reconnecting"))["attempt"] == 1
        assert proxy.dropped <= BEATS_LOST_MAX, "by the server's own clock: so many beats went by"
        await client.until("joined")
        assert proxy.connections == 2
    finally:
        await client.stop()
        await proxy.stop()
