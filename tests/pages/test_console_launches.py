"""The console launches money: forms, reviews, refusals, in a real browser against a real server."""

from __future__ import annotations

import re

from playwright.async_api import Page, Route, expect

from liveroom.messages.fields import Role
from tests.pages.conftest import ON_ONE_LOOP, PHONE, Stage
from tests.pages.console_page import SHIRT, fill, launch, state_of

pytestmark = ON_ONE_LOOP

#: Elements that are wider than their place and would scroll sideways.
WIDE = """() => {
    const places = document.querySelectorAll("html, dialog[open], dialog[open] form, #ledger-accounts, #money-card, .money-scroll");
    const wide = [...places].filter((element) => element.scrollWidth > element.clientWidth + 1);
    return wide.map((element) => element.id || element.className || element.tagName);
}"""


async def test_an_envelope_is_reviewed_then_dropped_as_it_was_filled_in(stage: Stage) -> None:
    """Amounts reach the server to the fen; nothing is launched before the review, with its sum, was agreed to; Enter twice launches nothing."""
    console = await stage.console()
    dialog = await fill(console, "envelope", {"total": "100.29", "shares": "20", "split": "equal", "opens_in": "5", "opens_in_unit": "60000"})
    await expect(dialog.locator(".preview")).to_have_text("About ¥5.01 each")
    await fill(
        console,
        "envelope",
        {"open_for": "90", "open_for_unit": "1000", "condition": "keyword", "keyword": "hello", "title": "Spring luck", "users_per_address": "3"},
    )
    await dialog.locator("[name=keyword]").press("Enter")
    await expect(dialog.locator(".sum")).to_have_text("You'll give away ¥100.29")
    for words in ("20 · Equal", "5 min", "90 s", "say “hello” in chat", "Spring luck"):
        await expect(dialog.locator(".review dd", has_text=words)).to_have_count(1)
    await console.keyboard.press("Enter")
    assert "envelopes" not in await state_of(stage, console)
    await dialog.locator("[data-act=back]").click()
    await expect(dialog.locator("[name=total]")).to_have_value("100.29")
    await dialog.locator("[data-act=review]").click()
    await dialog.locator("[data-act=launch]").click()
    await expect(dialog).to_be_hidden()
    await expect(console.locator(".toast.good").first).to_have_text("Red envelope sent")
    [envelope] = (await state_of(stage, console))["envelopes"]
    assert (envelope["total_fen"], envelope["shares"], envelope["split"], envelope["title"]) == (10_029, 20, "equal", "Spring luck")
    assert (envelope["closes_ms"] - envelope["opens_ms"], envelope["condition"]) == (90_000, {"keyword": "hello"})
    assert envelope["users_per_address_max"] == 3
    card = console.locator(f"#offers [data-envelope='{envelope['envelope']}']")
    await expect(card).to_contain_text("¥100.29 in 20 shares · Equal · say “hello” in chat · 3 users per IP")
    await expect(console.locator("[data-launch=envelope]")).to_be_focused()  # where the anchor was before
    assert stage.complaints == []


async def test_what_cannot_be_read_is_told_at_its_field(stage: Stage) -> None:
    """Amounts with three decimals, no numbers, numbers out of range: each error is at its field, the first has the focus, nothing is sent."""
    console = await stage.console()
    dialog = await fill(console, "envelope", {"total": "1.999", "shares": "10001", "opens_in": "two", "open_for": "25", "open_for_unit": "3600000"})
    await fill(console, "envelope", {"condition": "watched", "watched_s": "7201"})
    await dialog.locator("[data-act=review]").click()
    for name in ("total", "shares", "opens_in", "open_for", "watched_s"):
        await expect(dialog.locator(f"[data-error={name}]")).to_be_visible()
        await expect(dialog.locator(f"[name={name}]")).to_have_attribute("aria-invalid", "true")
    await expect(dialog.locator("[data-error=shares]")).to_have_text("Enter a whole number from 1 to 10000")
    await expect(dialog.locator("[data-error=open_for]")).to_have_text("Enter 1 s to 1 d")
    await expect(dialog.locator("[name=total]")).to_be_focused()
    await dialog.locator("[name=total]").fill("1.99")
    await expect(dialog.locator("[data-error=total]")).to_have_count(0)  # a field that is being corrected shows no error
    await expect(dialog.locator("[data-act=launch]")).to_be_hidden()
    await console.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    assert "envelopes" not in await state_of(stage, console)
    assert stage.complaints == []


