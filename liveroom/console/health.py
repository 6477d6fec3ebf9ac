"""What machines ask: is it alive, is it ready, how is it doing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from liveroom.console.problems import Problem
from liveroom.telemetry.metrics import Metrics

__all__ = ["PATHS", "Health"]

#: What is answered however full the process is.
PATHS: Final = frozenset({"/livez", "/readyz", "/metrics"})


class Health:
    """The handlers of `/livez`, `/readyz` and `/metrics`; `what_is_missing` is empty when ready."""

    def __init__(self, metrics: Metrics, what_is_missing: Callable[[], str]) -> None:
        self._metrics = metrics
        self._what_is_missing = what_is_missing

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_get("/livez", self._livez)
        router.add_get("/readyz", self._readyz)
        router.add_get("/metrics", self._metrics_text)

    async def _livez(self, request: web.Request) -> web.Response:
        return web.Response(text="alive\n", headers={"Cache-Control": "no-store"})

    async def _readyz(self, request: web.Request) -> web.Response:
        if missing := self._what_is_missing():
            raise Problem("not_ready", missing, retry_after_ms=1_000)
        return web.Response(text="ready\n", headers={"Cache-Control": "no-store"})

    async def _metrics_text(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})
