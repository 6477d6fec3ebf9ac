"""Take the README's pictures: `python -m tests.pages.screenshots`. Needs Chromium, and fonts for Chinese."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from liveroom.messages.fields import Role
from tests.pages.conftest import CHROMIUM, FLAGS
from tests.serving import Server

IMAGES = Path(__file__).parents[2] / "docs" / "images"
ROOM = "demo"
#: The demo's chat, viewers and likes need a while to look like an evening.
WATCH_S = 45
LIKES = 5
#: The demo's own envelope may be over by then: another, announced, so long before the picture.
ENVELOPE_S = 8
ENVELOPE = {"total_fen": 8_800, "shares": 20, "title": "口令红包 · Say hello", "opens_in_ms": 30_000, "condition": {"keyword": "主播好"}}


async def main() -> None:
    """A demo room for a while, then one picture of each page."""
    if CHROMIUM is None:
        raise SystemExit("no Chromium: install one (Debian: apt-get install chromium fonts-noto-cjk)")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        server = Server(Path(directory) / "data", "--demo")
        await server.start()
        try:
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
                await asyncio.gather(_viewer(server, browser), _console(server, browser))
                await browser.close()
        finally:
            await server.stop()
    for picture in sorted(IMAGES.glob("*.png")):
        print(f"{picture.name}: {picture.stat().st_size // 1000} kB")


async def _viewer(server: Server, browser: Browser) -> None:
    context = await browser.new_context(viewport={"width": 390, "height": 844}, locale="en-US", has_touch=True)
    page = await context.new_page()
    await page.goto(f"{server.console_url}/rooms/{ROOM}#token={server.token(ROOM, 'vera', name='Vera')}")
    await page.wait_for_selector("[data-connection=live]")
    await page.wait_for_selector(".sale[data-state=open]", timeout=WATCH_S * 1000)
    await page.locator(".sale .reserve").click()
    await page.wait_for_selector(".hold")
    envelope = {"total_fen": 18_888, "shares": 18, "title": "感谢陪伴 · Thank you", "opens_in_ms": 3_000}
    number = (await server.command(ROOM, "drop_red_envelope", envelope, user="anchor-demo"))["result"]["envelope"]
    await page.wait_for_selector(f"#envelope[data-envelope='{number}'][data-phase=open]")
    await page.locator("#grab").click()
    await page.wait_for_selector("#envelope-share:not([hidden])")
    await page.fill("#text", "下单了! Just ordered one")
    await page.press("#text", "Enter")
    await page.wait_for_selector("#chat .mine")
    for _ in range(LIKES):
        await page.locator("#like").click()
        await asyncio.sleep(0.3)
    await page.screenshot(path=IMAGES / "viewer.png")


async def _console(server: Server, browser: Browser) -> None:
    context = await browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US", reduced_motion="reduce")
    page = await context.new_page()
    await page.goto(f"{server.console_url}/console/{ROOM}#token={server.token(ROOM, 'anchor-demo', Role.anchor, name='Anna')}")
    await page.wait_for_selector("#desk:not([hidden])")
    for user, text in (("kai", "有没有黑色？"), ("mia", "Does it shrink when washed?")):
        await server.command(ROOM, "ask_question", {"text": text}, user=user, role=Role.viewer)
    await asyncio.sleep(WATCH_S - ENVELOPE_S)
    await server.command(ROOM, "drop_red_envelope", ENVELOPE)
    await asyncio.sleep(ENVELOPE_S)
    await page.locator("#ledger .ledger-refresh").click()
    await page.locator("#ledger .ledger-refresh:not([aria-busy])").wait_for()
    await page.screenshot(path=IMAGES / "console.png")


if __name__ == "__main__":
    asyncio.run(main())