async def test_what_the_server_refuses_is_told_at_its_field(stage: Stage) -> None:
    """A refusal that names a field leads back to it, with words of this language; one that names none stands above the buttons; the form is kept."""
    await stage.command("add_product", {"product": SHIRT})
    console = await stage.console()

    async def refused(kind: str, name: str, words: str) -> None:
        dialog = console.locator(f"#launch-{kind}")
        await dialog.locator("[data-act=review]").click()
        await dialog.locator("[data-act=launch]").click()
        await expect(dialog.locator(f"[data-error={name}]")).to_have_text(words)
        await expect(dialog.locator(f"[name={name}]").first).to_be_focused()

    await fill(console, "envelope", {"total": "0.10", "shares": "11"})
    await refused("envelope", "total", "At least ¥0.01 per share")
    await fill(console, "envelope", {"total": "1", "title": ""})
    await refused("envelope", "title", "Enter a title")
    await fill(console, "envelope", {"title": "Luck", "condition": "keyword", "keyword": "\u2060"})
    await refused("envelope", "keyword", "Enter a keyword that can be said")
    await fill(console, "envelope", {"keyword": "hi"})
    await console.locator("#launch-envelope [data-act=review]").click()
    others = [await stage.command("drop_red_envelope", {"total_fen": 1, "shares": 1, "opens_in_ms": 600_000}) for _ in range(4)]
    await console.locator("#launch-envelope [data-act=launch]").click()
    await expect(console.locator("#launch-envelope .form-error")).to_have_text("Limit reached")
    await stage.command("cancel_red_envelope", {"envelope": others[0]["result"]["envelope"]})
    await console.locator("#launch-envelope [data-act=launch]").click()  # a refused command may be tried again
    await expect(console.locator("#launch-envelope")).to_be_hidden()

    await fill(console, "coupon", {"amount": "5", "stock": "10", "claimable_for": "2", "claimable_for_unit": "86400000"})
    await refused("coupon", "valid_for", "The validity can't be shorter than the claim period")
    await console.locator("#language").evaluate("(button) => button.click()")  # it lies under the dialog
    await expect(console.locator("#launch-coupon [name=amount]")).to_have_value("5")
    await console.locator("#launch-coupon [data-act=review]").click()
    await console.locator("#launch-coupon [data-act=launch]").click()
    await expect(console.locator("[data-error=valid_for]")).to_have_text("有效期不能短于领取时间")
    await console.locator("#language").evaluate("(button) => button.click()")
    await console.keyboard.press("Escape")

    await fill(console, "sale", {"price": "99", "stock": "5"})
    await stage.command("remove_product", {"product": "shirt"})
    await refused("sale", "product", "This product is no longer in the shop")
    await console.context.close()
    stage.complaints[:] = [words for words in stage.complaints if not re.search(r"status of 4(00|04|09|22)", words)]


