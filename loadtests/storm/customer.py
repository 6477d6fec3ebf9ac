"""One user of a storm: claims, and does what real ones do on top of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, Final

from liveroom.messages.fields import Role
from liveroom.protocol.codec import encode
from liveroom.protocol.commands import Command
from liveroom.protocol.frames import Accepted
from liveroom.protocol.inbound import ClientMessage
from loadtests.storm.options import StormStart
from loadtests.storm.payment_simulator import PaymentSimulator
from loadtests.storm.storm_context import StormContext
from loadtests.storm.transcript import PASSING, Asked, Reply, TimedReply
from loadtests.storm.user_connection import UserConnection

__all__ = ["Customer"]

#: Longest time until an impatient customer taps again.
IMPATIENT_S: Final = 0.05
#: Longest time between a tap and the loss of the connection.
DROP_S: Final = 0.3
#: Pause before a command that an overloaded server refused is repeated, if the refusal names no time.
PASSING_S: Final = 0.25
#: Share of the refused commands that are repeated after a kill; all accepted ones are.
REFUSED_AGAIN: Final = 0.3
#: Most answered commands that a customer repeats after a kill.
AGAIN_MAX: Final = 8
#: Commands in flight while a customer repeats all of them, and the time between two looks for replies.
REPEATED_AT_ONCE: Final = 16
REPEAT_POLL_S: Final = 0.002
#: Refusals that end when the offer opens: the customer asks again under a new id.
NOT_YET: Final = frozenset({"envelope_not_open", "sale_not_open"})

#: Habits beyond a single tap; each customer has each of them with the probability `options.unruly`.
HABITS: Final = ("duplicate", "impatient", "dropped", "again")


class Customer:
    """`claim` and `ask` give answers; the customer's connections come back by themselves and ask again for what was not answered."""

    def __init__(self, context: StormContext, payments: PaymentSimulator, ordinal: int) -> None:
        options = context.options
        self.context = context
        self.payments = payments
        self.user = f"{options.run}-{ordinal}"
        self.rng = random.Random(self.user)
        self.habits = frozenset(habit for habit in HABITS if self.rng.random() < options.unruly)
        context.habits.update(self.habits)
        token = context.token(self.user, Role.viewer)
        count = 2 if "duplicate" in self.habits else 1
        self.connections = [
            UserConnection(context, self.user, token, context.source(ordinal), self._on_reply, self._on_personal, self._on_back) for _ in range(count)
        ]
        self.letters: dict[tuple[str, int], asyncio.Event] = {}
        self._due_ns = 0
        self._doubted: set[str] = set()
        self._ids = 0
        self._answers: dict[str, tuple[Asked, UserConnection, asyncio.Future[Reply], int]] = {}  # with the time it was due

    async def open(self) -> None:
        """Let all its connections in."""
        await asyncio.gather(*(connection.open() for connection in self.connections))

    def close(self) -> None:
        """Leave for good."""
        for connection in self.connections:
            connection.close()

    async def until_opening(self, start: StormStart) -> None:
        """Wait for this customer's own moment within `within_s` after the opening."""
        wait_s = start.opens_ms / 1000 - time.time() + self.rng.random() * self.context.options.within_s
        self._due_ns = time.monotonic_ns() + int(wait_s * 1e9)
        await asyncio.sleep(max(0, wait_s))

    async def claim(self, command: Command, about: int, quantity: int = 1) -> list[Reply]:
        """The first tap with all habits: the answers of all ids that it took."""
        ids = [self._ask(command, about, quantity, connection, self._due_ns) for connection in self.connections]
        if "impatient" in self.habits:
            self._later(self.rng.random() * IMPATIENT_S, lambda: self._repeat_unanswered(ids[0]))
        if "dropped" in self.habits:
            self._later(self.rng.random() * DROP_S, lambda: self._drop(ids[0]))
        answers = list(await asyncio.gather(*(self._answer(id, command) for id in ids)))
        if "again" in self.habits:
            answers.append(await self.ask(command, about, quantity))
        return answers

    async def ask(self, command: Command, about: int, quantity: int = 1) -> Reply:
        """Ask under a new id and wait for the answer, through lost connections and busy servers."""
        return await self._answer(self._ask(command, about, quantity, self.connections[0], time.monotonic_ns()), command)

    def _ask(self, command: Command, about: int, quantity: int, connection: UserConnection, due_ns: int) -> str:
        self._ids += 1
        id = f"c{self._ids}"
        asked = self.context.ask(self.user, id, str(type(command).__struct_config__.tag), about, quantity)
        connection.asked[id] = asked, encode(ClientMessage(id, command))
        self._answers[id] = asked, connection, asyncio.get_running_loop().create_future(), due_ns
        connection.send(id)
        return id

    async def _answer(self, id: str, command: Command) -> Reply:
        while True:
            asked, connection, future, _ = self._answers[id]
            answer = await future
            if isinstance(answer, Accepted) or answer.code not in NOT_YET:
                return answer
            await asyncio.sleep((answer.retry_after_ms + 1) / 1000)
            id = self._ask(command, asked.about, asked.quantity, connection, time.monotonic_ns())

    async def letter(self, type: str, about: int, within_s: float) -> bool:
        """Wait for a personal event about a hold; gives whether it came."""
        event = self.letters.setdefault((type, about), asyncio.Event())
        try:
            async with asyncio.timeout(within_s):
                await event.wait()
        except TimeoutError:
            return False
        return True

    async def repeat_all(self) -> None:
        """Ask everything again under its id, some at a time, and wait for the replies."""
        for connection in self.connections:
            ids = list(connection.asked)
            for at in range(0, len(ids), REPEATED_AT_ONCE):
                for id in ids[at : at + REPEATED_AT_ONCE]:
                    connection.send(id)
                while connection.pending:  # noqa: ASYNC110 (a user connection has no event for it)
                    await asyncio.sleep(REPEAT_POLL_S)

    def ask_again(self) -> None:
        """Ask again, over connections that held, as those do whose connection was lost."""
        for connection in self.connections:
            if connection.to >= 0:
                self._on_back(connection)

    # Replies and events

    def _on_reply(self, life: int, reply: Reply) -> None:
        asked, connection, future, due_ns = self._answers[reply.id]
        asked.told.append(TimedReply(life, reply))
        self.context.told(asked, reply)
        if future.done():
            return
        if not isinstance(reply, Accepted) and reply.code in PASSING:
            self._later(max(PASSING_S, reply.retry_after_ms / 1000), lambda: connection.send(reply.id))
        else:
            future.set_result(reply)
            self.context.answer(asked, due_ns)

    def _on_personal(self, seq: int, event: dict[str, Any]) -> None:
        self.context.letter(self.user, seq, event)
        if "hold" in event:
            self.letters.setdefault((event["type"], event["hold"]), asyncio.Event()).set()

    def _on_back(self, connection: UserConnection) -> None:
        """Ask again what was not answered and, after a kill, what was, as a client does whose answers were lost."""
        answered = []
        for id in connection.asked:
            asked, _, future, _ = self._answers[id]
            if not future.done():
                connection.send(id)
            elif id in self._doubted or (asked.told[-1].life < self.context.life and self._worth_asking(asked)):
                answered.append(id)
        self._doubted.clear()
        for id in answered[-AGAIN_MAX:]:
            connection.send(id)

    def _worth_asking(self, asked: Asked) -> bool:
        answer = asked.answer
        return isinstance(answer, Accepted) or (answer is not None and answer.code != "sold_out" and self.rng.random() < REFUSED_AGAIN)

    # Habits

    def _later(self, after_s: float, act: Callable[[], None]) -> None:
        """Something that is still to be done before all is over."""
        self.context.waiting += 1

        def do() -> None:
            self.context.waiting -= 1
            act()

        asyncio.get_running_loop().call_later(after_s, do)

    def _repeat_unanswered(self, id: str) -> None:
        _, connection, future, _ = self._answers[id]
        if not future.done():
            connection.send(id)

    def _drop(self, id: str) -> None:
        """Lose the connection and, once back, ask again, also when there was an answer."""
        self._doubted.add(id)
        self._answers[id][1].drop()
