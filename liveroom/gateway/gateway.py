"""The gateway of one process: it listens, admits viewers, and spreads their reconnects when it shuts down."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
import random
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence

from liveroom.auth.addresses import AddressHasher, TrustedProxies, counted_address
from liveroom.auth.tokens import TokenChecker
from liveroom.config.files import check_file
from liveroom.config.schema import GatewayConfig
from liveroom.gateway.admission_controller import AdmissionController
from liveroom.gateway.arrivals import Arrivals
from liveroom.gateway.audience import AudienceReporter
from liveroom.gateway.command_handler import CommandHandler
from liveroom.gateway.connection import Connection, Stage
from liveroom.gateway.deadlines import Deadlines
from liveroom.gateway.handshake import HandshakeHandler, HandshakeRefusal
from liveroom.gateway.hub import Hub
from liveroom.gateway.likes import LikesReporter
from liveroom.gateway.limits import KeyedCounter
from liveroom.gateway.outage_monitor import OutageMonitor
from liveroom.gateway.pending import Pending
from liveroom.gateway.room_follower import RoomFollower
from liveroom.gateway.room_loader import RoomLoader
from liveroom.gateway.ticks import TickGrid
from liveroom.gateway.wire import text_frame
from liveroom.journal.base import Journal
from liveroom.journal.command_sender import CommandSender, ReplyCallback
from liveroom.messages.errors import CLOSE_CODES, BadConfig
from liveroom.process.clock import SYSTEM_CLOCK, Clock
from liveroom.process.listening import HEAD_BYTES_MAX, listen, serve_each
from liveroom.process.turns import Turns
from liveroom.protocol.codec import encode
from liveroom.protocol.commands import Command
from liveroom.protocol.frames import GoingAway
from liveroom.protocol.records import Request, Sender
from liveroom.telemetry.metrics import Metrics
from liveroom.telemetry.seldom import Seldom

__all__ = ["Gateway", "tls_context"]

log = logging.getLogger(__name__)

#: Time for the client's close frame. Then the connection is dropped.
CLOSING_S = 2.0
#: Time for writing an HTTP refusal. Without it, a TLS client that never closes its side would keep its descriptor.
REFUSED_S = 0.1
#: Peer addresses whose key for the limits is cached, because proxies connect again for each of their clients.
PEERS_REMEMBERED = 1_024
#: Bytes that the unfinished heads of all handshakes may hold together. Nearly every head arrives whole, so nothing is held for it.
HEADS_BYTES_MAX = 16 * 1024 * 1024
#: Interval between checks of the deadlines.
TIDY_S = 0.1
#: Checks for idle connections within `idle_ms`. The interval is at least `IDLE_CHECK_S_MIN`.
IDLE_CHECKS = 10
IDLE_CHECK_S_MIN = 0.05
#: Checks within `beat_ms`, for viewers whose room has no news.
BEAT_CHECKS = 4
#: Length of the steps in which a shutdown closes connections.
DRAIN_STEP_S = 0.02
#: Time for the engine's answers to the last reports.
LAST_REPORTS_S = 2.0
#: Pause before a failed background task starts again.
RESTART_S = 0.5

#: The sender of a gateway's own commands.
GATEWAY_SENDER = Sender(user="gateway", name="gateway", backend=True)

MALFORMED = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Gateway:
    """Holds viewers' connections: `start` binds and follows the journal, `drain` closes all and stops. Raises `BadConfig` for bad settings."""

    def __init__(
        self,
        journal: Journal,
        config: GatewayConfig,
        checker: TokenChecker,
        *,
        name: str,
        metrics: Metrics,
        address_key: bytes,
        console_origins: Sequence[str] = (),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._journal = journal
        self._config = config
        self._metrics = metrics
        self._isolated = metrics.isolated
        self._clock = clock
        self.time = clock.monotonic_s
        metrics.gateway_connections_max.set(config.connections_max)
        # Answers in the journal name the source of their command. Each start has its own source, so old answers never match new commands.
        self._nonce = secrets.token_hex(6)
        self._command_number = 0
        self._command_sender = _command_sender(journal, f"{name}/{self._nonce}", config, metrics, clock)
        self._audience = AudienceReporter(name, self._request, metrics, report_ms=config.audience_report_ms, repeat_ms=config.audience_repeat_ms)
        self._likes = LikesReporter(self._request, metrics)
        self._claims = AdmissionController(self._command_sender, metrics, self.time, count=config.broadcast_batch_size)
        self._loader = RoomLoader(
            clock,
            self._isolated,
            partitions=journal.partitions,
            room_wait_ms=config.room_wait_ms,
            follow=lambda partition: self._follower.want(partition),
            request=self._request,
        )
        self._hub = Hub(
            journal,
            config,
            metrics,
            self._audience,
            self._loader,
            TickGrid(name, config, lambda: len(self._connections)),
            clock,
            drain_queue=self._claims.drain,
        )
        self._outage_monitor = OutageMonitor(journal, self._command_sender, self._hub, config, metrics, clock, probe=self._loader.probe)
        self._follower = RoomFollower(journal, config, self._hub, self._command_sender, metrics, clock, on_followed=self._loader.on_followed)
        address_hasher = AddressHasher(address_key, config.trusted_proxies)
        self._command_handler = CommandHandler(config, metrics, self._hub, self._command_sender, self._likes, self._claims, address_hasher, self.time)
        self._handshake_handler = HandshakeHandler(config, checker, console_origins)
        self._tls = tls_context(config)
        self._connections: dict[Connection, None] = {}  # upgraded
        self._closes = functools.cache(lambda code: metrics.gateway_closes.labels(str(code)))  # the gateway chooses all codes, so they are few
        self._addresses = KeyedCounter()
        self._proxies = TrustedProxies(config.trusted_proxies)
        self._peer_key = functools.lru_cache(PEERS_REMEMBERED)(self._address_of_peer)
        self._pending = _pending_handshakes(config)
        metrics.gateway_handshakes_waiting.set_function(lambda: len(self._pending))
        metrics.gateway_connections.set_function(lambda: len(self._connections))
        self._crowded_log = Seldom(log, "too many handshakes are waiting; the oldest are dropped")
        self._refused: Deadlines[Connection] = Deadlines(REFUSED_S)
        self._closing: Deadlines[Connection] = Deadlines(CLOSING_S)
        self._tasks: list[asyncio.Task[None]] = []
        self._listening: list[asyncio.Server | Arrivals] = []
        self._draining = False
        self._all_closed = asyncio.Event()  # set when the last connection is gone; only `_stop` waits for it
        self._beat_s = config.beat_ms / 1000 or math.inf
        self.command_bytes_max = config.command_bytes_max
        self.replies_waiting_max = config.commands_waiting_max

    # Start and stop

    async def start(self) -> None:
        """Listen and follow the journal. Raises `BadConfig` if the address cannot be bound."""
        loop = asyncio.get_running_loop()
        listeners = await _listen(self._config)
        self.port: int = listeners[0].getsockname()[1]
        background: list[Callable[[], Awaitable[None]]] = [
            self._hub.tick,
            self._tidy,
            self._watch_idle,
            self._report_likes,
            self._report_audience,
            self._claims.drain_rest,
            self._outage_monitor.watch,
        ]
        self._follower.start()
        self._tasks = [loop.create_task(_forever(work, self._clock)) for work in background]
        await self._begin_to_accept(listeners)
        log.info("gateway listens", extra={"host": self._config.host, "port": self.port, "tls": self._tls is not None})

    async def _begin_to_accept(self, listeners: list[socket.socket]) -> None:
        config = self._config
        if self._tls is None and not config.proxy_protocol:
            self._listening += await serve_each(listeners, lambda: Connection(self))
            return
        for listener in listeners:
            arrivals = Arrivals(
                listener,
                self,
                lambda: Connection(self),
                tls=self._tls,
                says_client=lambda peer: config.proxy_protocol and self._proxies.includes(peer),
                handshake_s=config.handshake_ms / 1000,
                closing_s=CLOSING_S,
            )
            arrivals.start()
            self._listening.append(arrivals)

    def reload_certificate(self) -> None:
        """Load the TLS files again for new connections. Raises `BadConfig` for bad files, and keeps the old certificate then."""
        if (tls := tls_context(self._config)) is not None:
            for listening in self._listening:
                if isinstance(listening, Arrivals):
                    listening.use(tls)

    @property
    def ready(self) -> bool:
        """Whether a load balancer should send viewers to this gateway."""
        return bool(self._listening) and not self._draining and self._follower.caught_up

    async def drain(self) -> None:
        """Accept no more connections, close the open ones over `drain_ms`, each with a random reconnect delay, and stop."""
        if self._draining:
            return
        self._draining = True
        for listening in self._listening:
            listening.close()
        viewers = list(self._connections)
        random.shuffle(viewers)
        steps = max(1, int(self._config.drain_ms / 1000 / DRAIN_STEP_S))
        for step in range(steps):
            self._isolated.each("gateway_viewer", viewers[len(viewers) * step // steps : len(viewers) * (step + 1) // steps], self._close_for_drain)
            if not self._connections:
                break
            await self._clock.sleep(DRAIN_STEP_S)
        self._isolated.each("gateway_viewer", list(self._connections), self._close_for_drain)  # connections whose handshake ended meanwhile
        await self._stop()

    def renew(self, keys: Collection[str]) -> None:
        """Let the tokens of removed keys expire, each at a random moment within `reconnect_spread_ms`, so that their viewers fetch fresh tokens."""
        now_s, spread_s = self._clock.unix_s(), self._config.reconnect_spread_ms / 1000
        for connection in self._connections:
            if connection.key in keys:
                connection.expires_s = min(connection.expires_s, now_s + random.random() * spread_s)

    def _close_for_drain(self, connection: Connection) -> None:
        delay_ms = random.randint(0, self._config.reconnect_spread_ms)
        connection.close(1012, "this gateway is shutting down", last=text_frame(encode(GoingAway(delay_ms))))

    async def _stop(self) -> None:
        self._all_closed.clear()
        if self._connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_closed.wait(), CLOSING_S)
        self._isolated.each("gateway_viewer", [*self._connections, *self._pending], Connection.abort)
        for listening in self._listening:
            if isinstance(listening, Arrivals):
                await listening.ended()
        self._likes.flush()
        self._audience.flush(self.time(), last=True)
        if not await self._command_sender.drain(LAST_REPORTS_S):  # the last report counts zero viewers, so it must reach the journal
            log.warning("the last reports got no answer in time; this gateway's viewers count until the reports expire")
        await self._follower.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._command_sender.close()
        log.info("gateway stopped")

    # Callbacks of connections

    def on_connect(self, connection: Connection) -> None:
        """Take a new connection. It has `handshake_ms` for its TLS handshake and its request."""
        if self._draining:
            self._metrics.gateway_handshakes_refused.labels("draining").inc()
            connection.drop()
        elif crowded := self._pending.add(connection, self._peer_key(connection.address), self.time()):
            self._drop(*crowded)

    def _address_of_peer(self, peer: str) -> str:
        """The address that a handshake counts for; empty while only the address of a trusted proxy is known."""
        return "" if self._proxies.includes(peer) else counted_address(peer)

    def _drop(self, connection: Connection, why: str) -> None:
        """Drop a handshake in favor of a newer one."""
        self._crowded_log.warn(self.time(), reason=why, waiting=len(self._pending))
        if connection.stage is Stage.handshake:
            self._metrics.gateway_handshakes_refused.labels(why).inc()
        connection.drop()

    def _drop_late(self, connection: Connection) -> None:
        """Drop a handshake that took too long."""
        if connection.stage is Stage.handshake:
            self._metrics.gateway_handshakes_refused.labels("late").inc()
        connection.drop()

    def on_client_address(self, connection: Connection, address: str) -> None:
        """Take the client's address from a proxy: the limits count that address from now on."""
        connection.address = address
        if connection.stage is Stage.handshake and (crowded := self._pending.move(connection, self._peer_key(address))):
            self._drop(*crowded)

    def on_handshake_failed(self, connection: Connection, why: str) -> None:
        """Count a handshake that ended before HTTP began."""
        if self._pending.discard(connection):
            self._metrics.gateway_handshakes_refused.labels(why).inc()
            connection.stage = Stage.closed

    def on_handshake_data(self, connection: Connection, data: bytes) -> None:
        """Take bytes of a handshake: collect them up to the end of the head, then answer it."""
        head: bytes | bytearray = data
        searched = 0
        if connection.head is not None:
            searched = max(0, len(connection.head) - 3)
            head = connection.head
            head += data
        end = head.find(b"\r\n\r\n", searched) + 4
        if end < 4:
            self._hold(connection, data)
            return
        if end > HEAD_BYTES_MAX:
            self._refuse(connection, HandshakeRefusal("malformed", MALFORMED))
            return
        rest = bytes(head[end:])
        answer = self._handshake_handler.receive(bytes(head[:end]), connection.address, self._full)
        if isinstance(answer, HandshakeRefusal):
            self._refuse(connection, answer)
            return
        self._pending.discard(connection)
        connection.address = answer.address
        connection.deflate = answer.deflate
        self._addresses.add(counted_address(answer.address))
        self._connections[connection] = None
        connection.open()
        if answer.identity is None:
            connection.respond(answer.response)
            self._metrics.gateway_handshakes_refused.labels(CLOSE_CODES[answer.close_code][0]).inc()
            connection.close(answer.close_code, answer.close_reason)
            return
        who = answer.identity
        connection.sender = Sender(who.user, who.name, who.role, who.buyer)
        connection.expires_s, connection.key = who.expires_s, who.key
        self._hub.enter(connection, answer.room, answer.resume, answer.response)
        if rest:
            connection.data_received(rest)

    def _hold(self, connection: Connection, data: bytes) -> None:
        """Keep an incomplete head."""
        if connection.head is None:
            connection.head = bytearray(data)
        if len(connection.head) > HEAD_BYTES_MAX:
            self._refuse(connection, HandshakeRefusal("malformed", MALFORMED))
            return
        for oldest in self._pending.hold(connection, len(data)):
            self._drop(oldest, "heads_bytes")

    def on_message(self, connection: Connection, payload: bytes) -> None:
        """Pass a text message to the command handler."""
        self._command_handler.on_message(connection, payload)

    def on_closing(self, connection: Connection, code: int) -> None:
        """Take the connection out of its room, and start the deadline for its close."""
        if connection in self._connections:
            self._closes(code).inc()
            self._closing.add(connection, self.time())
            if connection.room_id:
                self._hub.leave(connection)
        elif self._pending.discard(connection):
            self._metrics.gateway_handshakes_refused.labels("gone").inc()

    def on_disconnect(self, connection: Connection) -> None:
        """Take the connection out of the counts."""
        if self._connections.pop(connection, connection) is None:
            self._addresses.remove(counted_address(connection.address))
            if not self._connections:
                self._all_closed.set()
        else:
            self._pending.discard(connection)

    def _refuse(self, connection: Connection, refusal: HandshakeRefusal) -> None:
        """Refuse a handshake. Its descriptor counts among the handshakes until the connection is gone."""
        connection.head = None
        self._refused.add(connection, self.time())
        self._metrics.gateway_handshakes_refused.labels(refusal.reason).inc()
        connection.refuse(refusal.response)

    def _full(self, address: str) -> tuple[int, str] | None:
        if self._draining:
            return 503, "This gateway is shutting down.\n"
        if len(self._connections) >= self._config.connections_max:
            return 503, "This gateway has reached its limit of connections.\n"
        if self._addresses[counted_address(address)] >= self._config.connections_per_address_max:
            return 429, "This address has reached its limit of connections.\n"
        return None

    # Commands of the gateway itself

    def _request(self, room: str, command: Command, on_reply: ReplyCallback) -> None:
        self._command_number += 1
        self._command_sender.submit(Request(f"{self._nonce}-{self._command_number}", room, GATEWAY_SENDER, command), on_reply)

    # Background

    async def _tidy(self) -> None:
        """Enforce the deadlines of handshakes, closes and waits."""
        while True:
            await self._clock.sleep(TIDY_S)
            now = self.time()
            self._isolated.each("gateway_viewer", list(self._pending.due(now)), self._drop_late)
            unanswered = [c for c in (*self._refused.due(now), *self._closing.due(now)) if c.stage is Stage.closing]
            self._isolated.each("gateway_viewer", unanswered, Connection.abort)
            self._hub.tidy()
            self._follower.tidy(self._hub.partitions(), now)
            self._claims.tidy()

    async def _watch_idle(self) -> None:
        """Ping silent connections, close those that stay silent or whose token expired, and send beats. Handles `broadcast_batch_size` at a time."""
        config = self._config
        idle_s = config.idle_ms / 1000
        pause_s = max(IDLE_CHECK_S_MIN, min(1.0, idle_s / IDLE_CHECKS, self._beat_s / BEAT_CHECKS))
        now, turns = self.time(), Turns(self.time)
        while True:
            await self._clock.sleep(pause_s)
            last, now, now_s = now, self.time(), self._clock.unix_s()
            held_up_s = now - last - pause_s
            behind = 0
            connections = list(self._connections)
            if held_up_s > pause_s:  # the viewers were not silent while this process stood still
                for connection in connections:
                    connection.heard = min(now, connection.heard + held_up_s)
            for at in range(0, len(connections), config.broadcast_batch_size):
                some = connections[at : at + config.broadcast_batch_size]
                behind += sum(connection.blocked for connection in some)
                self._isolated.each("gateway_viewer", some, lambda connection: self._check_connection(connection, now, now_s))  # noqa: B023
                await turns.pause()
            self._metrics.gateway_viewers_behind.set(behind)

    def _check_connection(self, connection: Connection, now: float, now_s: float) -> None:
        silent_s, idle_s = now - connection.heard, self._config.idle_ms / 1000
        if silent_s >= idle_s:
            connection.close(4001, "the client sent nothing for too long")
        elif silent_s >= idle_s / 2 and not connection.pinged:
            connection.ping()
        if connection.expires_s and connection.expires_s <= now_s:
            connection.close(4000, "the token is no longer valid")
        subscription = connection.subscription
        if subscription is not None and not connection.blocked and subscription.beat_is_due(now, self._beat_s):
            self._hub.send_beat(connection)

    async def _report_likes(self) -> None:
        while True:
            await self._clock.sleep(self._config.likes_report_ms / 1000)
            self._likes.flush()

    async def _report_audience(self) -> None:
        while True:
            await self._clock.sleep(self._config.audience_report_ms / 1000)
            self._audience.flush(self.time())


def _command_sender(journal: Journal, source: str, config: GatewayConfig, metrics: Metrics, clock: Clock) -> CommandSender:
    limits = {"batch_commands_max": config.batch_commands_max, "batch_wait_ms": config.batch_wait_ms, "reply_wait_ms": config.reply_wait_ms}
    return CommandSender(journal, source, metrics, clock=clock, **limits)


def _pending_handshakes(config: GatewayConfig) -> Pending[Connection]:
    return Pending(
        count_max=config.handshakes_waiting_max,
        per_address_max=config.handshakes_per_address_max,
        head_bytes_max=HEADS_BYTES_MAX,
        after_s=config.handshake_ms / 1000,
    )


async def _forever(work: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Run background work again after each unexpected error."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("background work failed; it starts again")
        await clock.sleep(RESTART_S)


async def _listen(config: GatewayConfig) -> list[socket.socket]:
    """The listening sockets, with the options that their connections inherit."""
    listeners = await listen(config.host, config.port, section="gateway", share_port=config.share_port)
    for listener in listeners:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if config.socket_send_bytes:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, config.socket_send_bytes)
    return listeners


def tls_context(config: GatewayConfig) -> ssl.SSLContext | None:
    """The gateway's TLS context; `None` without a certificate in the settings. Raises `BadConfig` if the files cannot be used."""
    if not config.tls_cert_file:
        return None
    for name, file in (("tls_cert_file", config.tls_cert_file), ("tls_key_file", config.tls_key_file)):
        if file:
            check_file(f"gateway.{name}", file)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.tls_cert_file, config.tls_key_file)
    except (OSError, ssl.SSLError) as error:
        raise BadConfig(f"gateway.tls_cert_file, gateway.tls_key_file: {error}") from None
    return context
