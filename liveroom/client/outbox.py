"""Commands that wait for their answer: each gets exactly one, over however many connections that takes."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import deque
from collections.abc import Callable
from typing import Final

from liveroom.client.exceptions import CommandRefused, CommandUnanswered, Disconnected, TooManyCommands
from liveroom.client.reconnect import full_jitter_s
from liveroom.protocol.codec import encode
from liveroom.protocol.commands import Command
from liveroom.protocol.frames import Accepted, Refused
from liveroom.protocol.inbound import ClientMessage

__all__ = ["COMMANDS_WAITING_MAX", "RETRIES_MAX", "SENT_IDS_MAX", "Outbox", "SentIds"]

#: Commands of one room that may wait for their answer at once.
COMMANDS_WAITING_MAX: Final = 32
#: Most repetitions of one command, with the same id, while its outcome is unknown.
RETRIES_MAX: Final = 5
#: Ids that a client remembers because their commands went out and may have happened. Beyond it the oldest are forgotten.
SENT_IDS_MAX: Final = 1_000
#: Commands sent at once; beyond it they go at the rate that the gateway named.
BURST_MAX: Final = 10
#: Error codes that a gateway sends before the room has seen a command. For a repeated command they leave the outcome open.
_UNDECIDED: Final = frozenset({"rate_limited", "overloaded"})


class SentIds:
    """Ids whose commands went out in earlier calls and may have happened: their outcome is not known."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}  # the newest last
        self._forgot = False

    def __contains__(self, id: str) -> bool:
        """Whether the command may have gone out. Once any id was forgotten, this holds for every id: a false "no" could buy twice."""
        return self._forgot or id in self._ids

    def note(self, id: str, *, settled: bool) -> None:
        """Note the end of a call whose command went out, in it or before. A known outcome needs no memory."""
        self._ids.pop(id, None)
        if settled:
            return
        self._ids[id] = None
        if len(self._ids) > SENT_IDS_MAX:
            del self._ids[next(iter(self._ids))]
            self._forgot = True


class _Waiting:
    def __init__(self, text: str, answer: asyncio.Future[Accepted], *, sent_before: bool) -> None:
        self.text = text
        self.answer = answer
        self.sent = int(sent_before)  # how often it went out; earlier calls count as once
        self.retries = 0
        self.settled = False


