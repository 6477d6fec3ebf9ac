"""Health checks and metrics of a process, for monitoring."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import web
from msgspec import Struct
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from liveroom.console.problems import Problem
from liveroom.console.routes import TEXT, Route, add_routes
from liveroom.telemetry.metrics import Metrics

__all__ = ["PATHS", "ROUTES", "Health", "NotReady"]


class NotReady(Struct, frozen=True):
    """The reason why a process is not ready. With `stopped`, it stays so until an operator acts, so waiting does not help."""

    words: str
    stopped: bool = False


class Health:
    """The handlers of `/livez`, `/readyz` and `/metrics`. `not_ready_reason` returns `None` if the process is ready."""

    def __init__(self, metrics: Metrics, not_ready_reason: Callable[[], NotReady | None]) -> None:
        self._metrics = metrics
        self._not_ready_reason = not_ready_reason

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        add_routes(router, self, ROUTES)

    async def _livez(self, request: web.Request) -> web.Response:
        return web.Response(text="alive\n", headers={"Cache-Control": "no-store"})

    async def _readyz(self, request: web.Request) -> web.Response:
        if reason := self._not_ready_reason():
            raise Problem("stopped", reason.words) if reason.stopped else Problem("not_ready", reason.words, retry_after_ms=1_000)
        return web.Response(text="ready\n", headers={"Cache-Control": "no-store"})

    async def _metrics_text(self, request: web.Request) -> web.Response:
        families = []
        for family in self._metrics.exposition():
            families.append(family)
            await asyncio.sleep(0)  # so that viewers wait for at most one family
        return web.Response(body=b"".join(families), headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})


ROUTES: Final = (
    Route(
        path="/livez",
        handler=Health._livez,
        tag="service",
        operation="livez",
        summary="The process is alive",
        body=TEXT,
        content_type="text/plain",
    ),
    Route(
        path="/readyz",
        handler=Health._readyz,
        tag="service",
        operation="readyz",
        summary="The process can serve; a 503 names the reason why not",
        body=TEXT,
        content_type="text/plain",
        problems=("unavailable",),
    ),
    Route(
        path="/metrics",
        handler=Health._metrics_text,
        tag="service",
        operation="metrics",
        summary="Metrics in Prometheus' text format",
        body=TEXT,
        content_type="text/plain",
    ),
)
#: Paths that are served even if the limit of requests is reached.
PATHS: Final = frozenset(route.path for route in ROUTES)