async def test_a_launch_whose_answer_was_lost_is_not_launched_twice(stage: Stage) -> None:
    """When no answer came for a minute the form stays; launching the same again finds the outcome of the first time."""
    console = await stage.console()
    ids: list[str] = []

    async def lose(route: Route) -> None:
        ids.append((await route.request.all_headers())["idempotency-key"])
        await route.fetch()
        await route.fulfill(status=503, json={"code": "unavailable", "detail": "nobody knows"})

    await console.route("**/commands/drop_red_envelope", lose)
    dialog = await fill(console, "envelope", {"total": "8.88", "shares": "8", "opens_in": "10", "opens_in_unit": "60000"})
    await dialog.locator("[data-act=review]").click()
    await console.clock.install()
    async with console.expect_response("**/commands/drop_red_envelope") as answered:
        await dialog.locator("[data-act=launch]").click()
    await (await answered.value).finished()  # time passes while it waits to ask again, not while it waits for an answer
    await console.clock.fast_forward(61_000)
    await expect(console.locator("#offers [data-envelope]")).to_have_count(1)
    await expect(dialog.locator(".form-error")).to_have_text("The server isn't responding. Try again.")
    await console.unroute("**/commands/drop_red_envelope", lose)
    await dialog.locator("[data-act=back]").click()
    await dialog.locator("[data-act=review]").click()
    await dialog.locator("[data-act=launch]").click()
    await expect(dialog).to_be_hidden()
    assert len(set(ids)) == 1
    assert len((await state_of(stage, console))["envelopes"]) == 1
    await launch(console, "envelope", {"total": "8.88", "shares": "8", "opens_in": "10", "opens_in_unit": "60000"})  # the same on purpose
    await expect(console.locator("#offers [data-envelope]")).to_have_count(2)
    await console.context.close()
    stage.complaints[:] = [words for words in stage.complaints if "503" not in words]


async def test_a_launch_that_may_have_happened_is_not_launched_twice_after_a_refusal(stage: Stage) -> None:
    """A server that is too busy decides nothing about the attempt before: the page asks again, and the next launch has the same id."""
    console = await stage.console()
    ids: list[str] = []

    async def lose_then_refuse(route: Route) -> None:
        ids.append((await route.request.all_headers())["idempotency-key"])
        if len(ids) == 1:
            await route.fetch()
            await route.fulfill(status=503, json={"code": "unavailable", "detail": "nobody knows"})
        else:
            await route.fulfill(status=503, json={"code": "overloaded", "detail": "too busy"})

    await console.route("**/commands/drop_red_envelope", lose_then_refuse)
    dialog = await fill(console, "envelope", {"total": "8.88", "shares": "8", "opens_in": "10", "opens_in_unit": "60000"})
    await dialog.locator("[data-act=review]").click()
    await console.clock.install()
    for number in range(3):
        async with console.expect_response("**/commands/drop_red_envelope") as answered:
            if number:
                await console.clock.fast_forward(9_000)
            else:
                await dialog.locator("[data-act=launch]").click()
        await (await answered.value).finished()
    await console.clock.fast_forward(61_000)
    await expect(dialog.locator(".form-error")).not_to_be_empty()
    await console.unroute("**/commands/drop_red_envelope", lose_then_refuse)
    await dialog.locator("[data-act=back]").click()
    await dialog.locator("[data-act=review]").click()
    await dialog.locator("[data-act=launch]").click()
    await expect(dialog).to_be_hidden()
    assert len(set(ids)) == 1
    assert len((await state_of(stage, console))["envelopes"]) == 1
    await console.context.close()
    stage.complaints[:] = [words for words in stage.complaints if "503" not in words]


async def test_a_moderator_looks_and_a_closed_room_launches_nothing(stage: Stage) -> None:
    """A moderator sees what is live and can neither launch, end, nor read the accounts; in a room that is closed nobody can launch."""
    await stage.command("issue_coupon", {"title": "Less", "terms": {"amount_fen": 5}, "stock": 3})
    mod = await stage.open(stage.console_path, "mo", Role.moderator)
    await expect(mod.locator("#offers [data-coupon]")).to_be_visible()
    await expect(mod.locator("#offers button")).to_have_count(0)
    await expect(mod.locator("#launches")).to_be_hidden()
    await expect(mod.locator("#ledger")).to_be_hidden()
    console = await stage.console()
    await expect(console.locator("[data-launch=sale]")).to_be_enabled()
    await console.locator("[data-launch=sale]").click()
    await expect(console.locator("#launch-sale .form-error")).to_have_text("Add a product first.")
    await expect(console.locator("#launch-sale [data-act=review]")).to_be_disabled()
    await console.keyboard.press("Escape")
    await stage.command("close_room", {})
    await expect(console.locator("[data-launch=sale]")).to_be_disabled()
    await expect(console.locator("#offers [data-coupon]")).to_have_count(0)
    assert stage.complaints == []


