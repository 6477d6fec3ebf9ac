"""The lean WebSocket client, against a server that others wrote."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from loadtests.lib.lean_client import Address, HandshakeRefused, LeanConnection, open_connection


class Listener(LeanConnection):
    """Keeps what comes."""

    def __init__(self, address: Address, *, deflate: bool = False) -> None:
        super().__init__(address, "/v1/rooms/demo", "t0ken", deflate=deflate)
        self.texts: asyncio.Queue[str] = asyncio.Queue()
        self.end: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    def on_text(self, raw: bytes, text: bytes) -> None:
        self.texts.put_nowait(text.decode())

    def on_end(self, code: int, reason: str) -> None:
        self.end.set_result((code, reason))


@asynccontextmanager
async def served(handler: Callable[[ServerConnection], object]) -> AsyncIterator[Address]:
    async def handle(socket: ServerConnection) -> None:
        result = handler(socket)
        if asyncio.iscoroutine(result):
            await result

    no_takeover = [ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)]
    async with serve(handle, "127.0.0.1", 0, compression=None, extensions=no_takeover, close_timeout=1) as server:
        yield Address("127.0.0.1", next(iter(server.sockets)).getsockname()[1], None)


@pytest.mark.parametrize("deflate", [True, False])
async def test_frames_of_every_length_come_through(deflate: bool) -> None:
    """Text of all three length forms arrives whole, in both directions, compressed or not."""
    sizes = [0, 1, 125, 126, 65_535, 65_536, 300_000]

    async def echo(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async with served(echo) as address, asyncio.timeout(20):
        listener = await open_connection(Listener(address, deflate=deflate), address)
        for size in sizes:
            listener.send_text(("长" * size).encode())
        for size in sizes:
            assert await listener.texts.get() == "长" * size
        listener.close()


async def test_a_source_address_is_used() -> None:
    """A connection comes from the given source address."""
    async with served(lambda socket: socket.send(socket.remote_address[0])) as address, asyncio.timeout(20):
        listener = await open_connection(Listener(address), address, source="127.0.3.7", receive_bytes=4_096)
        assert await listener.texts.get() == "127.0.3.7"
        listener.close()


async def test_pings_are_answered_and_closes_told() -> None:
    """A ping gets its pong; a close reports its code and reason."""

    async def ping(socket: ServerConnection) -> None:
        await (await socket.ping(b"p" * 125))
        await socket.close(4001, "idle")

    async with served(ping) as address, asyncio.timeout(20):
        listener = await open_connection(Listener(address), address)
        assert await listener.end == (4001, "idle")


async def test_a_lost_connection_is_told() -> None:
    """A connection that is cut ends with 1006."""
    async with served(lambda socket: socket.transport.abort()) as address, asyncio.timeout(20):
        listener = await open_connection(Listener(address), address)
        assert (await listener.end)[0] == 1006


async def test_a_refused_handshake_is_told() -> None:
    """A refusal, and a server without WebSocket, raise an error with the status."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, asyncio.timeout(20):
        address = Address("127.0.0.1", server.sockets[0].getsockname()[1], None)
        with pytest.raises(HandshakeRefused) as refused:
            await open_connection(Listener(address), address)
        assert refused.value.status == 503


@pytest.mark.parametrize("data", [b"\x01\x02ab", b"\x81\x82abcdef", b"\x81\x7f" + b"\xff" * 8])
async def test_what_no_gateway_sends_ends_the_connection(data: bytes) -> None:
    """Fragments, masked frames and absurd lengths end the connection; nothing of them is taken for text."""

    async def send_raw(socket: ServerConnection) -> None:
        socket.transport.write(data)
        await socket.wait_closed()

    async with served(send_raw) as address, asyncio.timeout(20):
        listener = await open_connection(Listener(address), address)
        assert (await listener.end)[0] == 1006
        assert listener.texts.empty()


@pytest.mark.parametrize("url", ["http://127.0.0.1", "127.0.0.1:8800", "ws://"])
def test_wrong_addresses(url: str) -> None:
    """An address that is no ws:// or wss:// address raises an error that says so."""
    with pytest.raises(ValueError, match="ws://"):
        Address.of(url)
