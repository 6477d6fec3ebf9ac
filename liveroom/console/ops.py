"""An HTTP server for `/livez`, `/readyz` and `/metrics` in a process without a console."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from liveroom.config.schema import OpsConfig
from liveroom.console.connection_pool import Caller, ConnectionLimits
from liveroom.console.health import Health, NotReady
from liveroom.console.listener import Listener
from liveroom.console.middleware import make_middleware
from liveroom.console.responses import UnreadResponses
from liveroom.telemetry.metrics import Metrics

__all__ = ["OpsServer"]

#: Open connections at most: enough for a few probes and a collector of metrics.
CONNECTIONS_MAX: Final = 64
#: Bytes of unread responses: enough for the metrics of many slow collectors.
UNREAD_BYTES_MAX: Final = 4 * 1024 * 1024
HEAD_MS: Final = 5_000
KEEP_ALIVE_MS: Final = 90_000
#: Time for open requests at shutdown.
SHUTDOWN_MS: Final = 1_000

_HEADERS: Final = {"Server": "liveroom"}


class OpsServer:
    """The server for health checks and metrics. `not_ready_reason` returns `None` if the process is ready."""

    def __init__(self, config: OpsConfig, metrics: Metrics, not_ready_reason: Callable[[], NotReady | None]) -> None:
        app = web.Application(middlewares=[make_middleware(_HEADERS, metrics, lambda _: Caller(), UnreadResponses(UNREAD_BYTES_MAX, metrics))])
        Health(metrics, not_ready_reason).add_routes(app.router)
        self._listener = Listener(
            app,
            metrics,
            _HEADERS,
            section="ops",
            host=config.host,
            port=config.port,
            limits=ConnectionLimits(CONNECTIONS_MAX, CONNECTIONS_MAX, CONNECTIONS_MAX),
            head_ms=HEAD_MS,
            keep_alive_ms=KEEP_ALIVE_MS,
            shutdown_ms=SHUTDOWN_MS,
        )

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self._listener.port

    async def start(self) -> None:
        """Start to listen. Raises `BadConfig` if the address cannot be bound."""
        await self._listener.start()

    async def stop(self) -> None:
        """Stop the server."""
        await self._listener.stop()
