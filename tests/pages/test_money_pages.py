"""Red envelopes, coupons and flash sales on the viewer page, in a real browser against a real server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect
from playwright.async_api import TimeoutError as PlaywrightTimeout

from liveroom.messages.fields import Role
from tests.pages.conftest import ON_ONE_LOOP, PHONE, WAIT_MS, Stage
from tests.pages.console_page import SHIRT, launch

pytestmark = ON_ONE_LOOP

expect.set_options(timeout=WAIT_MS)

#: A sale's stock on the page, as the bar draws it and as the words say it.
STOCK = """card => {
    const bar = card.querySelector(".stock-bar");
    const shares = [...bar.children].map((part) => [part.dataset.kind, part.hidden ? 0 : Number(part.style.flexGrow)]);
    const words = [...card.querySelectorAll(".stock-legend span")].map((part) => [part.dataset.kind, Number(part.querySelector("b").textContent)]);
    return { bar: Object.fromEntries(shares), words: Object.fromEntries(words) };
}"""

#: The named parts that a finger does not reach: off the screen, under something else, or cut off.
OUT_OF_REACH = """names => names.flatMap((name) => {
    const part = document.querySelector(name);
    const at = part.getBoundingClientRect();
    if (!at.height) return [`${name} is not shown`];
    const reached = (hit) => hit && (part.contains(hit) || (hit.contains(part) && hit.matches("p, span, li")));
    const points = [at.top + 3, at.top + at.height / 2, at.bottom - 3].map((y) => document.elementFromPoint(at.left + at.width / 2, y));
    return points.filter((hit) => !reached(hit)).map((hit) => `${name} lies under ${hit?.id} ${hit?.className} at ${at.top} to ${at.bottom}`);
})"""

#: Pairs of the page's parts that lie over each other, and parts that are not wholly on the screen.
MISPLACED = """() => {
    const stage = [".bar", "#announcement", "#open-coupons", "#envelope-chips", "#stage-note div", "#envelope"];
    const panel = [".panel .chat", "#sales", "#pinned", "#composer", "#like"];
    const box = (name) => [name, document.querySelector(name).getBoundingClientRect()];
    const boxes = [...stage, ...panel].map(box).filter(([, at]) => at.width && at.height);
    const across = (one, other) => one.left < other.right && other.left < one.right;
    const over = ([, one], [, other]) => across(one, other) && one.top < other.bottom - 0.5 && other.top < one.bottom - 0.5;
    const pairs = boxes.flatMap((one, index) => boxes.slice(index + 1).filter((other) => over(one, other)).map((other) => `${one[0]} ${other[0]}`));
    const outside = boxes.filter(([, at]) => at.top < 0 || at.left < 0 || at.bottom > innerHeight + 0.5 || at.right > innerWidth + 0.5);
    return [...pairs, ...outside.map(([name]) => `${name} is off the screen`)];
}"""


async def nothing_is_misplaced(page: Page) -> None:
    """Once the page has settled: what comes in may push the rest for a moment."""
    with contextlib.suppress(PlaywrightTimeout):
        await page.wait_for_function(f"() => ({MISPLACED})().length === 0", timeout=5_000)
    assert await page.evaluate(MISPLACED) == []


async def do(stage: Stage, command: str, body: dict[str, Any], user: str = "anna", role: Role = Role.anchor) -> dict[str, Any]:
    """A command over HTTP that is accepted; gives its result."""
    answer = await stage.command(command, body, user=user, role=role)
    assert answer["http_status"] == 200, answer
    result: dict[str, Any] = answer["result"]
    return result


async def drop(stage: Stage, **more: Any) -> int:
    """Drop a red envelope of ¥10.00 that is open at once."""
    terms = {"total_fen": 1_000, "shares": 2, "opens_in_ms": 0, "open_for_ms": 60_000, **more}
    return int((await do(stage, "drop_red_envelope", terms))["envelope"])


async def announce(stage: Stage, **more: Any) -> int:
    """Put a shirt on sale for ¥100.00, open at once."""
    await do(stage, "add_product", {"product": SHIRT})
    terms = {"product": "shirt", "price_fen": 10_000, "stock": 10, "per_user_max": 3, "opens_in_ms": 0, "hold_ms": 60_000, **more}
    return int((await do(stage, "announce_flash_sale", terms))["sale"])


async def issue(stage: Stage, **more: Any) -> int:
    """Issue a coupon of ¥20.00."""
    return int((await do(stage, "issue_coupon", {"title": "Welcome", "terms": {"amount_fen": 2_000}, "stock": 5, **more}))["coupon"])


def card(page: Page, sale: int) -> Locator:
    """A sale's card."""
    return page.locator(f".sale[data-sale='{sale}']")