class Outbox:
    """`on_change` is called whenever the number of waiting commands changed."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._waiting: dict[str, _Waiting] = {}
        self._sent_ids = SentIds()
        self._unsent: deque[str] = deque()
        self._to_send = asyncio.Event()
        self._retries: set[asyncio.TimerHandle] = set()
        self._ended = (0, "")  # code and reason of the last connection's end, while there is no other connection
        self._allowance = float(BURST_MAX)
        self._allowance_at_s = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    async def submit(self, id: str | None, command: Command, bytes_max: int | None, timeout_s: float) -> Accepted:
        """Send a command under the caller's id, or under a new one, and wait for its answer.

        Raises `CommandRefused`, `CommandUnanswered`, `TooManyCommands`, or `Disconnected`.
        """
        sent_before = self.may_have_sent(id)
        if id is None:
            id = f"py-{secrets.token_hex(12)}"
        if id in self._waiting:
            raise CommandRefused("id_reused", "a command with this id still waits for its answer", field="id", id=id)
        if len(self._waiting) >= COMMANDS_WAITING_MAX:
            raise TooManyCommands(COMMANDS_WAITING_MAX)
        text = _encoded(id, command)
        if bytes_max is not None and len(text) > bytes_max:
            raise CommandRefused("too_large", f"at most {bytes_max} bytes are allowed, this command has {len(text)}", id=id)
        waiting = self._waiting[id] = _Waiting(text.decode(), asyncio.get_running_loop().create_future(), sent_before=sent_before)
        self._queue(id)
        self._on_change()
        try:
            async with asyncio.timeout(timeout_s):
                return await waiting.answer
        except TimeoutError:
            raise CommandUnanswered(id, sent=waiting.sent > 0, code=self._ended[0], reason=self._ended[1]) from None
        finally:
            del self._waiting[id]
            if waiting.sent:
                self._sent_ids.note(id, settled=waiting.settled)
            self._on_change()

    def may_have_sent(self, id: str | None) -> bool:
        """Whether an earlier call sent this id without learning the outcome; `None` is an id that is still to be made."""
        return id is not None and id in self._sent_ids

    def restart(self) -> None:
        """Send all waiting commands again over a new connection, because their outcomes are unknown."""
        self._ended = (0, "")
        self._unsent = deque(self._waiting)
        self._allowance, self._allowance_at_s = float(BURST_MAX), asyncio.get_running_loop().time()
        if self._unsent:
            self._to_send.set()

    def lost(self, code: int, reason: str) -> None:
        """The connection ended, or none came about: a command that runs out of time before the next one names this."""
        self._ended = (code, reason)

    async def next_text(self, commands_per_s: int) -> str:
        """The next message to send, when the gateway's limit allows it."""
        while True:
            while not self._unsent:
                self._to_send.clear()
                await self._to_send.wait()
            await self._pace(max(1, commands_per_s))
            waiting = self._waiting.get(self._unsent.popleft()) if self._unsent else None
            if waiting is not None:
                waiting.sent += 1
                return waiting.text

    async def _pace(self, commands_per_s: int) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        self._allowance = min(BURST_MAX, self._allowance + (now_s - self._allowance_at_s) * commands_per_s) - 1
        self._allowance_at_s = now_s
        if self._allowance < 0:
            await asyncio.sleep(-self._allowance / commands_per_s)

    def on_reply(self, reply: Accepted | Refused) -> None:
        """Pass an answer to its caller; an answer without a waiting caller is ignored."""
        waiting = self._waiting.get(reply.id)
        if waiting is None or waiting.answer.done():
            return
        is_open = isinstance(reply, Refused) and self._is_open(waiting, reply)
        waiting.settled = not is_open
        if isinstance(reply, Accepted):
            waiting.answer.set_result(reply)
        elif is_open and waiting.retries < RETRIES_MAX:
            waiting.retries += 1
            self._retry_later(reply.id, max(reply.retry_after_ms / 1000, full_jitter_s(waiting.retries, random.random())))
        else:
            refused = CommandRefused(reply.code, reply.detail, field=reply.field, retry_after_ms=reply.retry_after_ms, id=reply.id)
            waiting.answer.set_exception(refused)

    def abandon(self, code: int, reason: str) -> None:
        """Fail every waiting command, because no more answers will come. A command that this client did not send fails as the room does."""
        for timer in self._retries:
            timer.cancel()
        self._retries.clear()
        for id, waiting in self._waiting.items():
            if not waiting.answer.done():
                unanswered = CommandUnanswered(id, code=code, reason=reason)
                waiting.answer.set_exception(unanswered if waiting.sent else Disconnected(code, reason))

    @staticmethod
    def _is_open(waiting: _Waiting, reply: Refused) -> bool:
        """Whether the outcome is still unknown: a command sent before, in this call or an earlier one, may have happened."""
        return reply.code == "unavailable" or (waiting.sent > 1 and not reply.seq and reply.code in _UNDECIDED)

    def _retry_later(self, id: str, delay_s: float) -> None:
        def retry() -> None:
            self._retries.discard(timer)
            if id in self._waiting and id not in self._unsent:
                self._queue(id)

        timer = asyncio.get_running_loop().call_later(delay_s, retry)
        self._retries.add(timer)

    def _queue(self, id: str) -> None:
        self._unsent.append(id)
        self._to_send.set()


def _encoded(id: str, command: Command) -> bytes:
    try:
        return encode(ClientMessage(id, command))
    except UnicodeEncodeError:
        raise CommandRefused("bad_utf8", "the text holds half a surrogate pair, which UTF-8 cannot say", id=id) from None
