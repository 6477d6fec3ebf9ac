"""Taps whose answers never reach the page: each is one order with one outcome, in a real browser against a real server."""

from __future__ import annotations

import orjson
from playwright.async_api import Page, WebSocketRoute, expect

from tests.pages.conftest import ON_ONE_LOOP, PHONE, WAIT_MS, Stage
from tests.pages.test_money_pages import announce, card, has_stock

pytestmark = ON_ONE_LOOP

expect.set_options(timeout=WAIT_MS)


class Line:
    """A page's connections. Frames of the types in `lost` do not reach the page; `orders` are the ids of the page's reservations."""

    def __init__(self) -> None:
        self.lost: tuple[str, ...] = ()
        self.orders: list[str] = []

    async def attach(self, page: Page) -> None:
        """Load the page again with this line between it and its server."""
        await page.route_web_socket("**", self._connect)
        await page.reload()

    def _connect(self, page_side: WebSocketRoute) -> None:
        server_side = page_side.connect_to_server()

        def from_page(text: str | bytes) -> None:
            frame = orjson.loads(text)
            if frame.get("command", {}).get("type") == "reserve_stock":
                self.orders.append(frame["id"])
            server_side.send(text)

        page_side.on_message(from_page)
        server_side.on_message(lambda text: None if orjson.loads(text)["type"] in self.lost else page_side.send(text))


async def test_a_reloaded_page_gets_the_outcome_that_it_missed(stage: Stage) -> None:
    """The answer to a tap is lost and the page is reloaded: it asks again under the same id, and there is one hold, not two."""
    sale = await announce(stage)
    vera, victor = await stage.viewer("vera", size=PHONE), await stage.viewer("victor")
    line = Line()
    await line.attach(vera)
    line.lost = ("accepted", "personal")
    await card(vera, sale).locator(".reserve").click()
    await has_stock(victor, sale, held=1, available=9)
    await expect(card(vera, sale).locator(".reserve")).to_have_attribute("aria-busy", "true")
    line.lost = ()
    await vera.reload()
    await expect(card(vera, sale).locator(".hold")).to_have_count(1)
    await expect(vera.locator("#told")).to_contain_text("1 reserved")
    await expect(card(vera, sale).locator(".reserve")).to_have_attribute("aria-busy", "false")
    assert len(line.orders) == 2
    assert line.orders[0] == line.orders[1]
    await has_stock(victor, sale, held=1, available=9)
    assert stage.complaints == []


async def test_taps_repeat_an_order_whose_answer_was_lost_in_a_crash(stage: Stage) -> None:
    """The hold is shown, but a killed server never sent its answer: later taps are the same order, so there is one hold."""
    sale = await announce(stage)
    vera = await stage.viewer("vera", size=PHONE)
    line = Line()
    await line.attach(vera)
    line.lost = ("accepted",)
    await card(vera, sale).locator(".reserve").click()
    await expect(card(vera, sale).locator(".hold")).to_have_count(1)
    await stage.server.kill()
    await expect(vera.locator("body")).to_have_attribute("data-connection", "reconnecting")
    for _ in range(3):
        await card(vera, sale).locator(".reserve").click(force=True)
    await expect(card(vera, sale).locator(".sale-says")).to_have_text("Sends when you're back online")
    line.lost = ()
    await stage.server.start()
    await expect(card(vera, sale).locator(".reserve")).to_have_attribute("aria-busy", "false")
    await expect(card(vera, sale).locator(".hold")).to_have_count(1)
    assert len(line.orders) == 2
    assert line.orders[0] == line.orders[1]
    await has_stock(vera, sale, held=1, available=9)
