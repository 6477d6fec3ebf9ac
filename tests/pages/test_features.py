"""A feature of somebody else on both pages: its modules and one line in each list, and nothing else of the pages changes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from liveroom.messages.fields import Role
from tests.pages.conftest import DESKTOP, ON_ONE_LOOP, WAIT_MS, Stage

pytestmark = ON_ONE_LOOP

#: A chip with the number of polls, which are chat lines here, and of those that came while the page was there.
VIEWER = """
import { h } from "/static/js/dom.js";
import { putAt } from "/static/js/place.js";

export function mount({ taps }) {
  const ask = () => taps.tap("poll", { type: "send_chat", text: "poll by chip" });
  const chip = h("button", { id: "polls", class: "chip", type: "button", onclick: ask });
  putAt("chips", chip);
  let heard = 0;
  return {
    onEvent({ type }) {
      if (type === "chat_sent") heard += 1;
    },
    show({ state, me }) {
      chip.textContent = `${me}: ${state.chat.length} polls, ${heard} new`;
    },
  };
}
"""
CONSOLE = """
import { inputField } from "/static/js/console/launch-fields.js";
import { makeCard } from "/static/js/console/offer-card.js";

export function mount() {
  return {
    launch: {
      kind: "poll",
      title: "poll",
      picture: "question",
      command: "send_chat",
      inputs: { text: "text" },
      controls: () => [inputField("poll_text", "text", { maxlength: 40 })],
      read: (reading) => ({ text: reading.text("text", { required: true }) }),
      preview: ({ text }) => text,
      review: ({ text }) => ({ sum: text, lines: [], note: "" }),
    },
    offers: {
      list: ({ chat }) => chat,
      key: ({ seq }) => `poll ${seq}`,
      make: ({ seq, text }) => makeCard({ class: "poll", "data-poll": seq }, "question", text, [], []),
      update() {},
    },
  };
}
"""
#: A feature whose part cannot be drawn, before all others in the list.
BROKEN = 'export const mount = () => ({ show() { throw new Error("this part is broken"); } });'


class Foreign:
    """Opens the stage's pages with one more feature in their lists."""

    def __init__(self, stage: Stage, browser: Browser) -> None:
        self._stage = stage
        self._browser = browser

    async def open(self, page_name: str, module: str, *, first: bool = False) -> Page:
        """The viewer page or the console with the feature of `module`; `first`: before all others."""
        context = await self._browser.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]}, locale="en-US", reduced_motion="reduce")
        context.set_default_timeout(WAIT_MS)
        page = await context.new_page()
        page.on("pageerror", lambda error: self._stage.complaints.append(str(error)))

        async def with_one_more(route: Route) -> None:
            answer = await route.fetch()
            add = "unshift" if first else "push"
            await route.fulfill(
                response=answer, body=f'{await answer.text()}\nimport * as foreign from "/static/js/foreign.js";\nFEATURES.{add}(foreign);\n'
            )

        await page.route(f"**/static/js/features/{page_name}.js", with_one_more)
        await page.route("**/static/js/foreign.js", lambda route: route.fulfill(body=module, content_type="text/javascript"))
        path, user, role = {
            "viewer": (self._stage.viewer_path, "vera", Role.viewer),
            "console": (self._stage.console_path, "anna", Role.anchor),
        }[page_name]
        await page.goto(f"{self._stage.server.console_url}{path}#token={self._stage.token(user, role)}")
        await page.wait_for_selector("[data-connection=live]")
        return page


@pytest_asyncio.fixture(loop_scope="session")
async def foreign(stage: Stage, browser: Browser) -> AsyncIterator[Foreign]:
    """Pages with one more feature; they close before the stage looks at the complaints."""
    known = set(browser.contexts)
    yield Foreign(stage, browser)
    for context in browser.contexts:
        if context not in known:
            await context.close()


async def test_a_foreign_feature_takes_part_in_the_viewer_page(stage: Stage, foreign: Foreign) -> None:
    """Its part stands in a place of the page, follows state and events, and its taps are commands like any other."""
    await stage.command("send_chat", {"text": "red or blue?"})
    page = await foreign.open("viewer", VIEWER)
    await expect(page.locator(".chips > #polls")).to_have_text("vera: 1 polls, 0 new")
    await stage.command("send_chat", {"text": "big or small?"})
    await expect(page.locator("#polls")).to_have_text("vera: 2 polls, 1 new")
    await page.locator("#polls").click()
    await expect(page.locator("#polls")).to_have_text("vera: 3 polls, 2 new")
    await expect(page.locator("#chat .mine .text")).to_have_text("poll by chip")


async def test_a_foreign_feature_launches_and_shows_its_offers(stage: Stage, foreign: Foreign) -> None:
    """Its launch button opens a form that is reviewed and sent, and its live items are among the offers."""
    console = await foreign.open("console", CONSOLE)
    await console.locator("[data-launch=poll]").click()
    dialog = console.locator("#launch-poll")
    await dialog.locator("[name=text]").fill("red or blue?")
    await dialog.locator("[data-act=review]").click()
    await expect(dialog.locator(".sum")).to_have_text("red or blue?")
    await dialog.locator("[data-act=launch]").click()
    await expect(dialog).to_be_hidden()
    await expect(console.locator("#offers .offer.poll strong")).to_have_text("red or blue?")


async def test_an_error_in_one_part_reaches_no_other(stage: Stage, foreign: Foreign) -> None:
    """A part that cannot be drawn is reported, and the page goes on without it."""
    page = await foreign.open("viewer", BROKEN, first=True)
    await stage.command("send_chat", {"text": "hello"})
    await expect(page.locator("#chat .text")).to_have_text("hello")
    await expect(page.locator("#title")).to_have_text("Spring sale")
    await page.context.close()
    assert stage.complaints
    assert set(stage.complaints) == {"this part is broken"}
    stage.complaints.clear()
