"""Trouble on the pages, and how they handle it: a real browser against a real server."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from playwright.async_api import Page, Route, WebSocketRoute, expect

from liveroom.messages.fields import Role
from tests.pages.conftest import DESKTOP, ON_ONE_LOOP, PHONE, WAIT_MS, Stage
from tests.pages.test_money_pages import do

pytestmark = ON_ONE_LOOP

expect.set_options(timeout=WAIT_MS)

SHIRT = {"id": "shirt", "title": "Linen shirt", "price_fen": 19_900}
SALE = {"product": "shirt", "price_fen": 9_900, "stock": 5, "per_user_max": 2, "opens_in_ms": 0, "open_for_ms": 600_000, "hold_ms": 300_000}
#: Where the first line in sight stands, on the screen.
READ = """() => {
    const list = document.querySelector("#chat").getBoundingClientRect();
    const line = [...document.querySelectorAll("#chat .line")].find((one) => one.getBoundingClientRect().bottom > list.top + 1);
    return { seq: line.dataset.seq, fromTop: Math.round(line.getBoundingClientRect().top - list.top) };
}"""
AT_END = """() => {
    const { scrollHeight, scrollTop, clientHeight } = document.querySelector("#chat");
    return scrollHeight - scrollTop - clientHeight < 3;
}"""
#: For each of the three lines: true if a column at the end of the second line's text, far higher than the line, is seen on it.
DRAWN_OVER = """() => {
    const lines = [...document.querySelectorAll("#chat .line")];
    const column = document.createElement("i");
    column.style.cssText = "display: inline-block; width: 12px; height: 400px; margin: -200px 0; background: red";
    lines[1].querySelector(".text").append(column);
    const { left } = column.getBoundingClientRect();
    const middle = (line) => line.getBoundingClientRect().top + line.getBoundingClientRect().height / 2;
    return lines.map((line) => document.elementFromPoint(left + 6, middle(line)) === column);
}"""
#: The device's clock can be stepped: `window.stepMs`.
STEPPED_CLOCK = "window.stepMs = 0; const now = Date.now; Date.now = () => now() + window.stepMs;"


def png(color: tuple[int, int, int]) -> bytes:
    """A picture of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    head = struct.pack("!IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" + bytes(color))) + chunk(b"IEND", b"")


