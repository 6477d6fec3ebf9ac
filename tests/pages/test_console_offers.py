"""The console's live money: countdowns, bars, ends, results and the ledger, in a real browser against a real server."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Locator, Page, Route, expect

from liveroom.messages.fields import Role
from tests.pages.conftest import ON_ONE_LOOP, Stage
from tests.pages.console_page import SHIRT, agree, fill, launch, platform, seconds, state_of, viewer

pytestmark = ON_ONE_LOOP


async def test_an_envelope_lives_and_ends_before_the_anchors_eyes(stage: Stage) -> None:
    """Countdowns run on the server's clock though the browser's is three hours wrong; grabs move bar and numbers; the end shows who was luckiest."""
    console = await stage.console()
    await console.add_init_script("const now = Date.now; Date.now = () => now() + 3 * 3_600_000")
    await console.reload()
    await console.wait_for_selector("#dashboard:not([hidden])")
    await launch(console, "envelope", {"total": "10", "shares": "2", "opens_in": "3", "open_for": "2"})
    card = console.locator("#offers [data-envelope]")
    await expect(card).to_have_attribute("data-state", "announced")
    assert 0 <= seconds(await card.locator(".countdown").inner_text()) <= 3
    await expect(card).to_have_attribute("data-state", "open")
    await expect(card.locator("[data-act=cancel]")).to_have_count(0)
    left = seconds(await card.locator(".countdown").inner_text())
    assert 100 < left <= 120
    await expect(card.locator(".countdown")).not_to_have_text(await card.locator(".countdown").inner_text())
    assert seconds(await card.locator(".countdown").inner_text()) < left

    await expect(card.locator("[data-show=left_fen]")).to_have_text("¥10.00")
    envelope = {"envelope": int(await card.get_attribute("data-envelope") or 0)}
    first = (await viewer(stage, "grab_red_envelope", envelope, "vera"))["result"]["amount_fen"]
    await expect(card.locator("[data-show=shares_left]")).to_have_text("1 / 2")
    await expect(card.locator("[data-show=left_fen]")).to_have_text(f"¥{10 - first / 100:.2f}")
    await expect(card.locator(".stock-bar")).to_have_attribute("aria-label", "Shares left: 1 / 2")
    widths = await card.locator(".stock-bar i").evaluate_all("(parts) => parts.map((part) => part.getBoundingClientRect().width)")
    assert widths[0] == pytest.approx(widths[1], rel=0.1)
    second = (await viewer(stage, "grab_red_envelope", envelope, "victor"))["result"]["amount_fen"]
    assert first + second == 1_000
    result = console.locator("#results [data-envelope]")
    await expect(result).to_have_attribute("data-reason", "empty")
    await expect(console.locator("#offers .offer")).to_have_count(0)
    await expect(result.locator("[data-show=granted_fen]")).to_have_text("¥10.00")
    await expect(result.locator("[data-show=refunded_fen]")).to_have_text("¥0.00")
    luck = sorted([(-first, "vera"), (-second, "victor")])
    assert [await row.get_attribute("data-user") for row in await result.locator(".best li").all()] == [user for _, user in luck]
    await expect(result.locator(".best li").first).to_contain_text(f"¥{-luck[0][0] / 100:.2f}")
    await result.locator("[data-act=dismiss]").click()
    await expect(result).to_have_count(0)
    assert stage.complaints == []


async def test_an_envelope_is_taken_back_after_being_asked_once(stage: Stage) -> None:
    """Before it opens an envelope can be cancelled; saying no changes nothing; all of its money comes back, in the result and in the ledger."""
    console = await stage.console()
    await launch(console, "envelope", {"total": "66.66", "shares": "6", "opens_in": "10", "opens_in_unit": "60000"})
    card = console.locator("#offers [data-envelope]")
    await card.locator("[data-act=cancel]").click()
    await expect(console.locator("#sure")).to_contain_text("¥66.66")
    await console.locator("#sure button", has_text=re.compile("^Cancel$")).click()
    await expect(console.locator("#sure")).to_be_hidden()
    await expect(card).to_have_attribute("data-state", "announced")
    await card.locator("[data-act=cancel]").click()
    await agree(console)
    await expect(card).to_have_count(0)
    await expect(console.locator("#results [data-reason=cancelled] [data-show=refunded_fen]")).to_have_text("¥66.66")
    await expect(console.locator("#ledger [data-show=refunded_fen]")).to_have_text("¥66.66")
    assert stage.complaints == []


async def test_a_coupon_is_issued_claimed_and_stopped(stage: Stage) -> None:
    """Both kinds of coupon reach the server as filled in, and a sum without a bound is called so; claims move the bar; stopping asks once."""
    console = await stage.console()
    dialog = await fill(console, "coupon", {"kind": "percent", "percent": "15", "stock": "4"})
    await expect(dialog.locator(".preview")).to_have_text("15% off · no minimum")
    await dialog.locator("[data-act=review]").click()
    await expect(dialog.locator(".sum")).to_have_text("4 coupons with no discount limit")
    await dialog.locator("[data-act=back]").click()
    await launch(console, "coupon", {"discount_max": "30.50", "min_spend": "99", "per_user": "2", "valid_for": "3"})
    dialog = await fill(console, "coupon", {"amount": "20", "min_spend": "20", "stock": "1000000", "title": "Welcome"})
    await expect(dialog.locator("[name=discount_max]")).to_be_hidden()
    await dialog.locator("[data-act=review]").click()
    await expect(dialog.locator(".sum")).to_have_text("Total discount: up to ¥20,000,000.00")
    await expect(dialog.locator(".note")).to_have_text("Some orders will be free with this coupon.")
    await console.keyboard.press("Escape")
    [coupon] = (await state_of(stage, console))["coupons"]
    assert coupon["terms"] == {"percent_off": 15, "discount_max_fen": 3_050, "min_spend_fen": 9_900}
    assert (coupon["title"], coupon["stock"], coupon["per_user_max"]) == ("15% off, up to ¥30.50", 4, 2)
    assert coupon["valid_until_ms"] - coupon["claimable_until_ms"] == 3 * 86_400_000 - 600_000

    card = console.locator(f"#offers [data-coupon='{coupon['coupon']}']")
    assert 500 < seconds(await card.locator(".countdown").inner_text()) <= 600
    claimed = await viewer(stage, "claim_coupon", {"coupon": coupon["coupon"]})
    await expect(card.locator("[data-show=left]")).to_have_text("3 / 4")
    await card.locator("[data-act=stop]").click()
    await agree(console)
    await expect(card).to_have_count(0)
    assert (await viewer(stage, "claim_coupon", {"coupon": coupon["coupon"]}))["code"] == "coupon_stopped"

    redeemed = await platform(stage, "redeem_coupon", {"code": claimed["result"]["code"], "order": "o1", "spend_fen": 20_000})
    assert redeemed["result"]["discount_fen"] == 3_000
    await console.locator("#ledger .ledger-refresh").click()  # a personal event of its owner does not wake the page
    await expect(console.locator("#ledger [data-show=discount_fen]")).to_have_text("¥30.00")
    assert stage.complaints == []


async def test_a_sale_is_announced_watched_restocked_and_closed(stage: Stage) -> None:
    """Holds and payments move the stacked bar; more stock comes, or is refused at its field; a closed sale stays until its last hold is resolved."""
    await stage.command("add_product", {"product": SHIRT})
    console = await stage.console()
    dialog = await fill(console, "sale", {"product": "shirt", "price": ""})
    await expect(dialog.locator(".preview")).to_have_text("was ¥259.00")
    await fill(console, "sale", {"price": "259", "stock": "10"})
    await dialog.locator("[data-act=review]").click()
    await expect(dialog.locator(".note")).to_have_text("This isn't below the regular price.")
    await dialog.locator("[data-act=back]").click()
    await launch(console, "sale", {"price": "99.90", "per_user": "4", "opens_in": "0", "open_for": "1", "hold_for": "10"})
    [sale] = (await state_of(stage, console))["sales"]
    assert (sale["product"], sale["price_fen"], sale["stock"], sale["per_user_max"], sale["hold_ms"]) == ("shirt", 9_990, 10, 4, 600_000)

    card = console.locator(f"#offers [data-sale='{sale['sale']}']")
    await expect(card).to_have_attribute("data-state", "open")
    hold = (await viewer(stage, "reserve_stock", {"sale": sale["sale"], "quantity": 4}))["result"]["hold"]
    other = (await viewer(stage, "reserve_stock", {"sale": sale["sale"], "quantity": 3}, "victor"))["result"]["hold"]
    await platform(stage, "confirm_hold", {"hold": hold, "payment": "p1", "quantity": 3})
    for name, count in (("available", 4), ("held", 3), ("sold", 3)):
        await expect(card.locator(f"[data-show={name}]")).to_have_text(str(count))
    await expect(card.locator(".stock-bar")).to_have_attribute("aria-label", "4 left, 3 in checkout, 3 sold / 10")
    widths = await card.locator(".stock-bar i").evaluate_all("(parts) => parts.map((part) => part.getBoundingClientRect().width)")
    assert widths[1] == pytest.approx(widths[0], rel=0.05)  # sold and held
    assert widths[2] == pytest.approx(widths[0] * 4 / 3, rel=0.05)

    restock = card.locator("[name=quantity]")
    await restock.fill("1.5")
    await restock.press("Enter")
    await expect(card.locator("[data-error=quantity]")).to_have_text("Enter a whole number from 1 to 1000000")
    await restock.fill("1000000")
    await restock.press("Enter")
    await expect(card.locator("[data-error=quantity]")).to_have_text("Too much stock for one sale")
    await restock.fill("5")
    await restock.press("Enter")
    await expect(card.locator("[data-show=available]")).to_have_text("9")
    await expect(restock).to_have_value("")

    await card.locator("[data-act=close]").click()
    await agree(console)
    await expect(card).to_have_attribute("data-state", "closed")
    await expect(card).to_contain_text("Some orders are still in checkout")
    await expect(card.locator("button")).to_have_count(0)
    await platform(stage, "cancel_hold", {"hold": other})
    await expect(card).to_have_count(0)
    await expect(console.locator("#ledger [data-show=gross_fen]")).to_have_text("¥299.70")
    await console.context.close()
    stage.complaints[:] = [words for words in stage.complaints if "409" not in words]


async def test_the_ledger_adds_up(stage: Stage) -> None:
    """Totals are the sums of the items, granted + can be won + refunded is the budget, and all of it is what the server's own ledger says."""
    await stage.command("add_product", {"product": SHIRT})
    console = await stage.console()
    for total_fen, shares in ((1_000, 2), (5_000, 5)):
        dropped = await stage.command("drop_red_envelope", {"total_fen": total_fen, "shares": shares, "opens_in_ms": 0})
        for user in ("vera", "victor"):
            await viewer(stage, "grab_red_envelope", {"envelope": dropped["result"]["envelope"]}, user)
    announced = await stage.command("announce_flash_sale", {"product": "shirt", "price_fen": 990, "stock": 7, "opens_in_ms": 0})
    for user in ("vera", "victor"):
        hold = (await viewer(stage, "reserve_stock", {"sale": announced["result"]["sale"]}, user))["result"]["hold"]
    await platform(stage, "confirm_hold", {"hold": hold, "payment": "p1"})
    await expect(console.locator("#ledger [data-show=gross_fen]")).to_have_text("¥9.90")

    headers = {"Authorization": f"Bearer {stage.token('anna', Role.anchor)}"}
    ledger = await console.evaluate(f"(headers) => fetch('/v1/rooms/{stage.room}/ledger', {{ headers }}).then((answer) => answer.json())", headers)
    await console.locator("#ledger-open").click()
    accounts = console.locator("#ledger-accounts")
    await expect(accounts.locator("[data-envelope]")).to_have_count(2)

    async def fen(place: Locator, name: str) -> int:
        return int((await place.locator(f"[data-show={name}_fen]").inner_text()).replace("¥", "").replace(",", "").replace(".", ""))

    envelopes = accounts.locator("[data-kind=envelopes]")
    names = ("total", "granted", "remaining", "refunded")
    totals = {name: await fen(envelopes.locator(".totals"), name) for name in names}
    assert totals == {name: ledger["totals"][f"{name}_fen"] for name in names}
    assert totals["granted"] + totals["remaining"] + totals["refunded"] == totals["total"] == 6_000
    items = [{name: await fen(item, name) for name in names} for item in await envelopes.locator("[data-envelope]").all()]
    assert {name: sum(item[name] for item in items) for name in names} == totals
    sale = accounts.locator("[data-sale]")
    counts = [int(await sale.locator(f"[data-show={name}]").inner_text()) for name in ("available", "held", "sold")]
    assert counts == [5, 1, 1]
    assert await fen(sale, "gross") == ledger["sales"][0]["gross_fen"] == 990

    await viewer(stage, "grab_red_envelope", {"envelope": ledger["envelopes"][1]["envelope"]}, "nora")
    granted = f"{(await stage_granted(stage, console, headers)) / 100:.2f}"
    await expect(envelopes.locator(".totals [data-show=granted_fen]")).to_have_text(f"¥{granted}")  # open sheets follow too
    assert stage.complaints == []


