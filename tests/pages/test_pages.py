"""Both pages in a real browser against a real server."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from playwright.async_api import Page, Route, WebSocketRoute, expect

from liveroom.messages.fields import Role
from tests.pages.conftest import AWAY, ELSEWHERE, ON_ONE_LOOP, PHONE, WAIT_MS, Stage

pytestmark = ON_ONE_LOOP

expect.set_options(timeout=WAIT_MS)

SCRIPT = '<img src=x onerror="document.title=1"><script>document.title=1</script>'

#: Pairs of the viewer page's parts that lie over each other.
OVERLAPS = """() => {
    const parts = [".bar", "#announcement", "#stage-note div", "#ended strong", "#ended span", "#chat", "#pinned", "#composer", "#like"];
    const boxes = parts.map((part) => [part, document.querySelector(part).getBoundingClientRect()]).filter(([, box]) => box.width && box.height);
    const over = ([, one], [, other]) => one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
    return boxes.flatMap((one, index) => boxes.slice(index + 1).filter((other) => over(one, other)).map((other) => `${one[0]} ${other[0]}`));
}"""


async def say(page: Page, text: str) -> None:
    """Write a line on a viewer page and send it with Enter."""
    await page.fill("#text", text)
    await page.press("#text", "Enter")


async def lines(page: Page) -> list[list[str]]:
    """The chat as [seq, text], from top to bottom."""
    script = "items => items.map(item => [item.dataset.seq, item.querySelector('.text').textContent])"
    found: list[list[str]] = await page.eval_on_selector_all("#chat .line", script)
    return found


async def sees(page: Page, text: str) -> None:
    """Wait until the page shows this line, exactly once."""
    await expect(page.locator("#chat .text").get_by_text(text, exact=True)).to_have_count(1)


async def moderate(console: Page, text: str, act: str) -> None:
    """Press a button of the line that says `text`."""
    line = console.locator("#chat .line", has_text=text)
    await line.hover()
    await line.get_by_role("button", name=act).click()


async def add_product(console: Page, id: str, title: str, price: str) -> None:
    """Add a product with the console's form."""
    if not await console.locator("#add-product").is_visible():
        await console.locator("#add-product-box summary").click()
    for name, value in (("id", id), ("title", title), ("price", price)):
        await console.fill(f"#add-product [name={name}]", value)
    await console.locator("#add-product [type=submit]").click()
    await expect(console.locator(f"#products [data-product={id}]")).to_be_visible()


async def test_chat_and_a_pinned_product_reach_everyone(stage: Stage) -> None:
    """A second viewer and the console see a viewer's line; both viewers see the product that the anchor pins; markup in chat is text."""
    vera, victor, console = await stage.viewer("vera", size=PHONE), await stage.viewer("victor"), await stage.console()
    assert "token" not in vera.url, "the token is taken off the address"
    await say(vera, "hello from vera")
    for page in (vera, victor, console):
        await sees(page, "hello from vera")
    await say(victor, SCRIPT)
    for page in (vera, victor, console):
        await sees(page, SCRIPT)
        assert await page.locator("#chat img, #chat script").count() == 0
        assert await page.title() != "1"
    await console.fill("#say-text", "welcome")
    await console.press("#say-text", "Enter")
    await expect(vera.locator("#chat .line.role-anchor", has_text="welcome").locator(".badge")).to_have_text("Anchor")

    await add_product(console, "shirt", "Linen shirt", "199.90")
    await console.locator("#products [data-product=shirt] .pin").click()
    for page in (vera, victor):
        await expect(page.locator("#pinned .product strong")).to_have_text("Linen shirt")
        await expect(page.locator("#pinned .price")).to_have_text("¥199.90")
    await expect(console.locator("#products .is-pinned")).to_have_attribute("data-product", "shirt")
    await vera.locator("#pinned .try-on").click()
    await expect(victor.locator("#pinned .try-on-count")).to_have_text("1")
    await expect(console.locator("#products .try-on-count")).to_contain_text("1")
    await vera.locator("#pinned .try-on").click()
    await expect(vera.locator(".toast.bad")).to_contain_text("Already")
    await victor.locator("#open-showcase").click()
    await expect(victor.locator("#products .product")).to_have_count(1)
    await expect(console.locator("#viewers")).to_have_text("2")
    assert stage.complaints == []