async def has_stock(page: Page, sale: int, **units: int) -> None:
    """Wait until bar and words of a sale both show these units."""
    wanted = {"sold": 0, "held": 0, "available": 0, **units}
    deadline = time.monotonic() + WAIT_MS / 1000
    while (shown := await card(page, sale).evaluate(STOCK)) != {"bar": wanted, "words": wanted}:
        assert time.monotonic() < deadline, shown
        await asyncio.sleep(0.05)


async def fen_of(page: Page) -> int:
    """The share that a page shows."""
    await expect(page.locator("#envelope-share")).to_be_visible()
    return round(float((await page.locator("#envelope-share").inner_text()).removeprefix("¥")) * 100)


async def test_the_last_share_goes_to_one_and_the_other_sees_that_it_is_gone(stage: Stage) -> None:
    """An anchor's envelope opens for all at its time and not before. Two viewers grab the last share: one wins, the other sees that it is gone."""
    vera, victor, console = await stage.viewer("vera", size=PHONE), await stage.viewer("victor"), await stage.console()
    await launch(console, "envelope", {"total": "10", "shares": "2", "opens_in": "5"})
    for page in (vera, victor):
        await expect(page.locator("#envelope")).to_have_attribute("data-phase", "announced")
        await expect(page.locator("#envelope-sum")).to_have_text("¥10.00 in 2 random shares")
        await page.locator("#grab").click(force=True)  # too early: nothing happens
        await expect(page.locator("#envelope")).to_have_attribute("data-outcome", "none")
    assert await vera.locator("#grab").inner_text() in ("0:05", "0:04", "0:03", "0:02", "0:01")
    envelope = int(await vera.locator("#envelope").get_attribute("data-envelope") or "")
    for page in (vera, victor):
        await expect(page.locator("#grab")).to_have_text("Grab")
        await expect(page.locator("#envelope")).to_have_attribute("data-phase", "open")
    first = (await do(stage, "grab_red_envelope", {"envelope": envelope}, "bella", Role.viewer))["amount_fen"]
    await expect(vera.locator("#envelope-left")).to_have_text("1 of 2 left")
    await asyncio.gather(*(page.locator("#grab").dispatch_event("click") for page in (vera, victor)))  # at once, without looking first

    for page in (vera, victor):
        await expect(page.locator("#envelope")).to_have_attribute("data-phase", "over")
        await expect(page.locator("#envelope")).to_have_attribute(
            "data-outcome", "won" if await page.locator("#envelope-share").is_visible() else "lost"
        )
    outcomes = {page: await page.locator("#envelope").get_attribute("data-outcome") for page in (vera, victor)}
    assert sorted(str(outcome) for outcome in outcomes.values()) == ["lost", "won"]
    winner, loser = (vera, victor) if outcomes[vera] == "won" else (victor, vera)
    assert await fen_of(winner) == 1_000 - first
    await expect(loser.locator("#envelope-words")).to_have_text("Too late, all gone!")
    await expect(loser.locator("#told")).to_contain_text("Too late, all gone!")
    await expect(winner.locator("#told")).to_contain_text("You got ¥")
    for page in (vera, victor):
        await expect(page.locator("#envelope-best li")).to_have_count(2)
        await expect(page.locator("#envelope-fair")).to_have_attribute("data-fits", "true")  # the browser worked it out
    await expect(winner.locator("#envelope-fair")).to_have_attribute("data-turn", "2")
    await expect(winner.locator("#envelope-best li.mine")).to_have_count(1)
    await loser.locator("#put-aside").click()
    await expect(loser.locator("#envelope")).to_be_hidden()
    await expect(loser.locator(".envelope-chip")).to_be_focused()
    assert stage.complaints == []


