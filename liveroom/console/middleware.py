"""The middleware around every request: it turns errors into problems, sets headers, and limits the time of a response."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.typedefs import Handler, Middleware

from liveroom.console.connection_pool import Caller, Shortage
from liveroom.console.health import PATHS
from liveroom.console.http_connection import CLIENT_GONE, HttpConnection
from liveroom.console.problems import Problem, problem_of
from liveroom.console.responses import CHUNK_BYTES, Chunks, UnreadResponses
from liveroom.telemetry.metrics import Metrics

__all__ = ["make_middleware"]

log = logging.getLogger("liveroom.console")

#: Time for a client to read a response. Then the connection is aborted.
RESPONSE_WRITE_S: Final = 30.0

#: The accepted versions of HTTP. aiohttp's parser accepts others, too.
VERSIONS: Final = frozenset({HttpVersion10, HttpVersion11})

#: Methods with a metric label of their own. A client can invent methods, so all others share one label.
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def make_middleware(
    headers: Mapping[str, str], metrics: Metrics, caller_of: Callable[[web.Request], Caller], responses: UnreadResponses
) -> Middleware:
    """Make the middleware. `headers` go onto every response, and `caller_of` identifies the sender of a request."""

    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, HttpConnection)
        caller = caller_of(request)
        shortage = connection.begin(caller)
        if request.version not in VERSIONS:
            handler = _not_spoken
        elif shortage and request.path not in PATHS:
            connection.refused(shortage)
            handler = _REFUSING[shortage]
        try:
            response = await _serve(request, handler)
            body = response.body if isinstance(response, web.Response) else None
            connection.wait()
            responses.begin(connection, body if isinstance(body, bytes) else b"", is_staff=caller.is_staff)
            await _send(request, response)
            return response
        finally:
            responses.end(connection)
            connection.end()

    async def _serve(request: web.Request, handler: Handler) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        began = loop.time()
        response = await _answer(request, handler)
        response.headers.update(headers)
        metrics.console_requests.labels(request.method if request.method in METHODS else "other", str(response.status)).inc()
        metrics.console_request_seconds.observe(loop.time() - began)
        return response

    return handle


async def _not_spoken(_: web.Request) -> web.StreamResponse:
    raise Problem("bad_request", "this server speaks only HTTP/1.1")


async def _too_busy(_: web.Request) -> web.StreamResponse:
    raise overloaded()


def overloaded() -> Problem:
    """The refusal of a request beyond the limit of all requests."""
    return Problem("overloaded", "the server handles its maximum number of requests; try again", retry_after_ms=1_000)


async def _too_many_of_user(_: web.Request) -> web.StreamResponse:
    raise Problem("rate_limited", "too many requests of this user are under way; wait for their responses", retry_after_ms=1_000)


async def _too_many_of_address(_: web.Request) -> web.StreamResponse:
    raise Problem("rate_limited", "too many requests from this network address are under way; wait for their responses", retry_after_ms=1_000)


_REFUSING: Final[Mapping[Shortage, Handler]] = {"all": _too_busy, "user": _too_many_of_user, "address": _too_many_of_address}


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ConnectionError:
        return web.Response(status=CLIENT_GONE, reason="Client Gone")
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            log.exception("a request failed", extra={"method": request.method, "path": request.path})
            problem = Problem("console_error", "the request could not be handled; the operators' log says why")
        return problem.response()


async def _send(request: web.Request, response: web.StreamResponse) -> None:
    if isinstance(response, web.Response) and isinstance(response.body, bytes) and len(response.body) > CHUNK_BYTES:
        response.body = Chunks(response.body)
    try:
        async with asyncio.timeout(RESPONSE_WRITE_S):
            await response.prepare(request)
            await response.write_eof()
    except ConnectionError:
        return  # the client disconnected before its response, which is no error
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
