"""One HTTP connection: aiohttp's own, plus limits before the first request and a problem as the response to invalid HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_request import BaseRequest

from liveroom.console.connection_pool import Caller, ConnectionPool, Shortage
from liveroom.console.problems import Problem
from liveroom.process.listening import HEAD_BYTES_MAX

__all__ = ["CLIENT_GONE", "HttpConnection"]

#: The status of a request whose client disconnected before its response.
CLIENT_GONE: Final = 499

_log = logging.getLogger("liveroom.console.http")


class HttpConnection(web.RequestHandler):
    """Serves the requests of one connection. `headers` go onto responses that no handler makes."""

    __slots__ = ("_crowd", "_deadline", "_head_bytes", "_head_s", "_headers")

    def __init__(self, server: web.Server, crowd: ConnectionPool, headers: Mapping[str, str], *, head_s: float, keep_alive_s: float) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=keep_alive_s,
            access_log=None,  # type: ignore[arg-type]
            logger=_log,
            max_line_size=HEAD_BYTES_MAX,
            max_field_size=HEAD_BYTES_MAX,
        )
        self._crowd = crowd
        self._headers = headers
        self._head_s = head_s
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None

    # Callbacks of the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # A response ends once the kernel has all of it, so no bytes wait unseen in the transport.
        cast(asyncio.WriteTransport, transport).set_write_buffer_limits(0)
        self._deadline = asyncio.get_running_loop().call_later(self._head_s, self._end_if_silent)
        self._crowd.arrive(self)

    def data_received(self, data: bytes) -> None:
        # aiohttp limits each line of a head, but not the whole head.
        requests = self._request_count
        between_requests = not requests or (self._waiter is not None and not self._waiter.done())
        super().data_received(data)
        if not between_requests or self._request_count > requests:
            self._head_bytes = 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX and self.transport is not None:
            self.transport.write(_answer(_TOO_LARGE, self._headers))
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._crowd.leave(self)
        super().connection_lost(exc)

    # Calls of the middleware

    def begin(self, caller: Caller) -> Shortage:
        """Begin a request. Returns the limit that refuses it unless it is a health check."""
        return self._crowd.begin(self, caller)

    def refused(self, shortage: Shortage) -> None:
        """Note that the request was refused because of `shortage`."""
        self._crowd.refused(shortage)

    def wait(self) -> None:
        """Note that the request waits for its client from now on. A new connection may displace it then."""
        self._crowd.wait(self)

    def work(self) -> bool:
        """Note that the request no longer waits for its client. Returns whether it may continue."""
        return self._crowd.work(self)

    def end(self) -> None:
        """Note that the request was answered."""
        self._crowd.end(self)

    def drop(self) -> None:
        """Abort the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    def _end_if_silent(self) -> None:
        self._deadline = None
        if self._crowd.is_silent(self):
            self._crowd.drop(self, "silent")

    def log_exception(self, *args: Any, **more: Any) -> None:
        """Log a bug. A broken body that shows only while aiohttp discards it is no bug, because the request was answered."""
        if not isinstance(more.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **more)

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer data that is no valid HTTP. aiohttp logs all other errors as bugs."""
        if isinstance(exc, ConnectionError):  # the client disconnected before `100 Continue` was written, so the response reaches no reader
            return web.Response(status=CLIENT_GONE)
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        response = Problem("bad_request", "the received data is not a valid HTTP/1.1 request").response()
        response.headers.update(self._headers)
        response.force_close()
        return response


_TOO_LARGE: Final = Problem("bad_request", f"the head of the request is larger than {HEAD_BYTES_MAX} bytes")


def _answer(problem: Problem, headers: Mapping[str, str]) -> bytes:
    """The bytes of a problem as an HTTP response, for a connection on which aiohttp has read no request."""
    response = problem.response()
    body = cast(bytes, response.body)
    lines = {**response.headers, **headers, "Content-Length": str(len(body)), "Connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {response.status} {response.reason}\r\n{head}\r\n".encode() + body