async def stage_granted(stage: Stage, console: Page, headers: dict[str, str]) -> int:
    """The sum granted so far, by the server's ledger."""
    script = f"(headers) => fetch('/v1/rooms/{stage.room}/ledger', {{ headers }}).then((answer) => answer.json())"
    granted: int = (await console.evaluate(script, headers))["totals"]["granted_fen"]
    return granted


async def test_a_ledger_that_cannot_be_read_says_why_and_shows_no_numbers(stage: Stage) -> None:
    """When the accounts do not add up the card says what to do instead of numbers; once they can be read again they are shown."""
    console = await stage.console()
    await expect(console.locator("#ledger [data-show=granted_fen]")).to_have_text("¥0.00")

    async def broken(route: Route) -> None:
        await route.fulfill(status=500, json={"code": "ledger_broken", "detail": "seq 7: a unit was sold twice"})

    await console.route("**/ledger", broken)
    await console.locator("#ledger .ledger-refresh").click()
    await expect(console.locator(".ledger-trouble")).to_contain_text("don't add up")
    await expect(console.locator("#ledger [data-show]")).to_have_count(0)
    await console.unroute("**/ledger", broken)
    await console.locator("#ledger .ledger-refresh").click()
    await expect(console.locator(".ledger-trouble")).to_be_hidden()
    await expect(console.locator("#ledger [data-show=granted_fen]")).to_have_text("¥0.00")
    await console.context.close()
    stage.complaints[:] = [words for words in stage.complaints if "500" not in words]


async def test_a_console_that_was_away_shows_what_holds_now(stage: Stage) -> None:
    """After the server was killed and started again, what is live and the ledger are right; what was pressed meanwhile happens once."""
    console = await stage.console()
    await launch(console, "envelope", {"total": "50", "shares": "5", "opens_in": "10", "opens_in_unit": "60000"})
    card = console.locator("#offers [data-envelope]")
    await expect(card).to_be_visible()  # its event comes after the answer that closed the dialog
    await stage.server.kill()
    await expect(console.locator("body")).to_have_attribute("data-connection", "reconnecting")
    await card.locator("[data-act=cancel]").click()
    await agree(console)
    await expect(console.locator(".toast.wait")).to_have_text("Sends when you're back online")
    await stage.server.start()
    await expect(card).to_have_count(0)
    await expect(console.locator("#results [data-reason=cancelled]")).to_have_count(1)
    await expect(console.locator("#ledger [data-show=refunded_fen]")).to_have_text("¥50.00")
    assert "envelopes" not in await state_of(stage, console)