async def test_a_mute_stops_the_viewer_with_a_visible_reason(stage: Stage) -> None:
    """A muted viewer cannot speak and sees until when and why; unmuted, they can. A deleted line vanishes. A banned viewer sees the ban."""
    vera, victor, console = await stage.viewer("vera"), await stage.viewer("victor"), await stage.console()
    await say(vera, "buy my stuff")
    await sees(console, "buy my stuff")
    await moderate(console, "buy my stuff", "Mute")
    await console.fill("#sanction-reason", "spam")
    await console.locator("#sanction-do").click()
    await expect(vera.locator("#hint")).to_contain_text("You're muted until")
    await expect(vera.locator("#hint")).to_contain_text("spam")
    await say(vera, "still here")
    await expect(vera.locator("#text")).to_have_value("still here")  # refused, and nothing written is lost
    await expect(console.locator("#muted [data-user=vera]")).to_be_visible()

    await console.locator("#muted [data-user=vera] button").click()
    await expect(vera.locator("#hint")).to_be_hidden()
    await vera.press("#text", "Enter")
    await sees(victor, "still here")
    await moderate(console, "still here", "Delete")
    for page in (vera, victor, console):
        await expect(page.locator("#chat .line", has_text="still here")).to_have_count(0)
        await sees(page, "buy my stuff")

    await moderate(console, "buy my stuff", "Ban")
    await console.fill("#sanction-reason", "enough")
    await console.locator("#sanction-do").click()
    await expect(vera.locator("#banner")).to_contain_text("You're banned")
    await expect(vera.locator("body")).to_have_attribute("data-connection", "banned")
    await expect(console.locator("#banned [data-user=vera]")).to_be_visible()
    assert stage.complaints == []


async def test_pages_come_back_after_the_server_was_killed(stage: Stage) -> None:
    """Killed with SIGKILL and started again: pages come back by themselves, and no line is missing or doubled on any of them."""
    vera, victor, console = await stage.viewer("vera"), await stage.viewer("victor", size=PHONE), await stage.console()
    pages = (vera, victor, console)
    for number in range(12):
        await say(vera if number % 2 else victor, f"before {number}")
    for page in pages:
        await expect(page.locator("#chat .line")).to_have_count(12)
    before = await lines(vera)

    await stage.server.kill()
    for page in pages:
        await expect(page.locator("body")).to_have_attribute("data-connection", "reconnecting")
        await expect(page.locator("#banner")).to_be_visible()
    await say(vera, "said while it was down")
    await stage.server.start()
    for page in pages:
        await expect(page.locator("body")).to_have_attribute("data-connection", "live")
        await sees(page, "said while it was down")
    await say(victor, "after")
    for page in pages:
        await sees(page, "after")

    shown = await asyncio.gather(*(lines(page) for page in pages))
    assert shown[0] == shown[1] == shown[2]
    assert shown[0][:12] == before
    assert [text for _, text in shown[0][12:]] == ["said while it was down", "after"]
    assert sorted({int(seq) for seq, _ in shown[0]}) == [int(seq) for seq, _ in shown[0]]
    fresh = await stage.viewer("nora")
    await sees(fresh, "after")
    assert await lines(fresh) == shown[0]
    assert all(any(away in words for away in AWAY) for words in stage.complaints)