async def test_a_hold_runs_out_on_screen_and_the_stock_comes_back(stage: Stage) -> None:
    """A buyer sees the amount due and the time to pay, even in another window. Unpaid, the hold expires in both, and the stock bar is whole again."""
    buyer, again, other = await stage.viewer("bea", size=PHONE), await stage.viewer("bea"), await stage.viewer("victor")
    sale = await announce(stage, hold_ms=6_000, opens_in_ms=1_500)
    await expect(card(buyer, sale)).to_have_attribute("data-state", "announced")
    await expect(card(buyer, sale)).to_have_attribute("data-state", "open")
    await has_stock(buyer, sale, available=10)
    await card(buyer, sale).locator(".more").click()
    await expect(card(buyer, sale).locator(".reserve")).to_have_text("Buy now ¥200.00")
    await card(buyer, sale).locator(".reserve").click()
    for page in (buyer, again):
        hold = card(page, sale).locator(".hold")
        await expect(hold).to_contain_text("¥200.00 due")
        await expect(hold).to_contain_text("Waiting for payment")
        assert await hold.locator(".hold-left").inner_text() in ("0:06", "0:05", "0:04", "0:03", "0:02")
    for page in (buyer, again, other):
        await has_stock(page, sale, held=2, available=8)
    await expect(card(other, sale).locator(".hold")).to_have_count(0)

    for page in (buyer, again):
        await expect(card(page, sale).locator(".sale-notice")).to_contain_text("Not paid in time. Your 2 reserved went back on sale.")
        await expect(card(page, sale).locator(".hold")).to_have_count(0)
    for page in (buyer, again, other):
        await has_stock(page, sale, available=10)
    await card(buyer, sale).locator(".read").click()
    await expect(card(buyer, sale).locator(".sale-notice")).to_be_hidden()
    assert stage.complaints == []


async def test_a_coupon_is_claimed_and_lowers_what_a_hold_costs(stage: Stage) -> None:
    """A claimed coupon shows its code, also after a reload; applied to a hold it lowers what is due; cancelled it comes back; paid it is used."""
    coupon, sale = await issue(stage, stock=1), await announce(stage)
    vera, victor = await stage.viewer("vera"), await stage.viewer("victor", size=PHONE)
    offer = f"#claimable [data-coupon='{coupon}']"
    for page in (vera, victor):
        await page.locator("#open-coupons").click()
        await expect(page.locator(f"{offer} .ticket-left")).to_have_text("1 of 1 left")
    await vera.locator(f"{offer} .claim").click()
    await expect(vera.locator(offer)).to_have_attribute("data-state", "claimed")
    await expect(victor.locator(offer)).to_have_attribute("data-state", "gone")
    code = await vera.locator("#own-coupons .code").inner_text()
    assert len(code) == 16
    await expect(vera.locator("#coupons").get_by_text(code)).to_have_count(1)
    await vera.reload()
    await vera.locator("#open-coupons").click()
    own = vera.locator(f"#own-coupons [data-code='{code}']")
    await expect(own).to_have_attribute("data-state", "usable")
    await vera.locator("#coupons [data-close]").click()

    await expect(card(vera, sale).locator(".reserve")).to_have_text("Buy now ¥80.00")  # the best coupon is chosen already
    await card(vera, sale).locator(".use-coupon").select_option("")
    await expect(card(vera, sale).locator(".reserve")).to_have_text("Buy now ¥100.00")
    await card(vera, sale).locator(".use-coupon").select_option(code)
    await card(vera, sale).locator(".reserve").click()
    await expect(card(vera, sale).locator(".hold")).to_contain_text("¥80.00 due")
    await expect(card(vera, sale).locator(".hold")).to_contain_text("Coupon: -¥20.00")
    await expect(card(vera, sale).locator(".hold")).to_contain_text("in the shop")
    await expect(card(vera, sale).locator(".reserve.primary")).to_have_count(0)  # not to be taken for "pay"
    await expect(own).to_have_attribute("data-state", "reserved")
    await expect(card(vera, sale).locator(".use-coupon")).to_be_hidden()
    await card(vera, sale).locator(".cancel").click()
    await expect(card(vera, sale).locator(".sale-notice")).to_contain_text("Cancelled")
    await expect(own).to_have_attribute("data-state", "usable")
    await has_stock(vera, sale, available=10)

    await card(vera, sale).locator(".reserve").click()
    hold = int(await card(vera, sale).locator(".hold").get_attribute("data-hold") or "")
    await do(stage, "confirm_hold", {"hold": hold, "payment": "pay-1"}, "shop", Role.platform)
    await expect(card(vera, sale).locator(".sale-notice")).to_contain_text("Paid ¥80.00. You bought 1.")
    await card(vera, sale).locator(".read").click()
    await expect(card(vera, sale).locator(".bought")).to_have_text("You bought 1")
    await expect(own).to_have_attribute("data-state", "used")
    await has_stock(victor, sale, available=9, sold=1)
    await vera.reload()
    await expect(card(vera, sale).locator(".bought")).to_have_text("You bought 1")
    assert stage.complaints == []


