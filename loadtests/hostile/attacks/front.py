"""The base of all attacks: the server's address, their source addresses, and a count of outcomes."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import count, cycle
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from msgspec import Struct

from liveroom.auth.tokens import make_token
from liveroom.config.schema import AuthConfig
from liveroom.messages.fields import Role
from loadtests.lib.command_connection import CommandConnection
from loadtests.lib.lean_client import Address, HandshakeRefused
from loadtests.lib.room_connection import join_once

__all__ = ["CONNECT_S", "Field", "Front", "hello_bytes"]

CONNECT_S: Final = 10.0
TOKEN_LIFETIME_S: Final = 86_400
#: Acts of one attack that may be under way at once; a server that is slow to answer is not attacked with more and more of them.
ACTS_MAX: Final = 64
#: Average time until a dropped connection is opened again.
AGAIN_S: Final = 6.0


class Field(Struct):
    """Where the attackers meet: the server, the honest users' room and another sale in it, and rooms of their own in the same partition."""

    gateway_url: str
    console_url: str
    auth: AuthConfig
    room: str
    sale: int
    scarce: int
    dens: list[str]


class Front:
    """The context of one attack; `outcomes` counts the results of its acts."""

    def __init__(self, field: Field, name: str, sources: Sequence[str]) -> None:
        self.field = field
        self.rng = random.Random(name)
        self.outcomes: Counter[str] = Counter()
        self._name = name
        self._sources = cycle(sources)
        self._numbers = count()
        address = Address.of(field.gateway_url)
        self.address = address._replace(tls=_trusting() if address.tls is not None else None)
        console = urlsplit(field.console_url)
        assert console.hostname is not None
        assert console.port is not None
        self.console = (console.hostname, console.port)

    def source(self) -> str:
        """The next address to come from."""
        return next(self._sources)

    def token(self, user: str, role: Role = Role.viewer, room: str = "") -> str:
        """A good token: platforms give them to everybody."""
        auth = self.field.auth
        return make_token(auth.secret, auth, user=user, room=room or self.field.room, role=role, lifetime_s=TOKEN_LIFETIME_S)

    def user(self) -> str:
        """A new user."""
        return f"{self._name}-{next(self._numbers)}"

    # Connections

    async def tcp(self, address: tuple[str, int]) -> socket.socket:
        """A bare connection. Raises `OSError`, `TimeoutError`."""
        sock = socket.socket()
        try:
            sock.setblocking(False)
            sock.bind((self.source(), 0))
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        return sock

    async def stream(self, address: tuple[str, int], tls: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to read from and write to. Raises `OSError`, `TimeoutError`."""
        async with asyncio.timeout(CONNECT_S):
            return await asyncio.open_connection(*address, ssl=tls, server_hostname=address[0] if tls else None, local_addr=(self.source(), 0))

    @property
    def gateway(self) -> tuple[str, int]:
        """The gateway's host and port."""
        return self.address.host, self.address.port

    async def speaker(self, user: str, role: Role = Role.viewer, room: str = "", token: str = "") -> CommandConnection:
        """A connection that has joined. Raises `HandshakeRefused`, `OSError`, `TimeoutError`."""
        where = room or self.field.room
        speaker = CommandConnection(self.address, f"/v1/rooms/{where}", token or self.token(user, role, where))
        await join_once(speaker, self.address, source=self.source())
        return speaker

    def session(self, connections: int = 4) -> aiohttp.ClientSession:
        """HTTP to the console; `async with` it."""
        connector = aiohttp.TCPConnector(limit=connections, local_addr=(self.source(), 0))
        return aiohttp.ClientSession(self.field.console_url, connector=connector, timeout=aiohttp.ClientTimeout(total=CONNECT_S))

    async def command(self, session: aiohttp.ClientSession, token: str, room: str, command: str, body: bytes) -> dict[str, Any]:
        """Send a command over HTTP and count its status; gives its result, empty unless it was accepted."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        async with session.post(f"/v1/rooms/{room}/commands/{command}", data=body, headers=headers) as answer:
            found: dict[str, Any] = await answer.json(content_type=None)
            self.count(f"{command} {answer.status} {found.get('code', '')}".strip())
            result: dict[str, Any] = found.get("result", {}) if answer.status == 200 else {}
            return result

    # Doing it

    def count(self, outcome: str, times: int = 1) -> None:
        """Something became of an act."""
        self.outcomes[outcome] += times

    @contextlib.contextmanager
    def trying(self) -> Iterator[None]:
        """Count every reaction that a server may have to an attacking client; other errors propagate."""
        try:
            yield
        except HandshakeRefused as error:
            self.count(f"handshake refused {error.status}")
        except TimeoutError:
            self.count("no answer in time")
        except (OSError, EOFError, aiohttp.ClientError, ValueError) as error:
            self.count(f"cut off: {type(error).__name__}")

    async def steadily(self, per_s: float, act: Callable[[], Awaitable[None]]) -> None:
        """Do it so many times a second, side by side as far as `ACTS_MAX` allows."""
        loop, slots = asyncio.get_running_loop(), asyncio.Semaphore(ACTS_MAX)
        due_s = loop.time()

        async def one() -> None:
            try:
                with self.trying():
                    await act()
            finally:
                slots.release()

        async with asyncio.TaskGroup() as tasks:
            while True:
                await slots.acquire()
                tasks.create_task(one())
                due_s = max(due_s + 1 / per_s, loop.time() - 1)
                await asyncio.sleep(max(0, due_s - loop.time()))

    async def keep(self, count: int, hold: Callable[[], Awaitable[None]]) -> None:
        """Hold so many connections at once; `hold` opens one and returns when the server has ended it."""

        async def one() -> None:
            await asyncio.sleep(self.rng.random() * AGAIN_S)
            while True:
                with self.trying():
                    await hold()
                    self.count("dropped by the server")
                await asyncio.sleep((0.5 + self.rng.random()) * AGAIN_S)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(count):
                tasks.create_task(one())


def hello_bytes() -> bytes:
    """The first bytes of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = _trusting().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def _trusting() -> ssl.SSLContext:
    """Attackers do not care who answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