async def test_questions_likes_and_the_end(stage: Stage) -> None:
    """A question is asked, picked and answered before everyone's eyes; likes add up; a closed room says so and wakes up again."""
    vera, victor, console = await stage.viewer("vera", size=PHONE), await stage.viewer("victor"), await stage.console()
    await vera.locator("#ask").click()
    await say(vera, "Does it shrink?")
    await expect(vera.locator("#hint")).to_have_text("Question sent")
    question = console.locator("#question-rows .question", has_text="Does it shrink?")
    await question.locator("input").fill("Not at 30 degrees")
    await question.get_by_role("button", name="Select").click()
    for page in (vera, victor):
        await expect(page.locator("#answering")).to_contain_text("Does it shrink?")
    await expect(question).to_have_class("question picked")  # the row was redrawn; the unfinished text is still there
    await expect(question.locator("input")).to_have_value("Not at 30 degrees")
    await question.get_by_role("button", name="Done").click()
    await expect(victor.locator("#answering")).to_be_hidden()
    await victor.locator("#open-questions").click()
    await expect(victor.locator("#question-rows .answer")).to_have_text("Not at 30 degrees")

    for _ in range(7):
        await vera.locator("#like").click()
    for page in (vera, victor, console):
        await expect(page.locator("#likes")).to_have_text("7")

    await console.fill("#announcement", "Free shipping")
    await console.locator("#announce [type=submit]").click()
    await expect(vera.locator("#announcement")).to_have_text("Free shipping")
    await console.select_option("#slow-mode", "30")
    await expect(vera.locator("#hint")).to_have_text("Slow mode: one message every 30 s")

    await console.locator("#close-room").click()
    await console.locator("#closing [value=do]").click()
    await expect(vera.locator("#ended")).to_be_visible()
    await expect(vera.locator("#text")).to_be_disabled()
    await console.fill("#open-title", "Second evening")
    await console.locator("#open-room [type=submit]").click()
    await expect(vera.locator("#title")).to_have_text("Second evening")
    await expect(vera.locator("#ended")).to_be_hidden()
    assert stage.complaints == []


async def test_languages(stage: Stage) -> None:
    """The page speaks the browser's language, a button changes it at once, and the choice is kept."""
    vera = await stage.viewer("vera", lang="zh-CN")
    await say(vera, "你好")
    await sees(vera, "你好")
    await expect(vera.locator("#mode")).to_have_text("直播中")
    await expect(vera.locator("html")).to_have_attribute("lang", "zh-CN")
    await vera.locator("#language").click()
    await expect(vera.locator("#mode")).to_have_text("Live")
    await expect(vera.locator("#text")).to_have_attribute("placeholder", "Say hi")
    await sees(vera, "你好")
    await vera.reload()
    await expect(vera.locator("#mode")).to_have_text("Live")
    console = await stage.open(f"{stage.console_path}?lang=zh")
    await expect(console.locator("#sign-in-title")).to_have_text("请登录中控台")
    assert await words_differ(vera) == []
    assert stage.complaints == []


async def words_differ(page: Page) -> Any:
    """Keys that only one of the languages has."""
    return await page.evaluate(
        """async () => {
            const keysOf = async (path) => Object.keys(Object.values(await import(path))[0]);
            const [en, zh, featuresEn, featuresZh] = await Promise.all(
                ["words-en", "words-zh", "features/words-en", "features/words-zh"].map((name) => keysOf(`/static/js/${name}.js`)),
            );
            const [english, chinese] = [new Set([...en, ...featuresEn]), new Set([...zh, ...featuresZh])];
            return [...[...english].filter((key) => !chinese.has(key)), ...[...chinese].filter((key) => !english.has(key))];
        }"""
    )


async def test_without_a_token_one_may_look(stage: Stage) -> None:
    """Without a token the viewer page shows the room read-only and says how to get one; the front page leads there; a console waits for a token."""
    vera = await stage.viewer("vera")
    await say(vera, "anyone here?")
    front = await stage.open("/", size=PHONE)
    await front.fill("#search", "no such room")
    await expect(front.locator("#empty-words")).to_contain_text("no such room")
    await front.fill("#search", "spring")
    await front.locator(f".room-card[href='{stage.viewer_path}']").click()
    await sees(front, "anyone here?")
    await expect(front.locator("#no-token")).to_be_visible()
    await expect(front.locator("#composer")).to_be_hidden()
    console = await stage.open(stage.console_path)
    await expect(console.locator("#sign-in")).to_contain_text(f"liveroom token --mode dev --room {stage.room} ")
    wrong = await stage.open(stage.console_path, "vera")
    await expect(wrong.locator("#sign-in")).to_contain_text("This link is for a viewer")
    assert stage.complaints == []


async def test_a_room_that_was_never_opened_is_opened_from_its_console(stage: Stage) -> None:
    """Viewer and console of a new room wait; the anchor opens it; both come alive."""
    vera = await stage.open(f"/rooms/{stage.room}-new", "vera")
    await expect(vera.locator("#banner")).to_contain_text("hasn't started yet")
    console = await stage.open(f"/console/{stage.room}-new", "anna", Role.anchor)
    await console.fill("#open-title", "First light")
    await console.locator("#open-room [type=submit]").click()
    await expect(console.locator("#title")).to_have_text("First light")
    await expect(vera.locator("#title")).to_have_text("First light")
    assert stage.complaints == []