async def test_who_waits_in_line_sees_it_and_gets_what_comes_back(stage: Stage) -> None:
    """While all units are held, further buyers wait and see their place; a hold that is given back goes to the first of them."""
    sale = await announce(stage, stock=1)
    first, second, third = await stage.viewer("first"), await stage.viewer("second", size=PHONE), await stage.viewer("third")
    await card(first, sale).locator(".reserve").click()
    await expect(card(first, sale).locator(".hold")).to_have_count(1)
    for page, words in ((second, "You're next in line"), (third, "In line: up to 1 ahead of you")):
        await expect(card(page, sale).locator(".reserve")).to_have_text("Join waitlist ¥100.00")
        await card(page, sale).locator(".reserve").click()
        await expect(card(page, sale).locator(".sale-says")).to_have_text(words)
    await card(first, sale).locator(".cancel").click()
    await expect(card(second, sale).locator(".hold")).to_have_count(1)
    await expect(card(third, sale).locator(".sale-says")).to_have_text("In line: up to 1 ahead of you")
    await expect(card(third, sale).locator(".sale-says")).to_have_text("Sold out for now")  # after the longest wait
    assert stage.complaints == []


async def test_money_survives_a_killed_server(stage: Stage) -> None:
    """Killed and started again: share, coupon and hold are still shown, and a tap made meanwhile has one outcome."""
    envelope, coupon, sale = await drop(stage), await issue(stage), await announce(stage)
    vera = await stage.viewer("vera", size=PHONE)
    await vera.locator("#grab").click()
    share = await fen_of(vera)
    await vera.locator("#open-coupons").click()
    await vera.locator(f"#claimable [data-coupon='{coupon}'] .claim").click()
    await expect(vera.locator("#own-coupons [data-state=usable]")).to_have_count(1)
    await vera.locator("#coupons [data-close]").click()
    await card(vera, sale).locator(".reserve").click()
    await expect(card(vera, sale).locator(".hold")).to_have_count(1)
    await expect(card(vera, sale).locator(".reserve")).to_have_attribute("aria-busy", "false")  # until then a tap is still the same order

    await stage.server.kill()
    await expect(vera.locator("body")).to_have_attribute("data-connection", "reconnecting")
    for _ in range(3):
        await card(vera, sale).locator(".reserve").click(force=True)
    await expect(card(vera, sale).locator(".sale-says")).to_have_text("Sends when you're back online")
    await expect(card(vera, sale).locator(".hold")).to_have_count(1)
    await stage.server.start()
    await expect(vera.locator("body")).to_have_attribute("data-connection", "live")
    await expect(card(vera, sale).locator(".hold")).to_have_count(2)
    await has_stock(vera, sale, held=2, available=8)
    fresh = await stage.viewer("vera")
    for page in (vera, fresh):
        await expect(card(page, sale).locator(".hold")).to_have_count(2)
        assert await fen_of(page) == share
        await expect(page.locator("#own-coupons .ticket")).to_have_count(1)
        await expect(page.locator(f"#shares [data-envelope='{envelope}']")).to_have_count(1)


