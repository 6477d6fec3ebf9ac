"""Connections before they are viewers: silent, half-open, refused, under TLS and without, and what others notice of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets

from liveroom.gateway.arrivals import BEGINS_MAX, Arrivals
from liveroom.process.listening import ACCEPTS_MAX
from tests.gateway.place import WAIT_S, Show, show

NEVER_S = 3_600.0
HALF_A_HEAD = b"GET /v1/rooms/demo HTTP/1.1\r\nHost: x\r\n"


@asynccontextmanager
async def tls_show(certificate: tuple[Path, Path], **settings: Any) -> AsyncIterator[Show]:
    """A gateway with TLS and its own certificate."""
    cert_file, key_file = certificate
    async with show(tls_cert_file=str(cert_file), tls_key_file=str(key_file), **settings) as place:
        place.tls = ssl.create_default_context(cafile=str(cert_file))
        yield place


async def silent(place: Show, count: int, address: str = "127.0.0.1", *, sending: bytes = b"") -> list[socket.socket]:
    """Connections that say nothing more."""
    made = []
    for number in range(count):
        client = socket.socket()
        client.setblocking(False)
        client.bind((address, 0))
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", place.gateway.port)), WAIT_S)
        if sending:
            client.send(sending)
        made.append(client)
        if number % 50 == 0:
            await asyncio.sleep(0)
    return made


def close(clients: list[socket.socket]) -> None:
    for client in clients:
        client.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def sockets_open() -> int:
    """How many sockets this process has."""

    def kind(number: str) -> str:
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/self/fd/{number}")
        return ""

    return sum(kind(number).startswith("socket:") for number in os.listdir("/proc/self/fd"))


def alive(clients: list[socket.socket]) -> list[bool]:
    """Which of them the server has not ended."""

    def still(client: socket.socket) -> bool:
        try:
            return client.recv(1) != b""
        except BlockingIOError:
            return True
        except ConnectionError:
            return False

    return [still(client) for client in clients]


async def test_silent_tls_connections_are_counted_and_displace_each_other(certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    """Connections that never begin TLS take no more descriptors than handshakes may. Honest viewers get in meanwhile, and the log says so."""
    async with tls_show(certificate, handshakes_waiting_max=50, handshake_ms=60_000) as place:
        before = sockets_open()
        clients = await silent(place, 400)
        await until(lambda: place.metric("handshakes_refused_total", reason="too_many") == 350)
        assert place.metric("handshakes_waiting") == 50
        assert sockets_open() - before <= 400 + 50 + 5
        for number in range(3):
            async with place.viewer(f"honest-{number}") as viewer:
                assert (await viewer.next())["type"] == "joined"
        await until(lambda: place.metric("handshakes_waiting") <= 50)
        ended = [not still for still in alive(clients)]
        assert all(ended[:350]), "the oldest go first"
        told = [record for record in caplog.records if "handshakes are waiting" in record.getMessage()]
        assert len(told) == 1
        assert vars(told[0])["reason"] == "too_many"
        close(clients)


@pytest.mark.parametrize("tls", [False, True])
async def test_one_address_keeps_no_other_out(certificate: tuple[Path, Path], tls: bool) -> None:
    """Half-open handshakes of one address, plain or under TLS, displace their own; others keep theirs."""
    settings: dict[str, Any] = {"handshakes_per_address_max": 10, "handshakes_waiting_max": 40, "handshake_ms": 60_000}
    async with tls_show(certificate, **settings) if tls else show(**settings) as place:
        patient = await silent(place, 5, "127.0.0.2", sending=b"" if tls else HALF_A_HEAD)
        flood = await silent(place, 200, "127.0.0.3", sending=b"" if tls else HALF_A_HEAD)
        await until(lambda: place.metric("handshakes_refused_total", reason="address_waiting") == 190)
        assert place.metric("handshakes_waiting") == 15
        assert all(alive(patient))
        await until(lambda: sum(alive(flood)) == 10)
        async with place.viewer("honest") as viewer:
            assert (await viewer.next())["type"] == "joined"
        close(patient + flood)


async def test_refused_tls_connections_are_gone_at_once(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that gets its refusal and never ends its side holds nothing, however long the end of TLS may take."""
    monkeypatch.setattr("liveroom.gateway.gateway.CLOSING_S", NEVER_S)
    async with tls_show(certificate) as place:
        place.tls.check_hostname = False
        before = sockets_open()
        clients = []
        for _ in range(50):
            raw = await asyncio.open_connection("127.0.0.1", place.gateway.port, ssl=place.tls, ssl_shutdown_timeout=0.1)
            raw[1].write(b"GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n")
            clients.append(raw)
        answers = [await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S) for reader, _ in clients]
        assert all(answer.startswith(b"HTTP/1.1 404 ") for answer in answers)
        await until(lambda: place.metric("handshakes_waiting") == 0)
        for _, writer in clients:
            writer.transport.abort()
        await until(lambda: sockets_open() <= before)