async def test_a_command_that_waits_is_seen_to_wait(stage: Stage) -> None:
    """With the server away a pressed control is busy and a toast in either language says that it waits; back, it happens and a toast says so."""
    console = await stage.console()
    await add_product(console, "shirt", "Linen shirt", "199.90")
    pin, send, field = console.locator("#products [data-product=shirt] .pin"), console.locator("#say [type=submit]"), console.locator("#say-text")
    waiting = console.locator(".toast.wait")
    await stage.server.kill()
    await expect(console.locator("body")).to_have_attribute("data-connection", "reconnecting")
    await pin.click()
    await expect(pin).to_have_attribute("aria-busy", "true")
    await expect(pin).to_be_disabled()
    await expect(waiting).to_have_text("Sends when you're back online")
    await field.fill("said while it was down")
    await field.press("Enter")
    await expect(send).to_have_attribute("aria-busy", "true")
    await expect(field).to_have_value("said while it was down")  # still to be seen
    await expect(waiting).to_have_count(1)
    await console.locator("#language").click()
    await expect(waiting).to_have_text("联网后自动发送")
    await console.locator("#language").click()

    await stage.server.start()
    await expect(console.locator("body")).to_have_attribute("data-connection", "live")
    await expect(waiting).to_have_count(0)
    await expect(console.locator(".toast.good").first).to_have_text("Done")
    await expect(console.locator("#products .is-pinned")).to_have_attribute("data-product", "shirt")
    await sees(console, "said while it was down")
    await expect(console.locator("[aria-busy]")).to_have_count(0)
    await expect(field).to_have_value("")
    await expect(field).to_be_editable()


async def test_a_slow_answer_is_waited_for_and_a_refusal_undoes_the_field(stage: Stage) -> None:
    """A server that is there but slow: the toast says that it is waited for; when it refuses, the field shows again what holds."""
    console = await stage.console()
    hold = asyncio.Event()

    async def refuse(route: Route) -> None:
        await hold.wait()
        await route.fulfill(status=403, json={"code": "forbidden", "detail": "no"})

    await console.route("**/commands/set_slow_mode", refuse)
    await console.select_option("#slow-mode", "30")
    await expect(console.locator(".toast.wait")).to_have_text("Waiting for the server…")
    await expect(console.locator("#slow-mode")).to_be_disabled()
    hold.set()
    await expect(console.locator(".toast.bad")).to_have_text("Failed: You're not allowed to do this")
    await expect(console.locator(".toast.wait")).to_have_count(0)
    await expect(console.locator("#slow-mode")).to_have_value("0")
    await expect(console.locator("#slow-mode")).to_be_enabled()
    await console.context.close()
    stage.complaints[:] = [words for words in stage.complaints if "403" not in words]


async def test_an_added_product_is_seen_and_confirmed(stage: Stage) -> None:
    """A new product is scrolled into view, however long the showcase, and a toast confirms it."""
    for number in range(20):
        product = {"id": f"p{number}", "title": f"Product {number}", "price_fen": 100}
        await stage.command("add_product", {"product": product})
    console = await stage.console()
    await expect(console.locator("#products .row")).to_have_count(20)
    await expect(console.locator("#products [data-product=p19]")).not_to_be_in_viewport()
    await add_product(console, "latest", "The latest", "5")
    await expect(console.locator(".toast.good")).to_have_text("Added to the shop: The latest")
    await expect(console.locator("#products [data-product=latest]")).to_be_in_viewport(ratio=0.99)
    assert stage.complaints == []


async def test_pages_say_that_the_room_does_not_answer(stage: Stage) -> None:
    """While the gateway holds the connection without an engine, a banner says so, in both languages; it goes when that is over."""
    for path, user, role in ((stage.viewer_path, "vera", Role.viewer), (stage.console_path, "anna", Role.anchor)):
        page = await stage.open(path, user, role, size=PHONE)
        sockets: list[WebSocketRoute] = []

        def between(socket: WebSocketRoute, made: list[WebSocketRoute] = sockets) -> None:
            socket.connect_to_server()
            made.append(socket)

        await page.route_web_socket("**/v1/rooms/**", between)
        await page.reload()
        await expect(page.locator("body")).to_have_attribute("data-connection", "live")
        await expect(page.locator("#banner")).to_be_hidden()
        sockets[-1].send('{"type": "interruption", "since_ms": 1}')
        await expect(page.locator("#banner")).to_contain_text("The room isn't responding")
        await page.locator("#language").click()
        await expect(page.locator("#banner")).to_contain_text("直播间暂时没有响应")
        await expect(page.locator("body")).to_have_attribute("data-connection", "live")
        sockets[-1].send('{"type": "interruption", "since_ms": 1, "over": true}')
        await expect(page.locator("#banner")).to_be_hidden()
    assert stage.complaints == []


