"""Sockets that send on the descriptor of a transport."""

from __future__ import annotations

import asyncio
import gc
import os
import socket

import pytest

from liveroom.gateway.borrowed_socket import BorrowedSocket


async def test_the_transport_keeps_its_descriptor() -> None:
    """A borrowed socket sends in order with the transport, and its end closes nothing."""
    made: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda _, writer: made.set_result(writer), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    theirs = await made
    fd = theirs.get_extra_info("socket").fileno()
    borrowed = BorrowedSocket.of(theirs.transport)
    assert borrowed.fileno() == fd
    assert borrowed.send(b"one ") == 4
    del borrowed
    gc.collect()
    os.fstat(fd)  # raises for a closed descriptor
    theirs.write(b"two")
    theirs.close()
    assert await reader.read() == b"one two"
    writer.close()
    server.close()


def test_a_full_socket_and_a_broken_one_raise_at_once() -> None:
    """Nothing waits: a full socket raises `BlockingIOError`, and one whose client is gone raises another `OSError`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        served, _ = listener.accept()
    served.setblocking(False)
    borrowed = BorrowedSocket(served.family, served.type, served.proto, served.fileno())
    with pytest.raises(BlockingIOError):
        fill(borrowed)
    client.close()  # with unread data, so it resets the connection
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        fill(borrowed)
    served.close()


def fill(borrowed: BorrowedSocket) -> None:
    """Send until that raises."""
    while borrowed.send(b"x" * 100_000):
        pass