async def test_conditions_are_said_and_can_be_met(stage: Stage) -> None:
    """A keyword can be said with one tap, and then the grab counts; who has not watched long enough sees how long it takes."""
    vera = await stage.viewer("vera", size=PHONE)
    await drop(stage, condition={"keyword": "spring sale"})
    await expect(vera.locator("#envelope-terms")).to_contain_text("say “spring sale” in chat")
    await vera.locator("#grab").click()
    await expect(vera.locator("#envelope-words")).to_have_text("Say “spring sale” in chat first")
    await vera.locator("#say-keyword").click()
    await expect(vera.locator("#chat .mine")).to_contain_text("spring sale")
    await vera.locator("#grab").click()
    assert await fen_of(vera) > 0
    await drop(stage, condition={"watched_s": 600}, title="For the patient")
    await expect(vera.locator("#envelope-title")).to_have_text("For the patient")
    await vera.locator("#grab").click()
    await expect(vera.locator("#envelope-words")).to_contain_text("Keep watching: grab in 9:")
    await expect(vera.locator("#grab")).to_have_attribute("aria-disabled", "true")
    assert stage.complaints == []


async def test_several_envelopes_and_the_chat_beside_them(stage: Stage) -> None:
    """The newest open envelope lies on top, the others are at hand. It does not interrupt a viewer who is writing; a share stays after a reload."""
    vera = await stage.viewer("vera", size=PHONE)
    await vera.locator("#text").focus()
    first = await drop(stage, title="The first")
    await expect(vera.locator("#envelope-title")).to_have_text("The first")
    second = await drop(stage, title="The second")
    await expect(vera.locator("#envelope-title")).to_have_text("The second")
    await expect(vera.locator("#text")).to_be_focused()
    await vera.keyboard.type("still writing")
    await vera.keyboard.press("Enter")
    await expect(vera.locator("#chat .mine")).to_contain_text("still writing")
    await vera.locator("#grab").click()
    share = await fen_of(vera)
    await vera.locator(f".envelope-chip[data-envelope='{first}']").click()
    await expect(vera.locator("#envelope-title")).to_have_text("The first")
    await expect(vera.locator("#envelope")).to_be_focused()
    await expect(vera.locator(f".envelope-chip[data-envelope='{second}']")).to_contain_text("¥")
    await vera.reload()
    await expect(vera.locator("#envelope-title")).to_have_text("The second")
    assert await fen_of(vera) == share
    assert stage.complaints == []


async def test_money_in_chinese(stage: Stage) -> None:
    """Everything works in Chinese; a change of language changes the texts and loses nothing."""
    coupon, sale = await issue(stage, terms={"percent_off": 15}), await announce(stage)
    envelope = await drop(stage, split="equal")
    vera = await stage.viewer("vera", size=PHONE, lang="zh-CN")
    await expect(vera.locator("#grab")).to_have_text("抢红包")
    await expect(vera.locator("#envelope-sum")).to_have_text("¥10.00，2 个普通红包")
    await vera.locator("#grab").click()
    await expect(vera.locator("#envelope-words")).to_have_text("恭喜，抢到了")
    await do(stage, "grab_red_envelope", {"envelope": envelope}, "bella", Role.viewer)
    await expect(vera.locator("#envelope-best-title")).to_have_text("手气最佳")
    await vera.locator("#open-coupons").click()
    await expect(vera.locator(f"#claimable [data-coupon='{coupon}'] .ticket-worth")).to_have_text("8.5 折")
    await vera.locator(f"#claimable [data-coupon='{coupon}'] .claim").click()
    await expect(vera.locator(f"#claimable [data-coupon='{coupon}'] .claim")).to_have_text("已领取")
    await vera.locator("#coupons [data-close]").click()
    await card(vera, sale).locator(".more").click()
    await expect(card(vera, sale).locator(".reserve")).to_have_text("立即抢购 ¥170.00")
    await card(vera, sale).locator(".reserve").click()
    await expect(card(vera, sale).locator(".hold")).to_contain_text("需支付 ¥170.00")
    await expect(card(vera, sale).locator(".hold")).to_contain_text("待支付")
    await vera.locator("#language").click()
    await expect(card(vera, sale).locator(".hold")).to_contain_text("¥170.00 due")
    await expect(vera.locator("#envelope-words")).to_have_text("You got it!")
    await expect(card(vera, sale).locator(".stock-legend .held")).to_have_text("2 in checkout")
    assert stage.complaints == []


