"""Shared limits have a share per user: a few greedy users keep no other user from anything."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from liveroom.config.schema import EngineConfig
from liveroom.features.flash_sale.messages import AnnounceFlashSale, ConfirmHold
from liveroom.features.showcase.messages import AddProduct, Product
from liveroom.messages.fields import Role
from liveroom.protocol.commands import Command
from liveroom.protocol.frames import Accepted
from liveroom.protocol.records import Sender
from tests.gateway.place import Object, Place, Show, Viewer, show

PLATFORM = Sender("platform", "Platform", Role.platform)
#: Nine made the most of 96 money commands a second each; without shares this many rounds fill the memory below twice.
CHURNERS, ROUNDS, MONEY_MAX = 9, 60, 600


async def made(place: Show, command: Command, name: str) -> int:
    reply = await place.command(command)
    assert isinstance(reply, Accepted), reply
    return int(reply.result[name])


async def selling(place: Show, stock: int, hold_ms: int) -> int:
    """A sale that is open at once."""
    assert isinstance(await place.command(AddProduct(Product("shirt", "Shirt", 100))), Accepted)
    return await made(place, AnnounceFlashSale("shirt", 100, stock, 1, opens_in_ms=0, open_for_ms=3_600_000, hold_ms=hold_ms), "sale")


async def ask(viewer: Viewer, command: str, **fields: Any) -> Object:
    """The final reply to a command."""
    command_id = await viewer.send(command, **fields)
    while True:
        frame = await viewer.next()
        if frame.get("id") == command_id and frame["type"] in ("accepted", "refused"):
            return frame


async def churn(place: Place, user: str, sale: int) -> set[str]:
    """Reserve and cancel in turns; the codes of what was refused."""
    codes: set[str] = set()
    async with place.viewer(user) as viewer:
        for _ in range(ROUNDS):
            reply = await ask(viewer, "reserve_stock", sale=sale)
            if reply["type"] == "accepted":
                reply = await ask(viewer, "cancel_hold", hold=reply["result"]["hold"])
            codes.add(str(reply.get("code", "")))
    return codes


async def test_nine_viewers_who_reserve_and_cancel_without_end_keep_no_payment_out() -> None:
    """An honest buyer reserves, and the platform confirms it, while nine others churn as fast as they may, and after it."""
    async with (
        show(commands_per_s=1_000, commands_burst=10_000, engine_config=EngineConfig(dedupe_money_max=MONEY_MAX)) as place,
        AsyncExitStack() as stack,
    ):
        sale = await selling(place, stock=1_000, hold_ms=60_000)
        churning = [asyncio.create_task(churn(place, f"churner-{n}", sale)) for n in range(CHURNERS)]
        for number in range(10):
            honest = await stack.enter_async_context(place.viewer(f"honest-{number}"))
            reply = await ask(honest, "reserve_stock", sale=sale)
            assert reply["type"] == "accepted", reply
            confirmed = await place.command(ConfirmHold(reply["result"]["hold"], f"p{number}"), sender=PLATFORM)
            assert isinstance(confirmed, Accepted), confirmed
            if number == 5:
                refused = set.union(*await asyncio.gather(*churning))
                assert refused == {"", "unpaid_limit"}