async def test_a_refused_client_that_does_not_end_is_dropped(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for one that reads nothing and answers no end of TLS, by a bare socket with TLS by hand."""
    monkeypatch.setattr("liveroom.gateway.gateway.CLOSING_S", NEVER_S)
    async with tls_show(certificate) as place:
        place.tls.check_hostname = False
        (client,) = await silent(place, 1)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = place.tls.wrap_bio(incoming, outgoing, server_hostname="localhost")
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                break
            await loop.sock_sendall(client, outgoing.read())
            incoming.write(await asyncio.wait_for(loop.sock_recv(client, 65_536), WAIT_S))
        tls.write(b"GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n")
        await loop.sock_sendall(client, outgoing.read())
        await until(lambda: place.metric("handshakes_refused_total", reason="path") == 1)
        await until(lambda: place.metric("handshakes_waiting") == 0)
        client.close()


async def test_a_tls_handshake_that_fails_is_over_and_counted(certificate: tuple[Path, Path]) -> None:
    """Plain bytes, an end in the middle, and one that is too slow: nothing of them is left."""
    async with tls_show(certificate, handshake_ms=300) as place:
        before = sockets_open()
        clients = await silent(place, 5, sending=HALF_A_HEAD)
        await until(lambda: place.metric("handshakes_refused_total", reason="tls") == 5)
        gone = await silent(place, 5)
        close(gone)
        await until(lambda: place.metric("handshakes_refused_total", reason="gone") == 5)
        part = await silent(place, 5, sending=b"\x16\x03\x01\x02\x00\x01")
        close(part)
        await until(lambda: place.metric("handshakes_refused_total", reason="tls") == 10)
        slow = await silent(place, 5)
        await until(lambda: place.metric("handshakes_refused_total", reason="late") == 5)
        assert place.metric("handshakes_waiting") == 0
        close(clients + slow)
        await until(lambda: sockets_open() <= before)


async def test_a_silent_connection_costs_no_task_and_no_tls_session(certificate: tuple[Path, Path]) -> None:
    """TLS begins with the client's first bytes: connections that say nothing are only held."""
    async with tls_show(certificate, handshake_ms=60_000) as place:
        before = len(asyncio.all_tasks())
        clients = await silent(place, 20)
        await until(lambda: place.metric("handshakes_waiting") == 20)
        assert len(asyncio.all_tasks()) == before
        for client in clients:
            client.send(b"\x16\x03\x01\x02\x00\x01")
        await until(lambda: len(asyncio.all_tasks()) == before + 20)
        close(clients)
        await until(lambda: len(asyncio.all_tasks()) == before)


async def test_draining_ends_tls_handshakes_under_way(certificate: tuple[Path, Path]) -> None:
    """Nothing of the gateway is left open after it."""
    async with tls_show(certificate, handshake_ms=60_000) as place:
        clients = await silent(place, 5)
        await until(lambda: place.metric("handshakes_waiting") == 5)
        await asyncio.wait_for(place.gateway.drain(), WAIT_S)
        await until(lambda: not any(alive(clients)))
        close(clients)


async def test_unfinished_heads_hold_no_more_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Together; those that began first are dropped."""
    monkeypatch.setattr("liveroom.gateway.gateway.HEADS_BYTES_MAX", 40_000)
    async with show(handshake_ms=60_000) as place:
        clients = await silent(place, 20, sending=HALF_A_HEAD + b"X: " + b"y" * 5_000)
        await until(lambda: place.metric("handshakes_refused_total", reason="heads_bytes") == 13)
        await until(lambda: alive(clients) == [False] * 13 + [True] * 7)
        close(clients)


async def test_an_ipv6_network_counts_as_one_address() -> None:
    """A user who has a /64 has 18 trillion million addresses and one share; told by a trusted proxy here."""
    settings: dict[str, Any] = {"connections_per_address_max": 1, "trusted_proxies": ("127.0.0.0/8",)}
    async with show(**settings) as place, place.viewer("a", forwarded_for="2001:db8:1:2::1") as first:
        await first.next()
        with pytest.raises(websockets.InvalidStatus, match="429"):
            async with place.viewer("b", forwarded_for="2001:db8:1:2:ffff::2"):
                pass
        async with place.viewer("c", forwarded_for="2001:db8:1:3::1") as other:
            assert (await other.next())["type"] == "joined"


async def test_handshakes_through_a_trusted_proxy_count_for_no_address() -> None:
    """All of its clients come from its one address, and whose they are is known only with their heads."""
    async with show(handshakes_per_address_max=2, trusted_proxies=("127.0.0.0/8",), handshake_ms=60_000) as place:
        clients = await silent(place, 10, sending=HALF_A_HEAD)
        await until(lambda: place.metric("handshakes_waiting") == 10)
        assert all(alive(clients))
        close(clients)


async def test_tokens_of_dropped_handshakes_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The warning names numbers and reasons only."""
    caplog.set_level(logging.DEBUG, "liveroom")
    async with show(handshakes_waiting_max=1, handshake_ms=60_000) as place:
        clients = await silent(place, 3, sending=b"GET /v1/rooms/demo?token=very-secret HTTP/1.1\r\n")
        await until(lambda: place.metric("handshakes_refused_total", reason="too_many") == 2)
        close(clients)
    assert "very-secret" not in "".join(f"{r.getMessage()} {vars(r)}" for r in caplog.records)


async def test_handshakes_that_come_together_begin_a_few_in_each_turn(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst of connections does not make viewers wait for all of its TLS handshakes: each turn of the loop begins `BEGINS_MAX`."""
    loop, turn, begun = asyncio.get_running_loop(), 0, []

    def count_turn() -> None:
        nonlocal turn
        turn += 1
        loop.call_soon(count_turn)

    connect = Arrivals._connect

    def begin(self: Arrivals, *args: Any) -> Any:
        begun.append(turn)
        return connect(self, *args)

    monkeypatch.setattr(Arrivals, "_connect", begin)
    async with tls_show(certificate, handshakes_per_address_max=100) as place:
        count_turn()
        clients = [socket.create_connection(("127.0.0.1", place.gateway.port), WAIT_S) for _ in range(40)]  # the loop stands still meanwhile
        for client in clients:
            client.send(b"\x16")
        await until(lambda: len(begun) == 40)
        close(clients)
    assert max(Counter(begun).values()) <= BEGINS_MAX


async def test_displaced_connections_give_their_files_back_in_the_next_turns(certificate: tuple[Path, Path]) -> None:
    """A burst of silent connections takes no more files than may wait, plus what four turns accept: accept, end, begin, close."""
    loop, most = asyncio.get_running_loop(), 0

    def look() -> None:
        nonlocal most
        most = max(most, sockets_open())
        loop.call_soon(look)

    async with tls_show(certificate, handshakes_waiting_max=20, handshakes_per_address_max=20) as place:
        clients = [socket.create_connection(("127.0.0.1", place.gateway.port), WAIT_S) for _ in range(200)]  # the loop stands still meanwhile
        for client in clients:
            client.setblocking(False)
        before = sockets_open()
        look()
        await until(lambda: sum(alive(clients)) == 20)
        close(clients)
    assert most - before <= 20 + 4 * ACCEPTS_MAX
