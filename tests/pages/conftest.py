"""A real server and a real Chromium; every page's console is watched."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from liveroom.messages.fields import Role
from tests.serving import Server

#: Tests that share a browser share its event loop. Each file has to say so itself, because a mark added after collection
#: comes too late for the scope of the loop: the browser would start again for each test.
ON_ONE_LOOP = pytest.mark.asyncio(loop_scope="session")
CHROMIUM = os.environ.get("LIVEROOM_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
#: A name of this machine that no server of ours knows as its own; browsers know what ends like it.
ELSEWHERE = "elsewhere.localhost"
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic"),
    *("--no-first-run", "--disable-component-update", "--disable-sync"),
)
DESKTOP = (1280, 800)
PHONE = (390, 844)
WAIT_MS = 20_000
#: A browser's messages about an absent server; nothing else may be in a page's console.
AWAY = ("net::ERR_CONNECTION", "net::ERR_SOCKET_NOT_CONNECTED", "net::ERR_EMPTY_RESPONSE")

_rooms = itertools.count(1)


class Stage:
    """A room of the test's own on a server that its file shares, a browser, and what the pages complained about."""

    def __init__(self, server: Server, room: str, browser: Browser) -> None:
        self.server = server
        self.room = room
        self.viewer_path = f"/rooms/{room}"
        self.console_path = f"/console/{room}"
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    async def open(
        self, path: str, user: str = "", role: Role = Role.viewer, *, size: tuple[int, int] = DESKTOP, lang: str = "en-US", origin: str = ""
    ) -> Page:
        """A page in a browser of its own; with a token when `user` is named. `path` ends with the room id then."""
        context = await self._browser.new_context(viewport={"width": size[0], "height": size[1]}, locale=lang, reduced_motion="reduce")
        self._contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = await context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"{path}: {error}"))
        token = f"#token={self.server.token(path.rpartition('/')[2], user, role, name=user.title())}" if user else ""
        await page.goto((origin or self.server.console_url) + path + token)
        return page

    async def viewer(self, user: str, **more: Any) -> Page:
        """The viewer page of the room, connected."""
        page = await self.open(self.viewer_path, user, **more)
        await page.wait_for_selector("[data-connection=live]")
        return page

    async def console(self, **more: Any) -> Page:
        """The console of the room as its anchor, connected."""
        page = await self.open(self.console_path, "anna", Role.anchor, **more)
        await page.wait_for_selector("#dashboard:not([hidden])")
        return page

    async def command(self, command: str, body: dict[str, Any], *, user: str = "anna", role: Role = Role.anchor) -> dict[str, Any]:
        """One command to the room over HTTP; returns the parsed answer with its `http_status`."""
        return await self.server.command(self.room, command, body, user=user, role=role)

    def token(self, user: str, role: Role = Role.viewer, **more: Any) -> str:
        """A token for the room."""
        return self.server.token(self.room, user, role, **more)

    async def close(self) -> None:
        """Close all pages."""
        for context in self._contexts:
            await context.close()

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests of a run; each page has a context, so a profile, of its own."""
    if CHROMIUM is None:
        reason = "no Chromium: install one (Debian: apt-get install chromium) to test the pages"
        if os.environ.get("LIVEROOM_TEST_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """One server for all tests of a file, without rate limits for chat and for commands over HTTP."""
    # A test that says hundreds of lines is not slower than the limit of commands on every machine.
    limits = ("--rooms-chat-interval-ms", "0", "--console-requests-per-s", "10000", "--console-requests-burst", "10000")
    async with Server(tmp_path_factory.mktemp("server") / "data", *limits) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def stage(server: Server, browser: Browser) -> AsyncIterator[Stage]:
    """A room of the test's own that is open. A test that kills the server starts it again."""
    if server.ended:  # a test failed in between
        await server.start()
    stage = Stage(server, f"room-{next(_rooms)}", browser)
    opened = await stage.command("open_room", {"title": "Spring sale"})
    assert opened["http_status"] == 200, opened
    try:
        yield stage
    finally:
        await stage.close()
    assert [words for words in stage.complaints if not any(away in words for away in AWAY)] == []
