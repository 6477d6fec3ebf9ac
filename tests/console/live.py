"""A console on a real socket over a journal in memory, with the real engine, and a client that checks all traffic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from msgspec.structs import replace
from yarl import URL

from liveroom.auth.tokens import TokenChecker, make_token
from liveroom.config.schema import AuthConfig, Config, ConsoleConfig, JournalConfig
from liveroom.console.api import ReadLedger
from liveroom.console.console import Console
from liveroom.console.health import NotReady
from liveroom.engine.clock import SteadyClock
from liveroom.engine.engine import Engine
from liveroom.journal.memory import MemoryJournal
from liveroom.messages.fields import Role
from liveroom.protocol.records import Request
from liveroom.telemetry.metrics import Metrics
from tests.console.contract import check_answer, check_request

SECRET = "a secret of the tests, long enough for every algorithm there is here"
WAIT_S = 10.0
GATEWAY_URL = "ws://127.0.0.1:8800"


def config_of(**console: Any) -> Config:
    """Settings for a test: two partitions, any free port, no rate limit to speak of, and what the test says of the console."""
    settings = {"port": 0, "requests_per_s": 100_000, "requests_burst": 100_000, "shutdown_ms": 2_000, **console}
    return Config(journal=JournalConfig(kind="memory", partitions=2), console=ConsoleConfig(**settings))


def token(user: str, role: Role, room: str = "r1", *, name: str = "", lifetime_s: int = 3_600, buyer: bool = False) -> str:
    """A token of the tests, for longer than they all take."""
    return make_token(SECRET, AuthConfig(), user=user, room=room, role=role, lifetime_s=lifetime_s, name=name, buyer=buyer)


ANCHOR = token("anna", Role.anchor, name="Anna 安娜")
MODERATOR = token("mo", Role.moderator)
VIEWER = token("vera", Role.viewer)
PLATFORM = token("shop", Role.platform, "*")


class SeenJournal(MemoryJournal):
    """The journal in memory, with the commands sent to it."""

    def __init__(self, config: JournalConfig) -> None:
        super().__init__(config)
        self.sent: list[Request] = []

    async def send_commands(self, partition: int, requests: Sequence[Request]) -> None:
        self.sent += requests
        await super().send_commands(partition, requests)


class HttpResponse:
    """An answer that was held against the API's description."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        """The body as plain values."""
        return msgspec.json.decode(self.body)


class Live:
    """One console and its client."""

    def __init__(self, journal: SeenJournal, console: Console, session: aiohttp.ClientSession, metrics: Metrics) -> None:
        self.journal = journal
        self.console = console
        self.session = session
        self.metrics = metrics

    @property
    def url(self) -> str:
        """The console's address."""
        return f"http://127.0.0.1:{self.console.port}"

    async def ask(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        query: dict[str, str] | None = None,
    ) -> HttpResponse:
        """Send a request and check it and its answer."""
        url = URL(self.url + path, encoded=True).update_query(query or {})
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.request(method, url, headers={**sent, **(headers or {})}, data=body or None) as response:
            answer = HttpResponse(response.status, response.headers, await response.read())
        if method != "HEAD":  # has no body to check
            check_answer(method, path, answer.status, answer.headers, answer.body)
            if answer.status == 200:
                check_request(method, path, query or {}, body)
        return answer

    async def get(self, path: str, **more: Any) -> HttpResponse:
        """GET."""
        return await self.ask("GET", path, **more)

    async def send(self, command: str, fields: dict[str, Any] | None = None, *, token: str = ANCHOR, room: str = "r1", key: str = "") -> HttpResponse:
        """Send a command."""
        headers = {"Idempotency-Key": key} if key else {}
        body = msgspec.json.encode(fields) if fields is not None else b""
        return await self.ask("POST", f"/v1/rooms/{room}/commands/{command}", token=token, headers=headers, body=body)

    async def do(self, command: str, fields: dict[str, Any] | None = None, *, token: str = ANCHOR, room: str = "r1", key: str = "") -> Any:
        """Send a command that must happen; returns its result."""
        answer = await self.send(command, fields, token=token, room=room, key=key)
        assert answer.status == 200, answer.body
        return answer.json["result"]

    async def ready(self) -> None:
        """Wait until the console is ready."""
        await until(lambda: not self.console._not_ready_reason())


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so, but not forever."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def serve(
    config: Config | None = None,
    *,
    journal: SeenJournal | None = None,
    not_ready_reason: Callable[[], NotReady | None] = lambda: None,
    wait: bool = True,
    read_ledger: ReadLedger | None = None,
) -> AsyncIterator[Live]:
    """A running console, on a journal of its own or a given one; no engine."""
    config = config or config_of()
    journal = journal or SeenJournal(config.journal)
    metrics = Metrics()
    console = Console(
        journal,
        config,
        TokenChecker(AuthConfig(), SECRET),
        name="c1",
        metrics=metrics,
        address_key=b"k" * 32,
        gateway_url=GATEWAY_URL,
        not_ready_reason=not_ready_reason,
        read_ledger=read_ledger,
    )
    await console.start()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT_S), auto_decompress=False) as session:
        live = Live(journal, console, session, metrics)
        try:
            if wait:
                await live.ready()
            yield live
        finally:
            await console.stop()


@asynccontextmanager
async def engine_on(journal: MemoryJournal, config: Config | None = None, clock: SteadyClock | None = None) -> AsyncIterator[Engine]:
    """A running engine."""
    engine = Engine(journal, config or config_of(), name="e1", metrics=Metrics(), clock=clock)
    await engine.start()
    try:
        await until(lambda: engine.ready)
        yield engine
    finally:
        await engine.stop()


@asynccontextmanager
async def serve_all(config: Config | None = None, *, read_ledger: ReadLedger | None = None) -> AsyncIterator[Live]:
    """A running console and engine."""
    config = config or config_of()
    journal = SeenJournal(config.journal)
    async with engine_on(journal, config), serve(config, journal=journal, read_ledger=read_ledger) as live:
        yield live
    await journal.close()


def with_engine(config: Config, **engine: Any) -> Config:
    """The settings with others for the engine."""
    return replace(config, engine=replace(config.engine, **engine))
