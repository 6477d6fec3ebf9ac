"""Viewers for `fanout` at the least cost: raw sockets in one epoll loop that count the frames that arrive.

They poll for data instead of waiting for it. A reader that waits on the same machine makes the server's kernel wake it with every write.
Viewers elsewhere never cause that work, and it would drown the difference between the servers.
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


class _Viewer:
    """One socket and what came of an unfinished frame."""

    __slots__ = ("frames_at_once", "port", "rest", "socket")

    def __init__(self, port: int, path: str, offer: str) -> None:
        self.port = port
        self.rest = b""
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n".encode()
        )
        while b"\r\n\r\n" not in self.rest:
            self.rest += self.socket.recv(READ_BYTES)
        head, _, data = self.rest.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise SystemExit(f"the server on port {port} refused: {head[:300]!r}")
        self.socket.setblocking(False)
        self.frames_at_once = self._take(data)

    def read(self, buffer: memoryview) -> int:
        """Read the available data; returns the number of text frames that ended."""
        n = self.socket.recv_into(buffer)
        if not n:
            raise SystemExit(f"the server on port {self.port} closed a connection")
        return self._take(self.rest + bytes(buffer[:n]))

    def _take(self, data: bytes) -> int:
        at = frames = 0
        while len(data) - at >= 4:
            length = data[at + 1]
            size = 2 + length if length < 126 else 4 + int.from_bytes(data[at + 2 : at + 4], "big")
            if length == 127:
                raise SystemExit("a frame is larger than any that was sent")
            if at + size > len(data):
                break
            frames += data[at] & 0x0F == 1
            at += size
        self.rest = data[at:]
        return frames


def run_readers(pipe: Connection, cpu: int | None) -> None:
    """Body of a reader process: takes `("connect", port, paths, headers)` and `("count",)` over its pipe, answers with numbers."""
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    poll = select.epoll()
    poll.register(pipe.fileno(), select.EPOLLIN)
    viewers: dict[int, _Viewer] = {}
    frames = 0
    buffer = memoryview(bytearray(READ_BYTES))
    while True:
        time.sleep(READ_INTERVAL_S)
        for fd, _ in poll.poll(0, max(1, len(viewers))):
            if fd != pipe.fileno():
                viewer = viewers[fd]
                frames += viewer.read(buffer)
                continue
            try:
                order = pipe.recv()
            except EOFError:
                return
            if order[0] == "connect":
                _, port, paths, headers = order
                for path in paths:
                    viewer = _Viewer(port, path, headers)
                    viewers[viewer.socket.fileno()] = viewer
                    frames += viewer.frames_at_once
                    poll.register(viewer.socket.fileno(), select.EPOLLIN)
                pipe.send(len(paths))
            else:
                pipe.send(frames)
