"""A live room for an application: one object over any number of connections.

One task connects, reads frames into the backlog, and reconnects when the connection is lost.
It stops reading while the application is behind, unless a command waits for its answer.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import ssl as ssl_module
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote, urlencode

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.uri import parse_uri

from liveroom.client.backlog import Backlog
from liveroom.client.endings import CLOSE_GAP, CLOSE_LOST, CLOSE_NO_TOKEN
from liveroom.client.exceptions import CommandUnanswered, Disconnected
from liveroom.client.items import Item, Reconnecting, decode_frame
from liveroom.client.outbox import Outbox
from liveroom.client.proxies import proxy_for
from liveroom.client.reconnect import Goodbye, Reconnect, ban_delay_ms, checked_token, retry_after_ms
from liveroom.client.stream import Gap, Stream
from liveroom.features.chat.messages import SendChat
from liveroom.features.likes.messages import SendLikes
from liveroom.features.questions.messages import AskQuestion
from liveroom.features.showcase.messages import RequestTryOn
from liveroom.messages.errors import BadMessage
from liveroom.protocol.codec import decode_command_id, decode_room_id
from liveroom.protocol.commands import Command
from liveroom.protocol.frames import Accepted, Banned, Entitlements, GoingAway, Interruption, Joined, Keyframe, Refused

__all__ = ["ITEMS_WAITING_MAX", "Room", "TokenSource", "connect"]

#: Items that wait for the application before the client stops reading.
ITEMS_WAITING_MAX: Final = 1_000
#: While a command waits, reading goes on to this many times that number of items; then the backlog becomes a `Skipped`.
ITEMS_WAITING_FACTOR: Final = 4
FRAME_BYTES_MAX: Final = 2 * 1024 * 1024
#: Longest time between pings; shorter if the gateway's idle time requires it.
PING_S: Final = 20.0
#: A peer without an answer to a ping or a closing handshake within this time counts as gone.
PONG_S: Final = 20.0
CLOSE_S: Final = 2.0
#: Missing beats until the connection counts as dead.
BEATS_MISSED_MAX: Final = 2
#: A watch that wakes later than this was suspended itself; that time was not the server's silence.
STOOD_STILL_S: Final = 1.0

TokenSource = Callable[[], "str | Awaitable[str]"]

log = logging.getLogger("liveroom.client")


def connect(
    url: str,
    room: str,
    token: str | TokenSource,
    *,
    compression: bool = True,
    ssl: ssl_module.SSLContext | None = None,
    join_timeout_s: float = 10.0,
    command_timeout_s: float = 60.0,
    give_up_s: float | None = None,
    backoff_max_s: float | None = None,
    proxy: bool | str = True,
) -> Room:
    """A room to be entered with `async with`. Raises `ValueError` (url) and `BadMessage` (room id).

    - `token`: a token, or a function (also async) that is called before each attempt to connect, to refresh the token.
    - `join_timeout_s`: the longest time to enter.
    - `give_up_s`: the longest time of attempts to reconnect; without it they never end.
    - `backoff_max_s`: the longest pause between attempts (default: 20).
    - `proxy`: the address of an HTTP or SOCKS proxy. `True` takes the environment's, except for a server on this machine; `False` takes none.
    """
    address = f"{url.rstrip('/')}/v1/rooms/{quote(decode_room_id(room))}"
    try:
        parse_uri(address)
    except (InvalidURI, ValueError):
        raise ValueError(f"url: expected ws:// or wss:// and a host, got {url!r}") from None
    return Room(address, token, compression, ssl, join_timeout_s, command_timeout_s, give_up_s, backoff_max_s, proxy)


class Room:
    """Made by `connect`. Iterate over it, one loop at a time, for the room's items.

    `state` and `entitlements` follow the last yielded item.
    """

    def __init__(
        self,
        address: str,
        token: str | TokenSource,
        compression: bool,
        ssl: ssl_module.SSLContext | None,
        join_timeout_s: float,
        command_timeout_s: float,
        give_up_s: float | None,
        backoff_max_s: float | None,
        proxy: bool | str = True,
    ) -> None:
        self._address = address
        self._token = token
        self._compression = compression
        self._ssl = ssl
        self._join_timeout_s = join_timeout_s
        self._command_timeout_s = command_timeout_s
        self._give_up_s = give_up_s
        self._backoff_max_s = backoff_max_s
        self._proxy = proxy_for(address, proxy)

        self._stream = Stream()
        self._backlog = Backlog(ITEMS_WAITING_MAX * ITEMS_WAITING_FACTOR)
        self._outbox = Outbox(self._update)
        self._first_state: Keyframe | None = None
        self._first_entitlements: Entitlements | None = None
        self._has_items = asyncio.Event()
        self._may_read = asyncio.Event()
        self._ready = asyncio.Event()
        self._goodbye = Goodbye(CLOSE_LOST, "no answer yet")
        self._joined_at_s: float | None = None  # on the present connection
        self._heard_at_s = 0.0  # on the present connection
        self._ended: Disconnected | None = None
        self._left = False
        self._task: asyncio.Task[None] | None = None

    # State

    @property
    def state(self) -> Keyframe:
        """The room's public state after the last item that was yielded."""
        state = self._backlog.state or self._first_state
        assert state is not None, "a room is entered with `async with` before its state is there"
        return state

    @property
    def entitlements(self) -> Entitlements:
        """Your entitlements after the last item that was yielded, by feature."""
        entitlements = self._backlog.entitlements or self._first_entitlements
        assert entitlements is not None, "a room is entered with `async with` before your entitlements are there"
        return entitlements

    @property
    def joined(self) -> Joined:
        """The last `joined` frame: who you are, and your limits."""
        assert self._stream.joined is not None, "a room is entered with `async with`"
        return self._stream.joined

    @property
    def muted_until_ms(self) -> int:
        """The end of your mute, Unix ms by the server's clock; 0 = not muted."""
        return self._stream.muted_until_ms

    @property
    def interruption(self) -> Interruption | None:
        """The present interruption, in which no events come and commands wait; `None` otherwise. It ends by itself."""
        return self._stream.interruption

    @property
    def omitted(self) -> Counter[str]:
        """Number of events that the server left out on purpose, by delivery class."""
        return Counter(self._stream.omitted)

    # Commands

    async def send_chat(self, text: str) -> Accepted:
        """Send one line of chat. `result["shown"]` is false if the room was too busy to show it to everyone."""
        return await self.send(SendChat(text))

    async def ask_question(self, text: str) -> Accepted:
        """Ask the anchor; `result["question"]` is the question's id."""
        return await self.send(AskQuestion(text))

    async def send_likes(self, count: int = 1) -> Accepted:
        """Tap `count` times, at most 50."""
        return await self.send(SendLikes(count))

    async def request_try_on(self, product: str) -> Accepted:
        """Request a try-on of a product."""
        return await self.send(RequestTryOn(product))

    async def send(self, command: Command, id: str | None = None) -> Accepted:
        """Send any command and wait for its one answer. After a lost connection it is sent again with the same id.

        Raises `CommandRefused`; `BadMessage` for an id of a wrong form; and `TooManyCommands`.
        Raises `CommandUnanswered` after `command_timeout_s`, or if the room is left after the command went out.
        Raises `Disconnected` if the room was left before this client sent the command.
        Another process may have sent a command with the same id; `Disconnected` says nothing about that.
        """
        if id is not None:
            decode_command_id(id)
        if (ended := self._why_closed()) is not None:
            if id is not None and self._outbox.may_have_sent(id):
                raise CommandUnanswered(id, code=ended.code, reason=ended.reason)
            raise ended
        bytes_max = self._stream.joined.command_bytes_max if self._stream.joined else None
        return await self._outbox.submit(id, command, bytes_max, self._command_timeout_s)

    def _why_closed(self) -> Disconnected | None:
        if self._ended is not None:
            return self._ended
        return Disconnected(1000, "the room is not entered") if self._task is None or self._left else None

    # Entering and leaving

    async def __aenter__(self) -> Room:
        if self._task is not None:
            raise RuntimeError("a room is entered once; call connect() again")
        self._task = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(self._join_timeout_s):
                await self._ready.wait()
        except TimeoutError:
            await self.close()
            raise Disconnected(self._goodbye.code, f"could not enter within {self._join_timeout_s:g} s: {self._goodbye.reason}") from None
        except BaseException:
            await self.close()
            raise
        if self._first_entitlements is None and self._ended is not None:
            await self.close()
            raise self._ended
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave the room and end iteration. Waiting commands raise `CommandUnanswered`, or `Disconnected` if this client did not send them."""
        self._left = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._outbox.abandon(1000, "the room was left")
        self._has_items.set()

    def __aiter__(self) -> Room:
        return self

    async def __anext__(self) -> Item:
        while True:
            item = self._backlog.take()
            self._update()
            if item is not None:
                return item
            if self._ended is not None and not self._left:
                raise self._ended
            if self._left:
                raise StopAsyncIteration
            self._has_items.clear()
            await self._has_items.wait()

    def _update(self) -> None:
        """True while there is space for items, and always while a caller waits for an answer."""
        if len(self._backlog) < ITEMS_WAITING_MAX or len(self._outbox):
            if not self._may_read.is_set():
                self._heard_at_s = asyncio.get_running_loop().time()  # this client paused, not the server
            self._may_read.set()
        else:
            self._may_read.clear()

    # The connection

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        reconnect = Reconnect(token_refreshes=callable(self._token))
        lost_at_s = loop.time()
        try:
            while True:
                self._joined_at_s = None
                goodbye = self._goodbye = await self._one_connection()
                self._outbox.lost(goodbye.code, goodbye.reason)
                log.info("connection to %s ended with %d: %s", self._address, goodbye.code, goodbye.reason)
                held_s = 0.0
                if self._joined_at_s is not None:
                    lost_at_s = loop.time()
                    held_s = lost_at_s - self._joined_at_s
                if not reconnect.after(goodbye.code, held_s):
                    raise Disconnected(goodbye.code, goodbye.reason)
                if self._give_up_s is not None and loop.time() - lost_at_s > self._give_up_s:
                    raise Disconnected(goodbye.code, f"gave up after {self._give_up_s:g} s: {goodbye.reason}")
                delay_s = reconnect.delay_s(goodbye.delay_ms, random.random(), self._backoff_max_s)
                if self._first_entitlements is not None:
                    self._put(Reconnecting(goodbye.code, goodbye.reason, int(delay_s * 1000), reconnect.attempt, reconnect.unauthorized))
                await asyncio.sleep(delay_s)
        except Disconnected as error:
            self._end(error)
        except Exception as error:
            log.exception("the client failed")
            self._end(Disconnected(CLOSE_LOST, f"the client failed: {error!r}"))

    def _end(self, error: Disconnected) -> None:
        self._ended = error
        self._outbox.abandon(error.code, error.reason)
        self._ready.set()
        self._has_items.set()

    async def _one_connection(self) -> Goodbye:
        """Connect, join, and read until the connection ends."""
        try:
            async with asyncio.timeout(self._join_timeout_s):
                token = await self._fresh_token()
        except Exception as error:
            return Goodbye(CLOSE_NO_TOKEN, f"the token function failed: {error!r}")
        try:
            socket = await open_socket(
                self._resume_address(),
                additional_headers={"Authorization": f"Bearer {token}"},
                compression="deflate" if self._compression else None,
                ssl=self._ssl,
                open_timeout=self._join_timeout_s,
                ping_interval=None,  # `_keep_alive` pings instead, because it knows when reading is paused
                close_timeout=CLOSE_S,
                max_size=FRAME_BYTES_MAX,
                proxy=self._proxy,
            )
            try:
                return await self._converse(socket)
            finally:
                await socket.close()
        except ConnectionClosed as closed:
            return _goodbye_of(closed)
        except InvalidStatus as refused:
            wait_ms = retry_after_ms(refused.response.headers.get("Retry-After"), random.random())
            return Goodbye(refused.response.status_code, _text_of(refused), wait_ms)
        except Gap as gap:
            return Goodbye(CLOSE_GAP, str(gap))
        except (OSError, TimeoutError, WebSocketException, BadMessage) as error:
            return Goodbye(CLOSE_LOST, str(error))

    async def _fresh_token(self) -> str:
        token = self._token if isinstance(self._token, str) else self._token()
        return checked_token(await token if inspect.isawaitable(token) else token)

    def _resume_address(self) -> str:
        if self._stream.cursor is None:
            return self._address
        return f"{self._address}?{urlencode({'stream_id': self._stream.stream_id, 'seq': self._stream.cursor})}"

    async def _converse(self, socket: ClientConnection) -> Goodbye:
        named_ms: list[int] = []  # delays before the next connection, the last one counts
        try:
            async with asyncio.timeout(self._join_timeout_s):
                while isinstance(joined := decode_frame(await socket.recv()), Banned):
                    self._on_banned(joined, named_ms)
            if not isinstance(joined, Joined):
                raise BadMessage("malformed", "the server did not begin with `joined`")
            self._joined_at_s = self._heard_at_s = asyncio.get_running_loop().time()
            self._put(*self._stream.receive(joined))
            self._outbox.restart()
            await _first_of(
                self._read(socket, named_ms), self._send_commands(socket, joined), self._keep_alive(socket, joined), self._watch_silence(joined)
            )
        except ConnectionClosed as closed:
            return _goodbye_of(closed, named_ms[-1] if named_ms else None)
        return Goodbye(CLOSE_LOST, "no data came from the server")

    async def _read(self, socket: ClientConnection, named_ms: list[int]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            frame = decode_frame(await socket.recv())
            self._heard_at_s = loop.time()
            if isinstance(frame, Accepted | Refused):
                self._outbox.on_reply(frame)
            elif isinstance(frame, GoingAway):
                named_ms.append(frame.reconnect_after_ms)
            elif isinstance(frame, Banned):
                self._on_banned(frame, named_ms)
            elif frame is not None:
                self._put(*self._stream.receive(frame))
                if self._first_state is None and isinstance(frame, Keyframe):
                    self._first_state = frame
                elif self._first_entitlements is None and isinstance(frame, Entitlements):
                    self._first_entitlements = frame
                    self._ready.set()
            if not self._may_read.is_set():
                await self._may_read.wait()

    def _on_banned(self, frame: Banned, named_ms: list[int]) -> None:
        self._put(frame)
        named_ms.append(ban_delay_ms(frame.until_ms, frame.time_ms, random.random()))

    def _put(self, *items: Any) -> None:
        if items:
            self._backlog.add(items)
            self._has_items.set()
            self._update()

    async def _send_commands(self, socket: ClientConnection, joined: Joined) -> None:
        while True:
            await socket.send(await self._outbox.next_text(joined.commands_per_s))

    async def _keep_alive(self, socket: ClientConnection, joined: Joined) -> None:
        """Ping, so that the gateway sees a live client; returns when the server is gone. While reading is paused, no pong can arrive."""
        interval_s = min(PING_S, joined.idle_ms / 3_000)
        while True:
            await asyncio.sleep(interval_s)
            try:
                async with asyncio.timeout(PONG_S):
                    pong = await socket.ping()
                    if self._may_read.is_set():
                        await asyncio.shield(pong)
            except TimeoutError:
                if self._may_read.is_set():
                    return

    async def _watch_silence(self, joined: Joined) -> None:
        """Return when beats are missing, which shows a dead link. While reading is paused, no beat can arrive."""
        if not joined.beat_ms:
            await asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        silence_s = joined.beat_ms * BEATS_MISSED_MAX / 1000
        while True:
            due_s = (self._heard_at_s if self._may_read.is_set() else loop.time()) + silence_s
            await asyncio.sleep(due_s - loop.time())
            late_s = loop.time() - due_s
            if late_s > STOOD_STILL_S:
                self._heard_at_s += late_s
            elif self._may_read.is_set() and loop.time() - self._heard_at_s >= silence_s:
                return


async def _first_of(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run until the first of them ends or fails, then stop the others."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _goodbye_of(closed: ConnectionClosed, delay_ms: int | None = None) -> Goodbye:
    code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (CLOSE_LOST, "the connection was lost")
    return Goodbye(code, reason, delay_ms)


def _text_of(refused: InvalidStatus) -> str:
    body = (refused.response.body or b"").decode(errors="replace").strip()
    return f"the server refused the handshake with {refused.response.status_code}" + (f": {body[:200]}" if body else "")
