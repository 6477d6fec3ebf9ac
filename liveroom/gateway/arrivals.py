"""Accepts connections itself when something comes before HTTP: a header of the PROXY protocol, a TLS handshake.

Each counts from its accept on, and not from the end of its TLS handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, Protocol

from liveroom.gateway.connection import Connection, peer_address
from liveroom.gateway.proxy_protocol import BadProxyHeader, bytes_wanted, client_of
from liveroom.process.listening import ACCEPTS_MAX
from liveroom.telemetry.seldom import Seldom

__all__ = ["Arrivals"]

log = logging.getLogger(__name__)

#: Pause after an accept that failed, as with no descriptor left.
PAUSE_S: Final = 0.1
#: The gateway's own deadline for handshakes is the one that counts; the loop's is for a gateway that is late itself.
SLACK: Final = 2


class Doorstep(asyncio.Transport):
    """Stands for the transport of a connection that has none yet."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._socket = sock

    def abort(self) -> None:
        """End both directions. Everything that waits for this socket reads an end, and closes it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


class Host(Protocol):
    """Whom arrivals tell of connections that are no viewers yet."""

    def on_client_address(self, connection: Connection, address: str) -> None:
        """A proxy said whose connection it forwards."""

    def on_handshake_failed(self, connection: Connection, why: str) -> None:
        """It ended before HTTP began."""


class Arrivals:
    """Takes connections from a listening socket through what comes before HTTP. `says_client`: whether a peer begins with a PROXY header."""

    def __init__(
        self,
        listener: socket.socket,
        host: Host,
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
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._trouble = Seldom(log, "a connection could not be accepted; others wait until this ends")
        self._bad_header = Seldom(log, "a trusted proxy's connection begins with no header of the PROXY protocol and is closed")

    def use(self, tls: ssl.SSLContext) -> None:
        """Take this certificate for TLS handshakes from now on."""
        self._tls = {"ssl": tls, **self._limits}

    def start(self) -> None:
        """Begin to accept."""
        if not self._closed:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more. What was accepted goes on."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()

    async def ended(self) -> None:
        """Wait until all that was accepted is either a connection or gone; every connection that has not said anything must have been aborted."""
        for accepted in list(self._silent):  # their connections have ended, but the loop may not know yet
            self._hear(accepted)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_MAX):
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
        connection.arrive(Doorstep(accepted), address)
        if connection.ended:
            accepted.close()
            return
        self._silent[accepted] = connection
        self._loop.add_reader(accepted.fileno(), self._hear, accepted)

    def _hear(self, accepted: socket.socket) -> None:
        """The client's first bytes are there, or its end. Silent connections cost neither a task nor a TLS session."""
        connection = self._silent.pop(accepted)
        self._loop.remove_reader(accepted.fileno())
        task = self._loop.create_task(self._let_in(connection, accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _let_in(self, connection: Connection, accepted: socket.socket) -> None:
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
        except (OSError, ssl.SSLError):  # what the client did, or its deadline
            pass
        self._host.on_handshake_failed(connection, why)
        accepted.close()

    async def _client(self, accepted: socket.socket) -> str:
        """The client's address by the header that comes first; not a byte of what follows is read. Raises `BadProxyHeader`, `OSError`."""
        header = b""
        while wanted := bytes_wanted(header):
            part = await self._loop.sock_recv(accepted, wanted)
            if not part:
                raise ConnectionResetError
            header += part
        return client_of(header)


def _has_left(accepted: socket.socket) -> bool:
    """Whether the client closed before it said anything. Raises `OSError` when it reset the connection."""
    try:
        return not accepted.recv(1, socket.MSG_PEEK)
    except BlockingIOError:  # a PROXY header was all that has come so far
        return False