async def test_who_runs_the_room_or_has_no_token_looks_on(stage: Stage) -> None:
    """An anchor and a page without a token see what is on offer; nothing can be grabbed, claimed or bought there, and it says why."""
    await drop(stage)
    coupon, sale = await issue(stage), await announce(stage)
    for user, role, words in (("anna", Role.anchor, "Only viewers can join in"), ("", Role.viewer, "You're a guest")):
        page = await stage.open(stage.viewer_path, user, role=role)
        await expect(page.locator("#grab")).to_have_attribute("aria-disabled", "true")
        await expect(page.locator("#envelope-words")).to_contain_text(words)
        await expect(card(page, sale).locator(".reserve")).to_have_attribute("aria-disabled", "true")
        await page.locator("#open-coupons").click()
        await expect(page.locator(f"#claimable [data-coupon='{coupon}'] .claim")).to_have_attribute("aria-disabled", "true")
    assert stage.complaints == []


@pytest.mark.parametrize("size", [(320, 568), PHONE, (844, 390), (820, 1180), (1440, 900)], ids=str)
async def test_money_leaves_room_for_the_chat(stage: Stage, size: tuple[int, int]) -> None:
    """With an envelope, its result, a coupon, two sales and a hold at once nothing lies over anything, and one can still write."""
    await do(stage, "set_announcement", {"text": "Free shipping"})
    for number in range(20):
        await do(stage, "send_chat", {"text": f"line {number}"})
    envelope, sale = await drop(stage), await announce(stage)
    await announce(stage, opens_in_ms=600_000)
    await do(stage, "claim_coupon", {"coupon": await issue(stage, per_user_max=2)}, "vera", Role.viewer)
    await do(stage, "pin_product", {"product": "shirt"})
    vera = await stage.viewer("vera", size=size)
    await expect(vera.locator("#grab")).to_be_visible()
    await nothing_is_misplaced(vera)
    await card(vera, sale).locator(".reserve").click()
    await expect(card(vera, sale).locator(".hold")).to_be_visible()
    await vera.locator("#grab").click()
    await do(stage, "grab_red_envelope", {"envelope": envelope}, "bella", Role.viewer)
    await expect(vera.locator("#envelope")).to_have_attribute("data-phase", "over")
    await nothing_is_misplaced(vera)
    await vera.fill("#text", "I can write")
    await vera.press("#text", "Enter")
    await expect(vera.locator("#chat .mine")).to_have_count(1)
    await vera.locator("#put-aside").click()
    await expect(vera.locator("#chat .mine")).to_be_in_viewport()
    await nothing_is_misplaced(vera)
    assert stage.complaints == []


