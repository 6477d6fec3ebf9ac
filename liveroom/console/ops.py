"""What machines ask of a process that has no console: an HTTP server for `/livez`, `/readyz` and `/metrics` alone."""

from __future__ import annotations

import os
from collections.abc import Callable

from aiohttp import web

from liveroom.config import OpsConfig
from liveroom.console.guard import guard
from liveroom.console.health import Health
from liveroom.errors import BadConfig
from liveroom.telemetry.metrics import Metrics

__all__ = ["OpsServer"]

#: Time for open requests at the end.
SHUTDOWN_S = 1.0


class OpsServer:
    """`what_is_missing` is empty when the process is ready."""

    def __init__(self, config: OpsConfig, metrics: Metrics, what_is_missing: Callable[[], str]) -> None:
        self._config = config
        app = web.Application(middlewares=[guard({"Server": "liveroom"}, metrics)])
        Health(metrics, what_is_missing).add_routes(app.router)
        self._runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_S, access_log=None)  # probes ask many times a minute

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._runner.addresses[0][1]
        return port

    async def start(self) -> None:
        """Begin to listen. Raises `BadConfig` when the address cannot be had."""
        host, port = self._config.host, self._config.port
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            words = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise BadConfig(f"ops.host, ops.port: cannot listen on {host}:{port}: {words}") from None

    async def stop(self) -> None:
        """Stop."""
        await self._runner.cleanup()
