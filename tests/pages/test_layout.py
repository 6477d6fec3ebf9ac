"""Pages fit on a phone and on a small laptop, with titles as long as shops write them."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, expect

from tests.pages.conftest import ON_ONE_LOOP, Stage
from tests.pages.console_page import platform, viewer

pytestmark = ON_ONE_LOOP

PHONE, LAPTOP = (390, 844), (1280, 800)
SCARF = {"id": "silk-scarf", "title": "真丝方巾 Silk scarf, 90 cm", "price_fen": 19_900}


async def is_cut(text: Locator) -> bool:
    """Whether a part of the words is not shown."""
    cut: bool = await text.evaluate("(one) => one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight + 1")
    return cut


async def on_sale(stage: Stage) -> int:
    """The scarf pinned and in a sale; gives the sale."""
    await stage.command("add_product", {"product": SCARF})
    await stage.command("pin_product", {"product": "silk-scarf"})
    sale = await stage.command("announce_flash_sale", {"product": "silk-scarf", "price_fen": 11_940, "stock": 7, "opens_in_ms": 0})
    return int(sale["result"]["sale"])


@pytest.mark.parametrize("size", [PHONE, LAPTOP])
async def test_the_viewers_page_does_not_scroll(stage: Stage, size: tuple[int, int]) -> None:
    """It is one screen: texts for screen readers do not make it a pixel higher."""
    await on_sale(stage)
    page = await stage.viewer("vera", size=size)
    await expect(page.locator(".sale")).to_be_visible()
    over = "[document.scrollingElement.scrollHeight - innerHeight, document.scrollingElement.scrollWidth - innerWidth]"
    assert await page.evaluate(over) == [0, 0]


async def test_hearts_float_behind_what_is_for_sale(stage: Stage) -> None:
    """On a phone they rise where the buttons are, and lie below them."""
    await on_sale(stage)
    page = await stage.viewer("vera", size=PHONE)
    await expect(page.locator(".sale")).to_be_visible()
    height = "(one) => Number(getComputedStyle(one).zIndex)"
    assert await page.locator("#hearts").evaluate(height) < await page.locator(".panel").evaluate(height)


async def test_a_room_on_a_phone_says_whole_what_is_shown(stage: Stage) -> None:
    """The label over the product's name is not cut in the middle of a word."""
    await on_sale(stage)
    page = await stage.open("/", size=PHONE)
    card = page.locator(f"[href*='{stage.room}']")
    await expect(card.locator(".cover-product small")).to_be_visible()
    assert not await is_cut(card.locator(".cover-product small"))


async def test_the_console_shows_titles_whole_and_numbers(stage: Stage) -> None:
    """On a small laptop; the number of an envelope, coupon or sale is what commands and `verify-envelope` take, on the card and in the ledger."""
    sale = await on_sale(stage)
    dropped = await stage.command("drop_red_envelope", {"total_fen": 1_000, "shares": 2, "title": "恭喜发财 · Good fortune"})
    envelope = dropped["result"]["envelope"]
    console = await stage.console(size=LAPTOP)
    for card, number in ((f"#offers [data-sale='{sale}']", sale), (f"#offers [data-envelope='{envelope}']", envelope)):
        await expect(console.locator(card)).to_contain_text(f"#{number}")
        assert not await is_cut(console.locator(f"{card} header strong"))
    assert not await is_cut(console.locator("#showcase-card .row-words strong").first)
    hold = (await viewer(stage, "reserve_stock", {"sale": sale}, "vera"))["result"]["hold"]
    await platform(stage, "confirm_hold", {"hold": hold, "payment": f"p-{hold}"})
    await console.locator("#ledger-open").click()
    await expect(console.locator(f"#ledger-accounts [data-envelope='{envelope}'] .number")).to_have_text(f"#{envelope}")
    await expect(console.locator(f"#ledger-accounts [data-sale='{sale}'] .number")).to_have_text(f"#{sale}")
