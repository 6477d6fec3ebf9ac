"""Holds that the attackers never pay."""

from __future__ import annotations

import asyncio
from typing import Final

from liveroom.features.flash_sale.messages import CancelHold, ReserveStock
from liveroom.protocol.codec import encode
from liveroom.protocol.commands import Command
from liveroom.protocol.frames import Accepted, Refused
from liveroom.protocol.inbound import ClientMessage
from loadtests.hostile.attacks.front import Front
from loadtests.lib.command_connection import CommandConnection

__all__ = ["reserve_and_cancel", "short_holds"]

HOLDERS: Final = 9
#: Below the gateway's limit of commands of one connection, so that nothing but the holds is unusual.
PAUSE_S: Final = 0.105
ANSWER_S: Final = 10.0


async def reserve_and_cancel(front: Front) -> None:
    """Nine users who reserve and cancel in turns, as often as the gateway allows."""
    await _hold_all(front, HOLDERS, front.field.sale, cancel=True)


async def short_holds(front: Front) -> None:
    """A user who takes the only unit of a sale whose holds last a second, again and again."""
    await _hold_all(front, 1, front.field.scarce, cancel=False)


async def _hold_all(front: Front, users: int, sale: int, *, cancel: bool) -> None:
    async def one(user: str) -> None:
        while True:
            with front.trying():
                speaker = await front.speaker(user)
                try:
                    await _hold_on(front, speaker, sale, cancel=cancel)
                finally:
                    speaker.close()
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as tasks:
        for number in range(users):
            tasks.create_task(one(f"holder-{sale}-{number}"))


async def _hold_on(front: Front, speaker: CommandConnection, sale: int, *, cancel: bool) -> None:
    while not speaker.end:
        reply = await _ask(front, speaker, ReserveStock(sale))
        await asyncio.sleep(PAUSE_S)
        if cancel and isinstance(reply, Accepted):
            await _ask(front, speaker, CancelHold(int(reply.result["hold"])))
            await asyncio.sleep(PAUSE_S)


async def _ask(front: Front, speaker: CommandConnection, command: Command) -> Accepted | Refused | None:
    answered: asyncio.Future[Accepted | Refused | None] = asyncio.get_running_loop().create_future()
    id, name = front.user(), str(type(command).__struct_config__.tag)

    def on_reply(reply: Accepted | Refused | None) -> None:
        if not answered.done():
            answered.set_result(reply)

    speaker.send(id, encode(ClientMessage(id, command)), on_reply)
    async with asyncio.timeout(ANSWER_S):
        reply = await answered
    front.count(f"{name} {'cut off' if reply is None else getattr(reply, 'code', 'accepted')}")
    return reply
