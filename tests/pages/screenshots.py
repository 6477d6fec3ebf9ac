"""Take the README's pictures: `python -m tests.pages.screenshots`. Needs Chromium, and fonts for Chinese."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import itertools
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.async_api import Browser, CDPSession, Error, Page, ViewportSize, async_playwright

from liveroom.messages.fields import Role
from tests.pages.conftest import CHROMIUM, FLAGS
from tests.serving import Server

IMAGES = Path(__file__).parents[2] / "docs" / "images"
ROOM = "demo"
#: The demo's chat, viewers and likes need a while to look like an evening.
WATCH_S = 45
LIKES = 5
#: The demo's own envelope may be over by then. Another one is announced this long before the console's picture.
ENVELOPE_S = 8
ENVELOPE = {"total_fen": 8_800, "shares": 20, "title": "口令红包 · Say hello", "opens_in_ms": 30_000, "condition": {"keyword": "主播好"}}
DROP = {"total_fen": 18_888, "shares": 18, "title": "感谢陪伴 · Thank you", "opens_in_ms": 3_000}
PHONE: ViewportSize = {"width": 390, "height": 844}
#: Width of one phone in the animation, in pixels.
FILM_WIDTH = 240
FILM_COLORS = 64
#: Time between the animation's pictures, at least; and how long the last one stays.
FRAME_S = 0.15
LAST_MS = 3_000


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
                await _film(server, browser)
                await browser.close()
        finally:
            await server.stop()
    for picture in sorted(IMAGES.iterdir()):
        print(f"{picture.name}: {picture.stat().st_size // 1000} kB")


async def _phone(server: Server, browser: Browser, user: str) -> Page:
    context = await browser.new_context(viewport=PHONE, locale="en-US", has_touch=True)
    page = await context.new_page()
    await page.goto(f"{server.console_url}/rooms/{ROOM}#token={server.token(ROOM, user, name=user.title())}")
    await page.wait_for_selector("[data-connection=live]")
    return page


async def _drop(server: Server) -> str:
    """Drop a red envelope, and give the selector of its card while it is open."""
    number = (await server.command(ROOM, "drop_red_envelope", DROP, user="anchor-demo"))["result"]["envelope"]
    return f"#envelope[data-envelope='{number}'][data-phase=open]"


async def _viewer(server: Server, browser: Browser) -> None:
    page = await _phone(server, browser, "vera")
    await page.wait_for_selector(".sale[data-state=open]", timeout=WATCH_S * 1000)
    await page.locator(".sale .reserve").click()
    await page.wait_for_selector(".hold")
    await page.wait_for_selector(await _drop(server))
    await page.locator("#grab").click()
    await page.wait_for_selector("#envelope-share:not([hidden])")
    await page.fill("#text", "下单了! Just ordered one")
    await page.press("#text", "Enter")
    await page.wait_for_selector("#chat .mine")
    for _ in range(LIKES):
        await page.locator("#like").click()
        await asyncio.sleep(0.3)
    await page.screenshot(path=IMAGES / "viewer.png")


async def _film(server: Server, browser: Browser) -> None:
    """Two phones side by side, from the drop of a red envelope to both users' shares, as an animated GIF."""
    phones = [await _phone(server, browser, user) for user in ("nora", "leo")]
    screens = [await phone.screenshot(type="jpeg") for phone in phones]
    frames: list[tuple[float, list[bytes]]] = []

    async def follow(place: int, phone: Page) -> CDPSession:
        """Keep the screen of one phone; the browser sends a picture whenever it has drawn one."""
        browser_side = await phone.context.new_cdp_session(phone)

        async def take(frame: dict[str, Any]) -> None:
            screens[place] = base64.b64decode(frame["data"])
            with contextlib.suppress(Error):  # the page may be closed by now
                await browser_side.send("Page.screencastFrameAck", {"sessionId": frame["sessionId"]})

        browser_side.on("Page.screencastFrame", take)
        await browser_side.send("Page.startScreencast", {"format": "jpeg", "quality": 90})
        return browser_side

    async def shoot() -> None:
        while True:
            frames.append((time.monotonic(), list(screens)))
            await asyncio.sleep(FRAME_S)

    followed = [await follow(place, phone) for place, phone in enumerate(phones)]
    shooting = asyncio.create_task(shoot())
    await asyncio.sleep(1)
    card = await _drop(server)
    await asyncio.gather(*(_grab(phone, card, after_s) for phone, after_s in zip(phones, (0.6, 1.2), strict=True)))
    await asyncio.sleep(1.5)
    shooting.cancel()
    for browser_side in followed:
        await browser_side.send("Page.stopScreencast")
    pictures = [_side_by_side(shots) for _, shots in frames]
    palette = pictures[-1].quantize(FILM_COLORS)
    drawn = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    times_ms = [round(1000 * (later - at)) for (at, _), (later, _) in itertools.pairwise(frames)]
    drawn[0].save(IMAGES / "drop.gif", save_all=True, append_images=drawn[1:], duration=[*times_ms, LAST_MS], loop=0, optimize=True)


async def _grab(phone: Page, card: str, after_s: float) -> None:
    await phone.wait_for_selector(card)
    await asyncio.sleep(after_s)
    await phone.locator("#grab").click()
    await phone.wait_for_selector("#envelope-share:not([hidden])")


def _side_by_side(shots: list[bytes]) -> Image.Image:
    opened = [Image.open(io.BytesIO(shot)).convert("RGB") for shot in shots]
    size = (FILM_WIDTH, round(FILM_WIDTH * PHONE["height"] / PHONE["width"]))
    whole = Image.new("RGB", (FILM_WIDTH * len(opened), size[1]))
    for place, picture in enumerate(opened):
        whole.paste(picture.resize(size, Image.Resampling.LANCZOS), (place * FILM_WIDTH, 0))
    return whole


async def _console(server: Server, browser: Browser) -> None:
    context = await browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US", reduced_motion="reduce")
    page = await context.new_page()
    await page.goto(f"{server.console_url}/console/{ROOM}#token={server.token(ROOM, 'anchor-demo', Role.anchor, name='Anna')}")
    await page.wait_for_selector("#dashboard:not([hidden])")
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