async def test_money_fits_every_screen_in_chinese(stage: Stage) -> None:
    """Nothing scrolls sideways, neither page nor forms nor ledger, with long words and large numbers; every control has a name."""
    long = {"id": "long", "title": "手工雕刻" * 25, "price_fen": 100_000_000_000}
    await stage.command("add_product", {"product": long})
    for body in (
        {"opens_in_ms": 600_000, "title": "恭喜发财大吉大利" * 12, "condition": {"keyword": "新年快乐" * 10, "watched_s": 7_200}},
        {"opens_in_ms": 0},
    ):
        await stage.command("drop_red_envelope", {"total_fen": 100_000_000_000, "shares": 10_000, **body})
    await stage.command("announce_flash_sale", {"product": "long", "price_fen": 99_999_999_999, "stock": 1_000_000, "opens_in_ms": 0})
    await stage.command("issue_coupon", {"title": "满减" * 50, "terms": {"percent_off": 15, "discount_max_fen": 123_456}, "stock": 5_000})
    for size in ((320, 568), PHONE, (844, 390), (1280, 800)):
        await _fits(await stage.console(size=size, lang="zh-CN"), narrow=size[0] < 1000)
    assert stage.complaints == []


async def _fits(console: Page, *, narrow: bool) -> None:
    """All of it on one screen."""
    if narrow:
        await console.locator("[data-tab=money-card]").click()
    await expect(console.locator("#offers .offer")).to_have_count(4)
    await expect(console.locator("#ledger [data-show=remaining_fen]")).to_have_text("¥2,000,000,000.00")
    await expect(console.locator("#offers [data-sale] [data-act=close]")).to_have_text("结束秒杀")
    assert await console.evaluate(WIDE) == []
    for kind in ("envelope", "coupon", "sale"):
        fields = {"total": "1000000000", "shares": "10000"} if kind == "envelope" else {"stock": "999999"}
        fields |= {"kind": "percent", "percent": "15", "discount_max": "1000000000"} if kind == "coupon" else {}
        fields |= {"price": "999999999.99", "per_user": "x"} if kind == "sale" else {}
        dialog = await fill(console, kind, fields)
        assert await console.evaluate(WIDE) == []
        nameless = """(dialog) => [...dialog.querySelectorAll("input, select")].filter((control) => control.checkVisibility())
            .filter((control) => !control.ariaLabel && !control.labels[0]?.innerText.trim()).map((control) => control.name)"""
        assert await dialog.evaluate(nameless) == []
        await dialog.locator("[data-act=review]").click()
        if kind == "sale":
            await expect(dialog.locator("[data-error=per_user]")).to_have_text("请填写 1 到 1000 的整数")
            await fill(console, kind, {"per_user": "1"})
            await dialog.locator("[data-act=review]").click()
            await expect(dialog.locator(".sum")).to_have_text("最高销售额 ¥999,998,999,990,000.01")
        await expect(dialog.locator("[data-act=launch]")).to_be_in_viewport()
        assert await console.evaluate(WIDE) == []
        await console.keyboard.press("Escape")
    await console.locator("#ledger-open").click()
    await expect(console.locator("#ledger-accounts [data-sale]")).to_have_count(1)
    assert await console.evaluate(WIDE) == []
    await console.context.close()
