"""Third-party clients against the real server, with all their variants of permessage-deflate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory as Deflate

from tests.e2e.clients import Aiohttp, WebsocketsAsync, WebsocketsSync
from tests.e2e.node import built_in_flags, missing, run_visits, ws_module
from tests.e2e.visit import IDLE_MS, ROOM, Plan, Told, Wire, check_visit, visit
from tests.pages.conftest import CHROMIUM, FLAGS
from tests.serving import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

BITS = range(9, 16)
SCRIPT = Path(__file__).with_name("visit.mjs")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(journal: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """An open room in which no chat is left out; the server pings soon. A parameter is one more flag with its value."""
    tmp_path = tmp_path_factory.mktemp("interop")
    limits = ("--rooms-chat-interval-ms", "0", "--rooms-chat-budget-lines-per-s", "1000", "--gateway-frame-bytes-max", "1000000")
    server = Server(tmp_path / "data", *limits, "--gateway-idle-ms", str(IDLE_MS), *getattr(request, "param", ()))
    async with server:
        opened = await server.command(ROOM, "open_room", {"title": "Autumn silk"})
        assert opened["http_status"] == 200, opened
        yield server
        assert await server.stop() == 0
        assert "Traceback" not in server.log.read_text()


async def _visit_all(server: Server, client: str, variants: dict[str, tuple[Callable[[str], Awaitable[Wire]], bool]]) -> None:
    """Variants of a client by name, at once: how it dials, and whether it then has compression."""
    plans = {name: Plan.of(server, f"{client}-{name}") for name in variants}
    told = await asyncio.gather(*(visit(plans[name], dial) for name, (dial, _) in variants.items()))
    for (name, (_, deflate)), heard in zip(variants.items(), told, strict=True):
        check_visit(plans[name], heard, deflate=deflate)


async def test_websockets(server: Server) -> None:
    """The `websockets` library, asyncio and threads: any window, with and without context takeover; asked for a smaller window we send plain."""
    offers: dict[str, tuple[Deflate, bool]] = {f"server-{bits}": (Deflate(server_max_window_bits=bits), bits == 15) for bits in BITS}
    offers |= {f"client-{bits}": (Deflate(client_max_window_bits=bits), True) for bits in BITS}
    offers |= {f"takeover-{s}-{c}": (Deflate(s, c, client_max_window_bits=True), True) for s in (False, True) for c in (False, True)}

    def dial(offer: Deflate) -> Callable[[str], Awaitable[Wire]]:
        return lambda url: WebsocketsAsync.dial(url, [offer], None)

    variants = {name: (dial(offer), deflate) for name, (offer, deflate) in offers.items()}
    variants["plain"] = (lambda url: WebsocketsAsync.dial(url, None, None), False)
    variants["default"] = (lambda url: WebsocketsAsync.dial(url, None, "deflate"), True)
    variants["plain-in-threads"] = (lambda url: WebsocketsSync.dial(url, None), False)
    variants["default-in-threads"] = (lambda url: WebsocketsSync.dial(url, "deflate"), True)
    await _visit_all(server, "websockets", variants)


async def test_aiohttp(server: Server) -> None:
    """aiohttp's client without compression and with every window."""

    def dial(bits: int) -> Callable[[str], Awaitable[Wire]]:
        return lambda url: Aiohttp.dial(url, bits)

    await _visit_all(server, "aiohttp", {f"bits-{bits}": (dial(bits), bits == 15) for bits in (0, *BITS)})


async def test_node_ws(server: Server) -> None:
    """Node's `ws` without compression, with every window, with and without context takeover; in fragments; it sees its pong."""
    module = await ws_module()
    options: dict[str, tuple[Any, bool]] = {"plain": (False, False), "default": (True, True), "every-size": ({"threshold": 0}, True)}
    options |= {f"server-{bits}": ({"serverMaxWindowBits": bits, "threshold": 0}, bits == 15) for bits in BITS}
    options |= {f"client-{bits}": ({"clientMaxWindowBits": bits, "threshold": 0}, True) for bits in BITS}
    options["no-server-takeover"] = ({"serverNoContextTakeover": True}, True)
    options["no-client-takeover"] = ({"clientNoContextTakeover": True}, True)
    options["no-takeover"] = ({"serverNoContextTakeover": True, "clientNoContextTakeover": True, "threshold": 0}, True)
    plans = {name: Plan.of(server, f"node-ws-{name}") for name in options}
    visits = [{"plan": asdict(plans[name]), "options": {"perMessageDeflate": deflate}} for name, (deflate, _) in options.items()]
    told = await run_visits(visits, "ws", str(module), flags=[])
    for (name, (_, deflate)), heard in zip(options.items(), told, strict=True):
        check_visit(plans[name], Told(**heard), deflate=deflate)


BOTH = pytest.mark.parametrize("server", [(), ("--gateway-compression", "false")], indirect=True, ids=["compressed", "plain"])


@BOTH
async def test_node_built_in(server: Server, request: pytest.FixtureRequest) -> None:
    """Node's own WebSocket, on a server that compresses and on one that does not."""
    plan = Plan.of(server, "node")
    told = await run_visits([{"plan": asdict(plan)}], "built-in", flags=await built_in_flags())
    check_visit(plan, Told(**told[0]), deflate="compressed" in request.node.callspec.id)


@BOTH
async def test_chromium(server: Server, request: pytest.FixtureRequest) -> None:
    """A page of the console's origin in Chromium, on a server that compresses and on one that does not."""
    if CHROMIUM is None:
        missing("no Chromium: install one (Debian: apt-get install chromium) to test it", "LIVEROOM_TEST_REQUIRE_BROWSER")
    plan = Plan.of(server, "chromium")
    told = await _visit_in_a_page(CHROMIUM, server.console_url, plan)
    check_visit(plan, Told(**told), deflate="compressed" in request.node.callspec.id)


async def _visit_in_a_page(chromium: str, origin: str, plan: Plan) -> dict[str, Any]:
    source = SCRIPT.read_text().replace("export async function", "async function")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        page = await browser.new_page()
        await page.goto(origin)
        script = f"(plan) => {{ {source}\nreturn visit((url, protocols) => new WebSocket(url, protocols), plan); }}"
        told: dict[str, Any] = await asyncio.wait_for(page.evaluate(script, asdict(plan)), 60)
        await browser.close()
        return told
