"""Accepts connections when something comes before HTTP: a PROXY header or a TLS handshake.

A connection counts as a handshake from its accept on, not from the end of its TLS handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from liveroom.gateway.connection import Connection, peer_address
from liveroom.gateway.proxy_protocol import BadProxyHeader, bytes_wanted, client_of
from liveroom.process.listening import ACCEPTS_MAX
from liveroom.telemetry.seldom import Seldom

__all__ = ["Arrivals"]

log = logging.getLogger(__name__)

#: Pause after a failed accept, for example without a free descriptor.
PAUSE_S: Final = 0.1
#: The gateway enforces the deadline of handshakes. The event loop's own deadline is this many times longer, in case the gateway is late.
SLACK: Final = 2
#: TLS handshakes and PROXY headers that begin in one turn of the event loop. A TLS handshake takes about 1 ms, and viewers wait until the turn ends.
BEGINS_MAX: Final = 4


class PlaceholderTransport(asyncio.Transport):
    """Takes the place of the transport until a connection has one."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._socket = sock

    def abort(self) -> None:
        """Shut down both directions. Every reader of this socket then sees its end, and closes it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


class HandshakeHost(Protocol):
    """Receives events of connections that have not become viewers yet."""

    def on_client_address(self, connection: Connection, address: str) -> None:
        """A proxy named the client's address."""

    def on_handshake_failed(self, connection: Connection, why: str) -> None:
        """The connection ended before HTTP began, for the reason `why`."""


class Arrivals:
    """Accepts connections of one listening socket. `says_client` tells whether a peer's connection begins with a PROXY header."""

    def __init__(
        self,
        listener: socket.socket,
        host: HandshakeHost,
        make: Callable[[], Connection],
        *,
        tls: ssl.SSLContext | None,
        says_client: Callable[[str], bool],
        handshake_s: float,
        closing_s: float,
    ) -> None:
        self._listener = listener
        self._host = host
        self._make = make
        self._says_client = says_client
        self._limits = {"ssl_handshake_timeout": handshake_s * SLACK, "ssl_shutdown_timeout": closing_s}
        self._tls: dict[str, Any] = {}
        if tls is not None:
            self.use(tls)
        self._loop = asyncio.get_running_loop()
        self._silent: dict[socket.socket, Connection] = {}
        self._ready: deque[tuple[Connection, socket.socket]] = deque()  # their first bytes, or their end, have come
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._trouble = Seldom(log, "a connection could not be accepted; new connections wait until accepting works again")
        self._bad_header = Seldom(log, "a trusted proxy's connection does not begin with a valid PROXY header and is closed")

    def use(self, tls: ssl.SSLContext) -> None:
        """Use this TLS context for all later handshakes."""
        self._tls = {"ssl": tls, **self._limits}

    def start(self) -> None:
        """Start to accept connections."""
        if not self._closed:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """Stop accepting. Accepted connections continue."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()

    async def ended(self) -> None:
        """Wait until every accepted socket is a connection or closed. The caller must have aborted all silent connections before."""
        for accepted in list(self._silent):  # their connections have ended, but the event loop may not have noticed
            self._on_first_bytes(accepted)
        while self._ready:
            self._begin()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        # While some are ready, a turn accepts no more than it begins, because each of them waits with an open file.
        for _ in range(BEGINS_MAX if self._ready else ACCEPTS_MAX):
            try:
                accepted, peer = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._trouble.warn(self._loop.time(), error=error.strerror)
                self._loop.remove_reader(self._listener.fileno())
                self._loop.call_later(PAUSE_S, self.start)
                return
            self._take(accepted, peer_address(peer))

    def _take(self, accepted: socket.socket, address: str) -> None:
        accepted.setblocking(False)
        connection = self._make()
        connection.arrive(PlaceholderTransport(accepted), address)
        if connection.ended:
            accepted.close()
            return
        self._silent[accepted] = connection
        self._loop.add_reader(accepted.fileno(), self._on_first_bytes, accepted)

    def _on_first_bytes(self, accepted: socket.socket) -> None:
        """Handle a socket with its first bytes or its end. Until then a connection costs neither a task nor a TLS session."""
        self._loop.remove_reader(accepted.fileno())
        self._ready.append((self._silent.pop(accepted), accepted))
        if len(self._ready) == 1:
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        """Let the first ready connections in, and leave the others to the loop's next turns. Ended ones cost nothing, so they do not count."""
        begun = 0
        while self._ready and begun < BEGINS_MAX:
            connection, accepted = self._ready.popleft()
            begun += not connection.ended
            task = self._loop.create_task(self._connect(connection, accepted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._ready:
            self._loop.call_soon(self._begin)

    async def _connect(self, connection: Connection, accepted: socket.socket) -> None:
        why = "tls"
        try:
            if self._says_client(proxy := connection.address):
                why = "proxy_header"
                if client := await self._client(accepted):
                    self._host.on_client_address(connection, client)
                why = "tls" if self._tls else "gone"
            if _has_left(accepted):
                why = "gone"
            elif not connection.ended:
                await self._loop.connect_accepted_socket(lambda: connection, accepted, **self._tls)
                return
        except BadProxyHeader as error:
            self._bad_header.warn(self._loop.time(), proxy=proxy, error=str(error))
        except (OSError, ssl.SSLError):  # the client failed, or its deadline passed
            pass
        self._host.on_handshake_failed(connection, why)
        accepted.close()

    async def _client(self, accepted: socket.socket) -> str:
        """The client's address from the PROXY header. Reads no byte beyond the header. Raises `BadProxyHeader` or `OSError`."""
        header = b""
        while wanted := bytes_wanted(header):
            part = await self._loop.sock_recv(accepted, wanted)
            if not part:
                raise ConnectionResetError
            header += part
        return client_of(header)


def _has_left(accepted: socket.socket) -> bool:
    """Whether the client closed without sending a byte. Raises `OSError` if it reset the connection."""
    try:
        return not accepted.recv(1, socket.MSG_PEEK)
    except BlockingIOError:  # only the PROXY header has come so far
        return False