async def test_a_page_that_never_gets_in_says_what_it_may_be(stage: Stage) -> None:
    """A page of an origin that the gateway refuses hears no reason; after some attempts the banner names the setting, in both languages."""
    vera = await stage.open(stage.viewer_path, "vera", size=PHONE, origin=stage.server.console_url.replace("127.0.0.1", ELSEWHERE))
    await expect(vera.locator("#banner")).to_contain_text("add its origin to gateway.origins")
    await vera.locator("#language").click()
    await expect(vera.locator("#banner")).to_contain_text("请把它的来源（origin）加入 gateway.origins")
    await vera.context.close()  # it would go on complaining
    stage.complaints[:] = [words for words in stage.complaints if "403" not in words]


async def test_the_command_for_a_token_works(stage: Stage) -> None:
    """The command that the pages print, run beside `make run`, makes a token that opens the page."""
    front = await stage.open(stage.viewer_path)
    await expect(front.locator("#no-token")).to_contain_text("In production, your platform issues the tokens")
    for path, place in ((stage.viewer_path, "#no-token-command"), (stage.console_path, "#sign-in-command")):
        page = await stage.open(path)
        program, *arguments = (await page.locator(place).inner_text()).split()
        assert program == ".venv/bin/liveroom"
        command = (sys.executable, "-m", "liveroom", *arguments, "--data-dir", str(stage.server.data_dir))
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        token = (await process.communicate())[0].decode().strip()
        await page.goto(f"{stage.server.console_url}{path}#token={token}")
        await page.wait_for_selector("[data-connection=live]")
    assert stage.complaints == []


@pytest.mark.parametrize("size", [(320, 568), PHONE, (820, 1180), (1440, 900)], ids=str)
async def test_nothing_lies_over_anything(stage: Stage, size: tuple[int, int]) -> None:
    """On every screen, live and ended, the viewer page's parts are apart and the composer's words fit; the console fills its height."""
    product = {"id": "shirt", "title": "Linen shirt with a long name", "price_fen": 19_900, "link_url": "https://shop.example/"}
    await stage.command("add_product", {"product": product})
    await stage.command("pin_product", {"product": "shirt"})
    await stage.command("set_announcement", {"text": "Free shipping"})
    for number in range(30):
        await stage.command("send_chat", {"text": f"line {number}"})
    vera = await stage.viewer("vera", size=size)
    console = await stage.console(size=size)
    await expect(vera.locator("#chat .line")).to_have_count(30)
    await expect(console.locator("#chat .line")).to_have_count(30)
    assert await vera.evaluate(OVERLAPS) == []
    assert await vera.evaluate("""() => document.querySelector("#text").clientWidth >= 90""")
    assert await console.evaluate("""() => innerHeight - document.querySelector("#chat-card").getBoundingClientRect().bottom""") < 30
    await stage.command("close_room", {})
    await expect(vera.locator("#ended")).to_be_visible()
    await expect(vera.locator("#stage-note")).to_be_hidden()
    assert await vera.evaluate(OVERLAPS) == []
    for control in ("#text", "#ask", "#composer [type=submit]", "#like", "#pinned .try-on"):
        await expect(vera.locator(control)).to_be_disabled()
    for control in ("#ask", "#like", "#pinned .try-on"):
        await expect(vera.locator(control)).to_have_attribute("title", "The livestream has ended")
    await expect(vera.locator("#text")).to_have_attribute("placeholder", "The livestream has ended")
    await expect(vera.locator("#pinned .tag")).to_be_hidden()
    await vera.locator("#open-showcase").click()
    await expect(vera.locator("#products .try-on")).to_be_disabled()
    assert stage.complaints == []
