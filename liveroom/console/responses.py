"""Sends HTTP responses: all readers of a body share one copy, and the bytes that clients have not read are bounded."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from msgspec import Struct

from liveroom.console.connection_pool import PooledConnection
from liveroom.console.pages import etag_of
from liveroom.console.view import RoomView
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Keyframe
from liveroom.telemetry.metrics import Metrics
from liveroom.telemetry.seldom import Seldom

__all__ = ["CHUNK_BYTES", "Chunks", "EncodedViews", "UnreadResponses"]

#: Size of the pieces in which a body is written, in bytes. asyncio's transport copies what the client has not taken, so pieces are small.
CHUNK_BYTES: Final = 16 * 1024
#: Bytes of encoded views that are kept for later readers. The least recently used view is dropped first.
ENCODED_BYTES_MAX: Final = 16 * 1024 * 1024

log = logging.getLogger(__name__)


class Chunks(Payload):
    """A body that many responses share. It is written in pieces, each after the client has taken the previous one."""

    _autoclose = True  # the body needs no closing

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        text: str = self._value.decode(encoding, errors)
        return text

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the head on its own, so that no piece is copied to join it, and then the pieces."""
        writer.send_headers()
        body = memoryview(self._value)
        for start in range(0, len(body), CHUNK_BYTES):
            await writer.write(body[start : start + CHUNK_BYTES])
            await writer.drain()


class UnreadResponses:
    """The bodies of all responses that clients are reading. A body with several readers counts once.

    Beyond the limit, the oldest responses are aborted, because their clients are the slowest. Viewers' responses go before those of staff.
    The newest response is never aborted.
    """

    def __init__(self, bytes_max: int, metrics: Metrics) -> None:
        self._bytes_max = bytes_max
        self._metrics = metrics
        self._viewers: dict[PooledConnection, bytes] = {}
        self._staff: dict[PooledConnection, bytes] = {}
        self._readers: dict[int, int] = {}  # id of a body -> the number of its readers
        self._bytes = 0
        self._full = Seldom(log, "unread responses take too much memory; the slowest clients are dropped")
        metrics.console_unread_bytes.set_function(lambda: self._bytes)

    def begin(self, guest: PooledConnection, body: bytes, *, is_staff: bool) -> None:
        """Note the begin of a response, which may abort older responses."""
        if not body:
            return
        key = id(body)
        self._bytes += 0 if key in self._readers else len(body)
        self._readers[key] = self._readers.get(key, 0) + 1
        while self._bytes > self._bytes_max and (slowest := next(iter(self._viewers or self._staff), None)) is not None:
            self.end(slowest)
            self._metrics.console_connections_dropped.labels("unread").inc()
            self._full.warn(asyncio.get_running_loop().time(), unread_bytes_max=self._bytes_max)
            slowest.drop()
        (self._staff if is_staff else self._viewers)[guest] = body

    def end(self, guest: PooledConnection) -> None:
        """Note that a response was read, or that its connection is gone."""
        body = self._viewers.pop(guest, None) or self._staff.pop(guest, None)
        if body:
            key = id(body)
            self._readers[key] -= 1
            if not self._readers[key]:
                del self._readers[key]
                self._bytes -= len(body)


class _Encoded(Struct, frozen=True):
    keyframe: Keyframe
    body: bytes
    etag: str


class EncodedViews:
    """Views of rooms, encoded once for all readers until the room changes."""

    def __init__(self, bytes_max: int = ENCODED_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._kept: OrderedDict[tuple[str, str], _Encoded] = OrderedDict()
        self._bytes = 0

    def get(self, kind: str, view: RoomView, make: Callable[[RoomView], Any]) -> tuple[bytes, str]:
        """The encoded result of `make` for this view, and its ETag. A changed view has another keyframe object."""
        key = (kind, view.keyframe.room)
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= len(kept.body)
        if kept is None or kept.keyframe is not view.keyframe:
            body = encode(make(view))
            kept = _Encoded(view.keyframe, body, etag_of(body))
        self._kept[key] = kept
        self._bytes += len(kept.body)
        while self._bytes > self._bytes_max:
            self._bytes -= len(self._kept.popitem(last=False)[1].body)
        return kept.body, kept.etag
