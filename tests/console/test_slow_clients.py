"""Clients that send or read slowly, and clients that ask for much at once: they take from each other and from no payment."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec.structs import replace

from liveroom.messages.fields import Role
from tests.console.live import ANCHOR, PLATFORM, VIEWER, Live, config_of, serve, serve_all, token, until
from tests.console.test_connections import LIVEZ, Pipe, ask, connected, dropped, head_of

PRODUCTS = 150


def command(of: str, body: bytes = b'{"text":"hi"}', *, sent: int | None = None, more: str = "") -> bytes:
    """A request to send a line of chat with the first `sent` bytes of its body."""
    head = f"POST /v1/rooms/r1/commands/send_chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {of}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body[:sent]


def get(path: str, *, of: str = "", more: str = "") -> bytes:
    """A request to read."""
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{f'Authorization: Bearer {of}' if of else 'X: y'}\r\n{more}\r\n".encode()


def sample(live: Live, name: str, **labels: str) -> float:
    return live.metrics.registry.get_sample_value(f"liveroom_console_{name}", labels) or 0.0


async def test_slow_bodies_keep_no_payment_out() -> None:
    """However many viewers send the head of a command and a byte of its body, the platform's commands are answered."""
    config = config_of(connections_max=20, requests_per_user_max=1_000)
    async with serve_all(config) as live, AsyncExitStack() as slow:
        await live.do("open_room", {"title": "t"})
        for n in range(60):
            await slow.enter_async_context(connected(live.console.port, 1, command(token(f"v{n % 4}", Role.viewer), sent=1)))
        await until(lambda: dropped(live, "too_many") >= 40)
        for n in range(5):
            body = b'{"text":"paid %d"}' % n
            assert (await ask(live.console.port, command(PLATFORM, body))).startswith(b"HTTP/1.1 200"), n
        assert (await ask(live.console.port, get("/v1/rooms/r1"))).startswith(b"HTTP/1.1 200")


async def test_a_body_that_comes_in_pieces_is_taken() -> None:
    """A request that waited for its client goes on when the rest is there."""
    async with serve_all() as live:
        await live.do("open_room", {"title": "t"})
        async with connected(live.console.port, 1, command(VIEWER, sent=4)) as (pipe,):
            await until(lambda: bool(live.console._listener._crowd._slow))
            pipe[1].write(b'{"text":"hi"}'[4:])
            assert (await head_of(pipe)).startswith(b"HTTP/1.1 200")


async def test_viewers_commands_that_wait_for_the_engine_leave_a_part_to_staff() -> None:
    """While seven eighths of the connections have a viewer's command at work, a viewer is refused and the platform's command goes on."""
    async with serve(config_of(connections_max=8)) as live, AsyncExitStack() as stack:
        for n in range(7):
            await stack.enter_async_context(connected(live.console.port, 1, command(token(f"v{n}", Role.viewer))))
        await until(lambda: len(live.journal.sent) == 7)
        refused = await ask(live.console.port, command(VIEWER))
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert sample(live, "requests_refused_total", reason="all") == 1
        async with connected(live.console.port, 1, command(PLATFORM)):
            await until(lambda: len(live.journal.sent) == 8)
            assert live.journal.sent[-1].sender.role is Role.platform
            assert (await ask(live.console.port)).startswith(b"HTTP/1.1 200")


async def test_bodies_that_are_whole_at_the_same_time_stay_within_their_part() -> None:
    """A crowd that waits with its last byte and then sends it together gets no further than one that sent it at once."""
    async with serve(config_of(connections_max=8)) as live, AsyncExitStack() as stack:
        pipes: list[Pipe] = []
        for n in range(8):
            pipes += await stack.enter_async_context(connected(live.console.port, 1, command(token(f"v{n}", Role.viewer), sent=5)))
        await until(lambda: len(live.console._listener._crowd._slow) == 8)
        for _, writer in pipes:
            writer.write(b'{"text":"hi"}'[5:])
        await until(lambda: sample(live, "requests_refused_total", reason="all") == 1)
        await until(lambda: len(live.journal.sent) == 7)


async def test_one_user_has_so_many_requests_under_way() -> None:
    """Beyond `console.requests_per_user_max` the user is refused; other users and the platform are not."""
    async with serve_all(config_of(requests_per_user_max=2)) as live:
        await live.do("open_room", {"title": "t"})
        async with connected(live.console.port, 2, command(VIEWER, sent=1)), connected(live.console.port, 2, command(PLATFORM, sent=1)):
            await until(lambda: len(live.console._listener._crowd) >= 4 and sample(live, "connections") >= 4)
            await until(lambda: len(live.console._listener._crowd._requests) == 4)
            refused = await ask(live.console.port, command(VIEWER))
            assert refused.startswith(b"HTTP/1.1 429 ")
            assert b"Retry-After: 1" in refused
            assert sample(live, "requests_refused_total", reason="user") == 1
            for other in (PLATFORM, token("bob", Role.viewer)):
                assert (await ask(live.console.port, command(other))).startswith(b"HTTP/1.1 200")
        await until(lambda: not live.console._listener._crowd._requests)
        assert (await ask(live.console.port, command(VIEWER))).startswith(b"HTTP/1.1 200")


