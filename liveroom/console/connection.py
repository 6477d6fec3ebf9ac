"""One HTTP connection: aiohttp's own, but what is no HTTP is answered as everything else is, and no traceback is logged for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_request import BaseRequest

from liveroom.console.problems import Problem

__all__ = ["Connection", "FullConnection"]

#: An idle connection, or one that does not finish its request's head, is closed after this time.
IDLE_S: Final = 30.0

_log = logging.getLogger("liveroom.console.http")


class Connection(web.RequestHandler):
    """Serves the requests of one connection; `headers` are put on the answers that no handler makes."""

    __slots__ = ("_headers",)

    def __init__(self, server: web.Server, headers: Mapping[str, str]) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), keepalive_timeout=IDLE_S, access_log=None, logger=_log)  # type: ignore[arg-type]
        self._headers = headers

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what could not be read as HTTP; anything else is a bug and aiohttp's to log."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        response = Problem("bad_request", "what was sent is not a valid HTTP/1.1 request").response()
        response.headers.update(self._headers)
        response.force_close()
        return response


class FullConnection(asyncio.Protocol):
    """Answers a connection beyond the limit and ends it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say no at once, whatever the request is."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(_FULL)
        transport.close()


_FULL_BODY: Final = b'{"type":"urn:liveroom:problem:not_ready","title":"too many connections","status":503,"detail":"try again","code":"not_ready"}'
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
    % len(_FULL_BODY)
    + _FULL_BODY
)
