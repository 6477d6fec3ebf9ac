"""The platform's side: payments and other commands, told to the server over HTTP and told again when the answer was lost."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

import aiohttp
import orjson

from liveroom.messages.fields import Role
from liveroom.protocol.frames import Accepted, Refused
from loadtests.storm.storm_context import StormContext
from loadtests.storm.transcript import PASSING, Asked, Reply, TimedReply

__all__ = ["PaymentSimulator"]

#: HTTP connections of one process.
CONNECTIONS_MAX: Final = 32
REQUEST_S: Final = 15.0
#: Bound of the pause before a request that got no answer is made again.
RETRY_S: Final = 0.5


class PaymentSimulator:
    """The payments of one process; `close` it."""

    def __init__(self, context: StormContext) -> None:
        self._context = context
        self._user = f"platform-{context.options.run}-{context.part.first}"
        self._asked: dict[str, tuple[Asked, dict[str, Any]]] = {}
        self._rng = random.Random(self._user)
        self._url = f"{context.part.console_url}/v1/rooms/{context.options.room}/commands/"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
            headers={"Authorization": f"Bearer {context.token(self._user, Role.platform)}", "Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=REQUEST_S),
        )

    async def close(self) -> None:
        """End its connections."""
        await self._session.close()

    async def confirm(self, hold: int, quantity: int, units: int) -> Reply:
        """Confirm a hold of `units`, or `quantity` of it (0 = all), with its payment."""
        return await self._confirm(f"hold-{hold}", hold, quantity, units)

    async def repeat(self, hold: int, quantity: int, units: int) -> None:
        """Confirm a hold again with the same payment: under the same key, and under a new one, as a platform's own retries may."""
        await self._confirm(f"hold-{hold}", hold, quantity, units)
        await self._confirm(f"hold-{hold}-again", hold, quantity, units)

    async def repeat_all(self) -> None:
        """Ask everything again, as it was asked."""
        for key, (asked, body) in list(self._asked.items()):
            await self.ask(key, asked.command, body, asked.about)

    async def _confirm(self, key: str, hold: int, quantity: int, units: int) -> Reply:
        body = {"hold": hold, "payment": f"payment-{hold}", "quantity": quantity}
        return await self.ask(key, "confirm_hold", body, hold, quantity or units)

    async def ask(self, key: str, command: str, body: dict[str, Any], about: int, quantity: int = 0) -> Reply:
        """Send a command under a key, again and again until there is an answer."""
        context = self._context
        asked, body = self._asked.get(key) or (context.ask(self._user, key, command, about, quantity), body)
        self._asked[key] = asked, body
        while True:
            asked.sent += 1
            life = context.life
            try:
                async with self._session.post(self._url + command, data=orjson.dumps(body), headers={"Idempotency-Key": key}) as response:
                    reply = _reply(key, response.status, orjson.loads(await response.read()))
            except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError):
                asked.cut += 1
                await asyncio.sleep(self._rng.random() * RETRY_S)
                continue
            asked.told.append(TimedReply(life, reply))
            context.told(asked, reply)
            if isinstance(reply, Accepted) or reply.code not in PASSING:
                return reply
            await asyncio.sleep(max(self._rng.random() * RETRY_S, reply.retry_after_ms / 1000))


def _reply(key: str, status: int, body: dict[str, Any]) -> Reply:
    if status == 200:
        return Accepted(key, body["seq"], body["result"])
    return Refused(key, body["code"], body["detail"], retry_after_ms=body.get("retry_after_ms", 0))
