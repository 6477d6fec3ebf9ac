"""Viewers for `fanout` at the least cost: raw sockets in one epoll loop that count what arrives.

They look for data now and then instead of waiting for it: a reader that waits on this machine makes the server's
kernel wake it with every write, which viewers elsewhere never do and which would drown what is compared.
"""

from __future__ import annotations

import os
import select
import socket
import time
from multiprocessing.connection import Connection

__all__ = ["run_readers"]

READ_BYTES = 256 * 1024
READ_INTERVAL_S = 0.01


def run_readers(pipe: Connection, viewers: int, cpu: int | None) -> None:
    """Body of a reader process: takes `("connect", port, path)`, `("count",)` over its pipe; answers with what it did."""
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    poll = select.epoll()
    poll.register(pipe.fileno(), select.EPOLLIN)
    by_fd: dict[int, tuple[socket.socket, int]] = {}
    received: dict[int, int] = {}
    buffer = bytearray(READ_BYTES)
    while True:
        time.sleep(READ_INTERVAL_S)
        for fd, _ in poll.poll(0, max(1, len(by_fd))):
            if fd != pipe.fileno():
                client, port = by_fd[fd]
                n = client.recv_into(buffer)
                if n == 0:
                    raise SystemExit(f"the server on port {port} closed a connection")
                received[port] += n
                continue
            try:
                order = pipe.recv()
            except EOFError:
                return
            if order[0] == "connect":
                _, port, paths = order
                received[port] = 0
                for path in paths:
                    client = _connect(port, path)
                    by_fd[client.fileno()] = (client, port)
                    poll.register(client.fileno(), select.EPOLLIN)
                pipe.send(len(paths))
            else:
                counts, received = received, dict.fromkeys(received, 0)
                pipe.send(counts)


def _connect(port: int, path: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = client.recv(READ_BYTES)
    if not head.startswith(b"HTTP/1.1 101 "):
        raise SystemExit(f"the server on port {port} refused: {head[:300]!r}")
    client.setblocking(False)
    return client
