"""Requests of machines to a process without a console."""

from __future__ import annotations

import logging

import aiohttp
import pytest

from liveroom.config.schema import OpsConfig
from liveroom.console.ops import OpsServer
from liveroom.telemetry.metrics import Metrics


async def test_probes_leave_no_lines_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """They come many times a minute for as long as the process lives: other log lines must not drown in them."""
    caplog.set_level(logging.INFO)
    server = OpsServer(OpsConfig(port=0), Metrics(), lambda: None)
    await server.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
            for path in ("/livez", "/readyz", "/metrics"):
                async with session.get(path) as answer:
                    assert answer.status == 200
    finally:
        await server.stop()
    assert caplog.messages == []
