"""The PROXY protocol's headers: the client that they name, and invalid ones. Then at a real gateway."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st

from liveroom.gateway.proxy_protocol import HEADER_BYTES_MAX, BadProxyHeader, bytes_wanted, client_of
from tests.gateway.place import WAIT_S, Place, Viewer, show, token

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def version_2(addresses: bytes, *, family: int = 0x11, command: int = 0x21, more: bytes = b"") -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(addresses) + len(more)) + addresses + more


def read(stream: bytes) -> tuple[bytes, bytes]:
    """A header as a gateway reads it out of a stream, and what is left of the stream."""
    header = b""
    while wanted := bytes_wanted(header):
        part, stream = stream[:wanted], stream[wanted:]
        if not part:
            raise BadProxyHeader("the stream ended")
        header += part
    return header, stream


GOOD = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", "192.0.2.7"),
    (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n", "1.1.1.1"),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n", "2001:db8::7"),
    (b"PROXY TCP6 :: :: 1 1\r\n", "::"),
    (b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "ffff:" * 7 + "ffff"),
    (b"PROXY UNKNOWN\r\n", ""),
    (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", ""),
    (version_2(IPv4Address("192.0.2.7").packed + IPv4Address("198.51.100.1").packed + struct.pack("!HH", 56324, 443)), "192.0.2.7"),
    (version_2(IPv6Address("2001:db8::7").packed * 2 + bytes(4), family=0x21), "2001:db8::7"),
    (version_2(IPv4Address("192.0.2.7").packed * 2 + bytes(4), more=b"\x04\x00\x10" + bytes(16)), "192.0.2.7"),
    (version_2(bytes(216), family=0x31), ""),
    (version_2(b"", family=0x00), ""),
    (version_2(b"", family=0x00, command=0x20), ""),
    (version_2(bytes(12), command=0x20), ""),
]


@pytest.mark.parametrize(("header", "client"), GOOD)
def test_a_header_names_its_client(header: bytes, client: str) -> None:
    """The source address of both versions; none if the proxy speaks for itself. Not a byte beyond the header is read."""
    assert read(header + b"\x16\x03\x01GET / HTTP/1.1\r\n\r\n") == (header, b"\x16\x03\x01GET / HTTP/1.1\r\n\r\n")
    assert client_of(header) == client


@pytest.mark.parametrize(
    "stream",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n" + b"x" * 100,
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n" + b"x" * 100,
        b"PROXY TCP4 192.0.2.700 198.51.100.1 56324 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
        b"PROXY TCP4  192.0.2.7 198.51.100.1 56324 443\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 56324 443\r\n",
        b"PROXY TCP6 192.0.2.7 198.51.100.1 56324 443\r\n",
        b"PROXY TCP6 fe80::1%eth0 :: 1 1\r\n",
        b"PROXY TCP5 192.0.2.7 198.51.100.1 56324 443\r\n",
        b"PROXY UNKNOWNS\r\n",
        b"proxy TCP4 192.0.2.7 198.51.100.1 56324 443\r\n",
        b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n",
        version_2(bytes(12), command=0x11),
        version_2(bytes(12), command=0x22),
        version_2(bytes(12), family=0x12),
        version_2(bytes(12), family=0x41),
        version_2(bytes(11)),
        version_2(bytes(35), family=0x21),
        version_2(bytes(12), more=bytes(HEADER_BYTES_MAX)),
    ],
)
def test_what_is_none_is_told(stream: bytes) -> None:
    """Whatever a proxy may send instead: the connection ends, and no address is invented."""
    with pytest.raises(BadProxyHeader):
        client_of(read(stream)[0])


@given(
    st.one_of(
        st.binary(max_size=200),
        st.tuples(st.sampled_from([h for h, _ in GOOD]), st.binary(max_size=60), st.integers(0, 60)).map(
            lambda drawn: drawn[0][: drawn[2]] + drawn[1]
        ),
    )
)
def test_any_bytes_are_a_header_or_none(stream: bytes) -> None:
    """Nothing else is raised, and no more is ever asked for than a header may have."""
    try:
        header, _ = read(stream)
        client_of(header)
    except BadProxyHeader:
        return
    assert len(header) <= HEADER_BYTES_MAX


CLIENT = b"PROXY TCP6 2001:db8:1:2::7 2001:db8::1 56324 443\r\n"
BEHIND_PROXIES: dict[str, Any] = {"proxy_protocol": True, "trusted_proxies": ("127.0.0.0/29",)}


async def forwarded(place: Place, header: bytes, *, source: str = "127.0.0.1") -> socket.socket:
    """A connection as a proxy makes it."""
    client = socket.socket()
    client.setblocking(False)
    client.bind((source, 0))
    loop = asyncio.get_running_loop()
    await asyncio.wait_for(loop.sock_connect(client, ("127.0.0.1", place.gateway.port)), WAIT_S)
    with contextlib.suppress(ConnectionError):  # it may be over before all of it was sent
        for at in range(0, len(header), 5):
            await loop.sock_sendall(client, header[at : at + 5])
            await asyncio.sleep(0)
    return client


async def enter(place: Place, header: bytes, user: str, *, source: str = "127.0.0.1", ssl: Any = None) -> websockets.ClientConnection:
    return await websockets.connect(
        f"{'wss' if ssl else 'ws'}://localhost:{place.gateway.port}/v1/rooms/demo",
        additional_headers={"Authorization": f"Bearer {token(user)}"},
        sock=await forwarded(place, header, source=source),
        ssl=ssl,
    )


async def ended(client: socket.socket) -> bool:
    """Whether the gateway ends it without a word."""
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), WAIT_S) == b""
    return True


async def until_refused(place: Place, reason: str, count: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while place.metric("handshakes_refused_total", reason=reason) < count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("tls", [False, True])
async def test_limits_count_the_client_that_the_header_names(certificate: tuple[Path, Path], tls: bool) -> None:
    """The rule holds for both versions, with TLS and without. The next address of the same IPv6 network counts with it."""
    cert_file, key_file = certificate
    files: dict[str, Any] = {"tls_cert_file": str(cert_file), "tls_key_file": str(key_file)} if tls else {}
    context = ssl.create_default_context(cafile=str(cert_file)) if tls else None
    second = version_2(IPv6Address("2001:db8:1:2::8").packed * 2 + bytes(4), family=0x21)
    other = version_2(IPv4Address("192.0.2.7").packed * 2 + bytes(4), more=b"\x04\x00\x10" + bytes(16))
    async with show(**BEHIND_PROXIES, connections_per_address_max=1, **files) as place, await enter(place, CLIENT, "a", ssl=context) as first:
        assert (await Viewer(first).next())["type"] == "joined"
        with pytest.raises(websockets.InvalidStatus, match="429"):
            await enter(place, second, "b", ssl=context)
        async with await enter(place, other, "c", ssl=context) as third:
            assert (await Viewer(third).next())["type"] == "joined"


async def test_half_open_handshakes_count_for_the_client_that_the_header_names() -> None:
    """One client behind the proxy displaces its own, and not those of others."""
    async with show(**BEHIND_PROXIES, handshakes_per_address_max=2, handshake_ms=60_000) as place:
        clients = [await forwarded(place, CLIENT) for _ in range(5)]
        others = [await forwarded(place, b"PROXY TCP4 192.0.2.%d 192.0.2.9 1 1\r\n" % n) for n in range(5)]
        await until_refused(place, "address_waiting", 3)
        assert [await ended(client) for client in clients[:3]] == [True] * 3
        assert place.metric("handshakes_waiting") == 7
        for client in clients + others:
            client.close()


async def test_only_trusted_proxies_are_asked_for_a_header() -> None:
    """Any other client counts by its own address, and its header is no request."""
    async with show(**BEHIND_PROXIES) as place:
        async with await enter(place, b"", "direct", source="127.0.0.99") as direct:
            assert (await Viewer(direct).next())["type"] == "joined"
        liar = await forwarded(place, CLIENT + b"\r\n", source="127.0.0.99")
        assert (await asyncio.wait_for(asyncio.get_running_loop().sock_recv(liar, 12), WAIT_S)) == b"HTTP/1.1 400"
        liar.close()


async def test_a_proxy_that_speaks_for_itself_gets_in() -> None:
    """Health checks of a proxy come this way: LOCAL and UNKNOWN name no client."""
    async with show(**BEHIND_PROXIES) as place:
        for header in (b"PROXY UNKNOWN\r\n", version_2(b"", family=0, command=0x20)):
            async with await enter(place, header, "check") as connection:
                assert (await Viewer(connection).next())["type"] == "joined"


async def test_a_bad_header_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    """So does none, and one that does not come in time. It is counted, and logged once."""
    async with show(**BEHIND_PROXIES, handshake_ms=300) as place:
        clients = [await forwarded(place, header) for header in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01" + bytes(200))]
        assert [await ended(client) for client in clients] == [True, True]
        await until_refused(place, "proxy_header", 2)
        slow = await forwarded(place, CLIENT[:20])
        assert await ended(slow)
        await until_refused(place, "late", 1)
        gone = await forwarded(place, CLIENT[:20])
        gone.close()
        await until_refused(place, "proxy_header", 3)
        assert place.metric("handshakes_waiting") == 0
        for client in (*clients, slow):
            client.close()
    (told,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (told.name, vars(told)["proxy"]) == ("liveroom.gateway.arrivals", "127.0.0.1")