@pytest.mark.parametrize("size", [(360, 640), (390, 800), PHONE], ids=str)
async def test_an_envelope_with_a_condition_is_in_reach_whatever_else_there_is(stage: Stage, size: tuple[int, int]) -> None:
    """With banners, a sale and a hold on a phone: words, button and countdown of the envelope, the reason for a refusal and the line to write in."""
    await do(
        stage, "set_announcement", {"text": "Free shipping on everything tonight, also to the islands, until the last order is in. Ask us anything!"}
    )
    question = (await do(stage, "ask_question", {"text": "Does it shrink when it is washed at sixty degrees?"}, "kai", Role.viewer))["question"]
    await do(stage, "pick_question", {"question": question})
    sale = await announce(stage)
    await do(stage, "pin_product", {"product": "shirt"})
    await issue(stage)
    vera = await stage.viewer("vera", size=size)
    await card(vera, sale).locator(".reserve").click()
    await expect(card(vera, sale).locator(".hold")).to_be_visible()
    await drop(stage, condition={"keyword": "spring shirts"})
    await drop(stage, opens_in_ms=600_000)
    await expect(vera.locator("#say-keyword")).to_be_visible()
    needed = ["#grab", "#say-keyword", "#envelope-terms-words", "#envelope-when", ".hold-left", ".hold .cancel", "#composer", "#text", "#like"]
    assert await vera.evaluate(OUT_OF_REACH, needed) == []
    await nothing_is_misplaced(vera)
    await vera.emulate_media(reduced_motion="no-preference")
    await vera.locator("#grab").click(timeout=WAIT_MS)  # it stands still, whatever moves around it
    await expect(vera.locator("#envelope-words")).to_contain_text("spring shirts")
    await vera.emulate_media(reduced_motion="reduce")
    assert await vera.evaluate(OUT_OF_REACH, [*needed, "#envelope-words"]) == []
    await nothing_is_misplaced(vera)
    await vera.locator("#say-keyword").click()
    await expect(vera.locator("#say-keyword")).to_be_disabled()
    await vera.locator("#grab").click()
    assert await fen_of(vera)
    assert await vera.evaluate(OUT_OF_REACH, ["#envelope-share", "#composer", "#text", "#like"]) == []
    assert stage.complaints == []


async def test_a_new_sale_comes_into_sight(stage: Stage) -> None:
    """A phone shows the newest sale that can be bought, before one that is sold out; a viewer with a hold of another stays there."""
    first = await announce(stage, stock=1)
    vera, victor = await stage.viewer("vera", size=(390, 800)), await stage.viewer("victor", size=(390, 800))
    await card(vera, first).locator(".reserve").click()
    hold = int(await card(vera, first).locator(".hold").get_attribute("data-hold") or "")
    second = await announce(stage)
    await expect(card(victor, second).locator(".reserve")).to_be_in_viewport(ratio=1)
    await expect(card(vera, second)).to_be_visible()
    await expect(card(vera, first).locator(".hold-left")).to_be_in_viewport(ratio=1)
    await do(stage, "confirm_hold", {"hold": hold, "payment": "pay-1"}, "shop", Role.platform)
    await card(vera, first).locator(".read").click()
    await expect(card(vera, second).locator(".reserve")).to_be_in_viewport(ratio=1)
    for page in (vera, victor):
        await expect(card(page, first).locator(".sale-when")).to_have_text("Sold out")
        assert await page.locator(".sale").evaluate_all("cards => cards.map((card) => Number(card.dataset.sale))") == [second, first]
        small, large = [await card(page, sale).bounding_box() for sale in (first, second)]
        assert small
        assert large
        assert small["height"] < large["height"]
        assert small["width"] < large["width"]
    third = await announce(stage)
    for page in (vera, victor):
        await expect(card(page, third).locator(".reserve")).to_be_in_viewport(ratio=1)
    assert stage.complaints == []


async def test_what_became_of_a_hold_is_read_also_when_the_sale_is_over(stage: Stage) -> None:
    """A sale that closes leaves its open holds on screen; when one runs out after that, its buyer can still read so."""
    vera, victor = await stage.viewer("vera", size=PHONE), await stage.viewer("victor")
    sale = await announce(stage, hold_ms=5_000)
    await card(vera, sale).locator(".reserve").click()
    await expect(card(vera, sale).locator(".hold")).to_have_count(1)
    await do(stage, "close_flash_sale", {"sale": sale})
    for page in (vera, victor):
        await expect(card(page, sale)).to_have_attribute("data-state", "closed")
        await expect(card(page, sale).locator(".reserve")).to_be_hidden()
    await expect(card(vera, sale).locator(".sale-notice")).to_contain_text("Not paid in time")
    await expect(card(vera, sale).locator(".stock-bar")).to_be_hidden()
    await expect(card(victor, sale)).to_have_count(0)
    await card(vera, sale).locator(".read").click()
    await expect(card(vera, sale)).to_have_count(0)
    assert stage.complaints == []