async def test_one_address_has_so_many_requests_under_way() -> None:
    """Beyond `console.requests_per_address_max` it is refused, with a token or without; staff and other clients of a proxy are not."""
    config = config_of(requests_per_address_max=2)
    config = replace(config, gateway=replace(config.gateway, trusted_proxies=("127.0.0.0/8",)))
    near, far = "X-Forwarded-For: 2001:db8::1\r\n", "X-Forwarded-For: 2001:db8:0:1::1\r\n"
    async with serve_all(config) as live, AsyncExitStack() as stack:
        await live.do("open_room", {"title": "t"})
        for n in range(2):
            more = near.replace("::1", f"::{n + 7}")  # the same network of 64 bits
            await stack.enter_async_context(connected(live.console.port, 1, command(token(f"v{n}", Role.viewer), sent=1, more=more)))
        await until(lambda: len(live.console._listener._crowd._requests) == 2)
        for refused in (get("/v1/rooms/r1", more=near), get("/v1/rooms/r1", of=VIEWER, more=near), get("/", more=near)):
            assert (await ask(live.console.port, refused)).startswith(b"HTTP/1.1 429 ")
        assert sample(live, "requests_refused_total", reason="address") == 3
        for taken in (get("/v1/rooms/r1", more=far), get("/v1/rooms/r1", of=ANCHOR, more=near), get("/v1/rooms/r1"), LIVEZ):
            assert (await ask(live.console.port, taken)).startswith(b"HTTP/1.1 200")


@asynccontextmanager
async def large_showcase(**console: int) -> AsyncIterator[tuple[Live, int]]:
    """A room whose showcase is larger than what the kernel takes for a client that does not read; gives its bytes, too."""
    async with serve_all(config_of(**console)) as live:
        await live.do("open_room", {"title": "t"})
        for n in range(PRODUCTS):
            await add_product(live, n)
        yield live, len((await live.get("/v1/rooms/r1/showcase")).body)


async def add_product(live: Live, n: int) -> None:
    fields = {"title": "\U0001f600" * 120, "price_fen": 1_000, "image_url": "https://x/" + "a" * 480, "link_url": "https://x/" + "b" * 480}
    await live.do("add_product", {"product": {"id": f"p{n}", **fields}})


@asynccontextmanager
async def not_reading(live: Live) -> AsyncIterator[socket.socket]:
    """A client that asks for the showcase and reads nothing."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", live.console.port))
        await asyncio.get_running_loop().sock_sendall(client, get("/v1/rooms/r1/showcase"))
        yield client


async def rest_of(client: socket.socket) -> bytes:
    """The bytes that the server sends until the connection ends or the answer is complete."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while more := await asyncio.get_running_loop().sock_recv(client, 65_536):
            got += more
            head, end, body = got.partition(b"\r\n\r\n")
            if end and f"Content-Length: {len(body)}\r\n".encode() in head + b"\r\n":
                break
    return got


async def test_an_answer_that_many_do_not_read_takes_memory_once() -> None:
    """Until something happens in the room all its readers share one body."""
    async with large_showcase(unread_bytes_max=1_000_000) as (live, size), AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(not_reading(live)) for _ in range(10)]
        await until(lambda: len(live.console._listener._crowd._slow) == 10)
        assert sample(live, "unread_bytes") == size
        assert dropped(live, "unread") == 0
        answers = await asyncio.gather(*map(rest_of, clients))
        assert len({answer.partition(b"\r\n\r\n")[2] for answer in answers}) == 1
        assert len(answers[0].partition(b"\r\n\r\n")[2]) == size
        await until(lambda: sample(live, "unread_bytes") == 0)


async def test_answers_that_are_not_read_are_bounded_in_bytes() -> None:
    """Beyond `console.unread_bytes_max` the client that has been reading longest is dropped; the newest gets its whole answer."""
    async with large_showcase(unread_bytes_max=700_000) as (live, size), AsyncExitStack() as stack:
        clients: list[socket.socket] = []
        for n in range(6):
            clients.append(await stack.enter_async_context(not_reading(live)))
            await until(lambda n=n: len(live.console._listener._crowd._slow) + dropped(live, "unread") == n + 1)  # type: ignore[misc]
            assert sample(live, "unread_bytes") <= 700_000
            await add_product(live, PRODUCTS + n)  # the next one gets another body
        kept = 700_000 // (size + 10_000)
        assert dropped(live, "unread") == 6 - kept
        answers = await asyncio.gather(*map(rest_of, clients))
        whole = [len(answer.partition(b"\r\n\r\n")[2]) >= size for answer in answers]
        assert whole == [False] * (6 - kept) + [True] * kept
        await until(lambda: sample(live, "unread_bytes") == 0)


async def test_what_changed_is_read_as_it_is_now() -> None:
    """A body that was encoded for others is never given after an event that changes it."""
    async with serve_all() as live:
        await live.do("open_room", {"title": "t"})
        for n in range(3):
            await add_product(live, n)
            assert len((await live.get("/v1/rooms/r1/showcase")).json["products"]) == n + 1
            await live.do("ask_question", {"text": f"why {n}?"}, token=token(f"v{n}", Role.viewer))
            assert len((await live.get("/v1/rooms/r1/questions")).json["questions"]) == n + 1