async def says(stage: Stage, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        await do(stage, "send_chat", {"text": f"line {number}"})


async def scrolled_up(page: Page, by: int) -> dict[str, Any]:
    """Scroll up as a reader does; gives the first line in sight."""
    await page.hover("#chat")
    await page.mouse.wheel(0, -by)
    await page.wait_for_function(f"() => !({AT_END})()")
    await page.wait_for_timeout(300)  # the wheel scrolls smoothly
    read: dict[str, Any] = await page.evaluate(READ)
    return read


async def test_a_reader_who_scrolled_up_stays_and_is_told_of_new_messages(stage: Stage) -> None:
    """New lines, lines that fall out, a card that comes and goes: what is read stays where it is, and a button leads to the end."""
    await do(stage, "add_product", {"product": SHIRT})
    await says(stage, 40)
    for size in (DESKTOP, PHONE):
        vera = await stage.viewer("vera", size=size)
        await expect(vera.locator("#chat .line")).to_have_count(40)
        await vera.wait_for_function(AT_END)
        read = await scrolled_up(vera, 300)
        await expect(vera.locator("#chat-more")).to_be_hidden()
        await do(stage, "pin_product", {"product": "shirt"})
        await expect(vera.locator("#pinned .product")).to_be_visible()
        assert (await vera.evaluate(READ))["seq"] == read["seq"]
        await do(stage, "unpin_product", {})
        await expect(vera.locator("#pinned .product")).to_have_count(0)
        assert await vera.evaluate(READ) == read
        await do(stage, "send_chat", {"text": f"new for {size}"})
        await expect(vera.locator("#chat-more")).to_be_visible()
        await expect(vera.locator("#chat-more")).to_have_text("New messages")
        assert await vera.evaluate(READ) == read
        await vera.locator("#chat-more").click()
        await vera.wait_for_function(AT_END)
        await expect(vera.locator("#chat-more")).to_be_hidden()
        answer = await stage.command("delete_message", {"message": int(await vera.locator("#chat .line").last.get_attribute("data-seq") or 0)})
        assert answer["http_status"] == 200, answer
        await expect(vera.locator("#chat .line")).to_have_count(40)
    assert stage.complaints == []


async def test_lines_that_fall_out_do_not_move_what_is_read(stage: Stage) -> None:
    """The page keeps the newest 200 lines; a reader of the middle does not notice that the oldest go."""
    await says(stage, 195)
    vera = await stage.viewer("vera")
    await says(stage, 5, 195)
    await expect(vera.locator("#chat .line", has_text="line 199")).to_have_count(1)
    read = await scrolled_up(vera, 700)
    before = await vera.locator("#chat .line").first.get_attribute("data-seq")
    more = 200 - await vera.locator("#chat .line").count() + 5
    await says(stage, more, 200)
    await expect(vera.locator("#chat .line", has_text=f"line {199 + more}")).to_have_count(1)
    assert await vera.locator("#chat .line").first.get_attribute("data-seq") != before
    assert await vera.evaluate(READ) == read
    assert stage.complaints == []


async def test_a_banned_viewer_sees_why_and_until_when_and_comes_back_by_itself(stage: Stage) -> None:
    """No offer is left to tap in vain; a reload keeps the reason; when the ban ends the page is as it was."""
    await do(stage, "add_product", {"product": SHIRT})
    await do(stage, "pin_product", {"product": "shirt"})
    await do(stage, "announce_flash_sale", SALE)
    await do(stage, "drop_red_envelope", {"total_fen": 1_000, "shares": 2, "opens_in_ms": 0, "open_for_ms": 600_000})
    vera = await stage.viewer("vera", size=PHONE)
    await expect(vera.locator("#grab")).to_be_visible()
    await do(stage, "ban_user", {"user": "vera", "duration_ms": 12_000, "reason": "spam in chat"})
    offers = ("#grab", "#composer", "#like", "#open-showcase", "#pinned", ".sale", ".envelope-chip")
    for _ in range(2):
        await expect(vera.locator("body")).to_have_attribute("data-connection", "banned")
        await expect(vera.locator("#banner")).to_contain_text("You're banned until")
        await expect(vera.locator("#banner")).to_contain_text("spam in chat")
        await expect(vera.locator("#banner")).to_contain_text("reconnects when the ban ends")
        for offer in offers:
            assert not [one for one in await vera.locator(offer).all() if await one.is_visible()], offer
        await vera.reload()
    await expect(vera.locator("body")).to_have_attribute("data-connection", "live")
    await expect(vera.locator("#banner")).to_be_hidden()
    await expect(vera.locator("#grab")).to_be_visible()
    await expect(vera.locator("#text")).to_be_enabled()
    assert stage.complaints == []


async def test_a_banned_viewer_keeps_sight_of_what_is_theirs(stage: Stage) -> None:
    """A hold that waits to be paid and a coupon's code stay; nothing more can be taken."""
    await do(stage, "add_product", {"product": SHIRT})
    sale = (await do(stage, "announce_flash_sale", SALE))["sale"]
    await do(stage, "reserve_stock", {"sale": sale, "quantity": 1}, user="vera", role=Role.viewer)
    vera = await stage.viewer("vera", size=PHONE)
    await expect(vera.locator(".hold")).to_be_visible()
    await do(stage, "ban_user", {"user": "vera", "duration_ms": 600_000, "reason": ""})
    await expect(vera.locator("body")).to_have_attribute("data-connection", "banned")
    await expect(vera.locator(".hold")).to_be_visible()
    await expect(vera.locator(".sale-order")).to_be_hidden()
    await expect(vera.locator("#banner")).to_contain_text("You're banned until")
    await expect(vera.locator("#banner")).not_to_contain_text("undefined")
    assert stage.complaints == []


async def test_a_pile_of_marks_is_not_drawn_over_other_lines(stage: Stage) -> None:
    """Whatever a line draws beyond its own box is cut off; how high marks pile up is the font's doing, so a column stands for them."""
    for text in ("above", "Z" + "\u0300\u0301\u0302\u0316\u0317" * 40, "below"):
        await do(stage, "send_chat", {"text": text})
    for page in (await stage.viewer("vera"), await stage.viewer("victor", size=PHONE), await stage.console()):
        await expect(page.locator("#chat .line")).to_have_count(3)
        assert await page.evaluate(DRAWN_OVER) == [False, True, False]
    assert stage.complaints == []


async def test_a_sales_product_keeps_its_picture_after_a_reload(stage: Stage) -> None:
    """The picture is shown also to a page that never saw the product pinned; the showcase is asked for once."""
    asked = []

    async def picture(route: Route) -> None:
        await route.fulfill(body=png((200, 30, 60)), content_type="image/png")

    async def showcase(route: Route) -> None:
        asked.append(route.request.url)
        await route.continue_()

    await do(stage, "add_product", {"product": {**SHIRT, "image_url": "https://shop.example/shirt.png"}})
    await do(stage, "announce_flash_sale", SALE)
    vera = await stage.open(stage.viewer_path)
    await vera.context.route("https://shop.example/**", picture)
    await vera.context.route("**/showcase", showcase)
    await vera.goto("about:blank")
    asked.clear()
    await vera.goto(f"{stage.server.console_url}{stage.viewer_path}#token={stage.token('vera')}")
    await expect(vera.locator(".sale-picture img")).to_be_visible()
    await do(stage, "send_chat", {"text": "still one question"})
    await expect(vera.locator("#chat .line")).to_have_count(1)
    assert len(asked) == 1
    assert stage.complaints == []


async def test_a_long_announcement_can_be_read_to_its_end(stage: Stage) -> None:
    """On the stage it takes three lines; a tap, or Enter, opens all of it."""
    words = "Free shipping tonight. " * 40 + "The very end."
    await do(stage, "set_announcement", {"text": words})
    for size in (PHONE, (320, 568), DESKTOP):
        vera = await stage.viewer("vera", size=size)
        announcement = vera.locator("#announcement")
        await expect(announcement).to_be_visible()
        assert (await announcement.bounding_box() or {"height": 0})["height"] < 90
        await announcement.click()
        whole = vera.locator("#announcement-text")
        await expect(whole).to_have_text(words)
        await whole.evaluate("(text) => text.scrollTo(0, text.scrollHeight)")
        box = await whole.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= size[1] + 1
        await vera.keyboard.press("Escape")
        await expect(whole).to_be_hidden()
    assert stage.complaints == []


async def test_the_reason_of_the_end_is_shown_to_everyone(stage: Stage) -> None:
    """To those who are there, after a reload, without a token, and on the console; a new evening forgets it."""
    vera, console = await stage.viewer("vera", size=PHONE), await stage.console()
    await console.locator("#close-room").click()
    await console.fill("#closing-reason", "The studio has no power")
    await console.locator("#closing [value=do]").click()
    for _ in range(2):
        await expect(vera.locator("#ended-reason")).to_have_text("The studio has no power")
        await vera.reload()
    front = await stage.open(stage.viewer_path)
    await expect(front.locator("#ended-reason")).to_have_text("The studio has no power")
    await expect(console.locator("#subtitle")).to_contain_text("ended: The studio has no power")
    await do(stage, "open_room", {"title": "Again"})
    await expect(vera.locator("#title")).to_have_text("Again")
    await do(stage, "close_room", {})
    await expect(vera.locator("#ended")).to_be_visible()
    await expect(vera.locator("#ended-reason")).to_be_hidden()
    assert stage.complaints == []


async def test_a_product_may_be_called_as_what_every_object_has(stage: Stage) -> None:
    """Ids such as `constructor` show no code and count as others do, on every page."""
    for id in ("constructor", "toString"):
        await do(stage, "add_product", {"product": {**SHIRT, "id": id}})
    await do(stage, "pin_product", {"product": "constructor"})
    vera, console, front = await stage.viewer("vera"), await stage.console(), await stage.open(stage.viewer_path)
    for page in (vera, front):
        await expect(page.locator("#pinned .product")).to_be_visible()
        await expect(page.locator("#pinned .try-on-count")).to_have_text("")
        await page.locator("#open-showcase").click()
        await expect(page.locator("#products .product")).to_have_count(2)
        assert await page.locator("#products .try-on-count").all_text_contents() == ["", ""]
        await page.keyboard.press("Escape")
    await vera.locator("#pinned .try-on").click()
    await expect(vera.locator("#pinned .try-on-count")).to_have_text("1")
    await expect(console.locator("#products [data-product=constructor] .try-on-count")).to_contain_text("1")
    await expect(console.locator("#products [data-product=toString] .try-on-count")).not_to_contain_text("native")
    assert stage.complaints == []


async def test_a_step_of_the_devices_clock_moves_no_countdown(stage: Stage) -> None:
    """An hour on or back: what is left is counted by the server's clock and by time that passes."""
    await do(stage, "add_product", {"product": SHIRT})
    await do(stage, "announce_flash_sale", SALE)
    for token in ("vera", ""):
        vera = await stage.open(stage.viewer_path, token)
        await vera.context.add_init_script(STEPPED_CLOCK)
        await vera.reload()
        left = vera.locator(".sale .countdown").first
        await expect(left).to_be_visible()
        for step_ms in (3_600_000, -3_600_000):
            before = _seconds(await left.inner_text())
            await vera.evaluate(f"() => new Promise((done) => {{ window.stepMs = {step_ms}; setTimeout(done, 700); }})")  # two draws
            assert 0 <= before - _seconds(await left.inner_text()) <= 15
    assert stage.complaints == []


def _seconds(words: str) -> int:
    minutes, seconds = words.strip().split(":")
    return int(minutes) * 60 + int(seconds)


async def test_a_link_does_not_make_somebody_else_of_a_viewer_unasked(stage: Stage) -> None:
    """A token in a link replaces who one is only after a yes; a no keeps everything; the same person's fresh token needs none."""
    vera = await stage.viewer("vera", size=PHONE)
    other = f"{stage.server.console_url}{stage.viewer_path}#token={stage.token('mallory', name='Mallory')}"
    for answer, user in (("#sure-cancel", "Vera"), ("#sure-do", "Mallory")):
        await vera.goto("about:blank")
        await vera.goto(other)
        await expect(vera.locator("#sure-words")).to_contain_text("You're signed in as Vera (vera, Viewer)")
        await expect(vera.locator("#sure-words")).to_contain_text("Mallory (mallory, Viewer)")
        assert "token" not in vera.url
        box = await vera.locator("#sure-do").bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= PHONE[0]
        await vera.locator(answer).click()
        await expect(vera.locator("body")).to_have_attribute("data-connection", "live")
        await vera.fill("#text", f"I am {user}")
        await vera.press("#text", "Enter")
        await expect(vera.locator("#chat .line.mine .name").last).to_have_text(user)
    await vera.goto("about:blank")
    await vera.goto(f"{stage.server.console_url}{stage.viewer_path}#token={stage.token('mallory', name='M')}")
    await expect(vera.locator("body")).to_have_attribute("data-connection", "live")
    await expect(vera.locator("#sure")).to_be_hidden()
    assert stage.complaints == []


async def test_a_link_over_an_open_page_and_on_the_console_asks_too(stage: Stage) -> None:
    """Also when the address changes under the page, for a console, and for what is no token at all."""
    console = await stage.console()
    for token in (stage.token("eve", Role.anchor, name="Eve"), "nonsense"):
        await console.evaluate("(token) => (location.hash = `#token=${token}`)", token)
        await expect(console.locator("#sure-title")).to_have_text("Switch account?")
        await console.keyboard.press("Escape")
        await expect(console.locator("#dashboard")).to_be_visible()
        await expect(console.locator("body")).to_have_attribute("data-connection", "live")
    assert stage.complaints == []


async def test_a_window_too_many_pauses_the_oldest_until_it_is_wanted(stage: Stage) -> None:
    """Windows do not throw each other out in turn: the replaced one says so and waits for its button."""
    pages = [await stage.viewer("vera") for _ in range(6)]
    oldest = pages[0]
    await expect(oldest.locator("body")).to_have_attribute("data-connection", "replaced")
    await expect(oldest.locator("#banner")).to_contain_text("This one is paused")
    for page in pages[1:]:
        await expect(page.locator("body")).to_have_attribute("data-connection", "live")
    await oldest.get_by_role("button", name="Watch here").click()
    await expect(oldest.locator("body")).to_have_attribute("data-connection", "live")
    await expect(pages[1].locator("body")).to_have_attribute("data-connection", "replaced")
    await expect(oldest.locator("body")).to_have_attribute("data-connection", "live")
    assert stage.complaints == []


async def test_a_bad_answer_while_a_page_begins_is_not_its_end(stage: Stage) -> None:
    """A proxy's 502 for the settings: both pages ask again and come alive without a reload."""
    for path, user, role in ((stage.viewer_path, "vera", Role.viewer), (stage.console_path, "anna", Role.anchor)):
        answers = [502, 503]
        page = await stage.open("/")
        await page.route("**/v1/settings", _answering(answers))
        await page.goto(f"{stage.server.console_url}{path}#token={stage.token(user, role)}")
        await expect(page.locator("body")).to_have_attribute("data-connection", "live")
        assert answers == []
    stage.complaints[:] = [words for words in stage.complaints if "502" not in words and "503" not in words]


def _answering(statuses: list[int]) -> Callable[[Route], Awaitable[None]]:
    """A proxy that answers with these, in turn, and then lets through."""

    async def answer(route: Route) -> None:
        if statuses:
            await route.fulfill(status=statuses.pop(0), content_type="text/html", body="<h1>Bad Gateway</h1>")
        else:
            await route.continue_()

    return answer


async def test_a_page_whose_network_is_back_finds_out_that_its_link_is_dead(stage: Stage) -> None:
    """The link is dead without a sign. `online` makes the page probe it, and without an answer the page reconnects."""
    vera = await stage.viewer("vera")
    frozen: list[bool] = []

    def between(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        mine = len(frozen)
        frozen.append(False)
        socket.on_message(lambda text: None if frozen[mine] else server.send(text))
        server.on_message(lambda text: None if frozen[mine] else socket.send(text))

    await vera.route_web_socket("**/v1/rooms/**", between)
    await vera.reload()
    await expect(vera.locator("body")).to_have_attribute("data-connection", "live")
    frozen[0] = True
    await vera.evaluate("() => dispatchEvent(new Event('online'))")
    await vera.wait_for_function("() => document.body.dataset.connection !== 'live'", timeout=10_000)
    await expect(vera.locator("body")).to_have_attribute("data-connection", "live")
    assert len(frozen) == 2
    assert stage.complaints == []
