"""Helpers for tests of the console's money: forms, confirmations, the server's own data."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Locator, Page, expect

from liveroom.messages.fields import Role
from tests.pages.conftest import WAIT_MS, Stage

expect.set_options(timeout=WAIT_MS)

SHIRT = {"id": "shirt", "title": "Linen shirt", "price_fen": 25_900}


async def state_of(stage: Stage, console: Page) -> dict[str, Any]:
    """The room as the server tells it."""
    state: dict[str, Any] = await console.evaluate(f"fetch('/v1/rooms/{stage.room}').then((answer) => answer.json())")
    return state


async def fill(console: Page, kind: str, fields: dict[str, str]) -> Locator:
    """Open a launch form and fill it in; choices are made by their value. Returns the dialog."""
    dialog = console.locator(f"#launch-{kind}")
    if not await dialog.is_visible():
        await console.locator(f"[data-launch={kind}]").click()
    for name, value in fields.items():
        control = dialog.locator(f"[name={name}]").first
        if await control.get_attribute("type") == "radio":
            await dialog.locator(f"[name={name}][value={value}]").check()
        elif await control.evaluate("control => control.tagName") == "SELECT":
            await control.select_option(value)
        else:
            await control.fill(value)
    return dialog


async def launch(console: Page, kind: str, fields: dict[str, str]) -> None:
    """Fill in, review, launch, and see it taken."""
    dialog = await fill(console, kind, fields)
    await dialog.locator("[data-act=review]").click()
    await dialog.locator("[data-act=launch]").click()
    await expect(dialog).to_be_hidden()


async def agree(console: Page) -> None:
    """Say yes to what is asked."""
    await expect(console.locator("#sure")).to_be_visible()
    await console.locator("#sure [value=do]").click()


async def viewer(stage: Stage, command: str, body: dict[str, Any], user: str = "vera") -> dict[str, Any]:
    """A viewer's command."""
    return await stage.command(command, body, user=user, role=Role.viewer)


async def platform(stage: Stage, command: str, body: dict[str, Any]) -> dict[str, Any]:
    """The platform's command."""
    return await stage.command(command, body, user="shop", role=Role.platform)


def seconds(words: str) -> int:
    """A countdown's text in seconds."""
    minutes, rest = words.split(":")
    return int(minutes) * 60 + int(rest)
