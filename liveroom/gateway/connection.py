"""One viewer's connection: reads and writes bytes, and holds as little memory as possible."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol, cast

from liveroom.gateway.borrowed_socket import BorrowedSocket
from liveroom.gateway.inbound import FLOODING, FRAME_TOO_LARGE, PROTOCOL_ERROR, Inbound, take_text
from liveroom.gateway.limits import FLOOD_WINDOW_S, ODD_FRAME_S, CommandLimits
from liveroom.gateway.wire import PING, close_frame

if TYPE_CHECKING:
    from liveroom.protocol.records import Sender

__all__ = ["Connection", "ConnectionHost", "Stage", "peer_address"]

#: A frame of up to this many times a command's limit is read, so that its refusal can name the command id. A larger one ends the connection.
READ_FACTOR = 4
#: Frames outside the ring that may wait for a full socket. One more unrequested frame ends the connection.
WAITING_MAX = 256
#: Bytes of these waiting frames.
WAITING_BYTES_MAX = 128 * 1024

_WHY = {
    FRAME_TOO_LARGE: "the frame is too large",
    PROTOCOL_ERROR: "the data violates the protocol",
    FLOODING: "too many pings, pongs or fragments",
}


class Stage(IntEnum):
    """The stage of a connection's life."""

    handshake = 0
    open = 1
    closing = 2  # a close frame was sent, and the client's has not come
    closed = 3


class ConnectionHost(Protocol):
    """Receives the events of a connection."""

    command_bytes_max: int
    replies_waiting_max: int

    def on_connect(self, connection: Connection) -> None:
        """A client connected."""

    def on_handshake_data(self, connection: Connection, data: bytes) -> None:
        """The connection received bytes of its handshake."""

    def on_message(self, connection: Connection, payload: bytes) -> None:
        """The connection received a complete text message."""

    def on_closing(self, connection: Connection, code: int) -> None:
        """A close frame was sent or received, or the connection was lost without one (1006). Called once."""

    def on_disconnect(self, connection: Connection) -> None:
        """The connection is gone. Called once."""

    def time(self) -> float:
        """The present monotonic time, in seconds."""


class FrameWriter(Protocol):
    """The room's side of a connection that has joined a room."""

    def advance(self) -> None:
        """The socket has room again: write what the viewer lacks."""

    def beat_is_due(self, now: float, beat_s: float) -> bool:
        """Whether the viewer received nothing for `beat_s` and gets a beat now."""


def peer_address(peer: Any) -> str:
    """The address in a socket's peer name; `unix` for a socket without one."""
    return str(peer[0]) if isinstance(peer, tuple) else "unix"


class Connection(asyncio.Protocol):
    """The connection of one viewer. `subscription` is set while the viewer has joined its room.

    Other parts may send to `socket` directly while it is set and the transport holds no bytes (`blocked` is false).
    Under TLS, it is never set.
    The connection clears `socket` before it closes the transport, so it never names the descriptor of another connection.
    """

    __slots__ = (
        "_host",
        "_inbound",
        "_replies",
        "_transport",
        "address",
        "blocked",
        "deflate",
        "expires_s",
        "head",
        "heard",
        "key",
        "limits",
        "odd_until",
        "pinged",
        "room_id",
        "sender",
        "socket",
        "stage",
        "subscription",
    )

    def __init__(self, host: ConnectionHost) -> None:
        self._host = host
        self._inbound: Inbound | None = None
        self._replies: deque[bytes] | None = None
        self.stage = Stage.handshake
        self.socket: BorrowedSocket | None = None
        self.blocked = False
        self.deflate = False
        self.expires_s = 0.0
        self.head: bytearray | None = None
        self.heard = host.time()
        self.key = ""
        self.limits: CommandLimits | None = None
        self.odd_until = 0.0  # moves on with each frame that completes no text; too far ahead of the clock means flooding
        self.pinged = False
        self.room_id = ""
        self.sender: Sender | None = None
        self.subscription: FrameWriter | None = None
        self.address = ""

    def __repr__(self) -> str:
        return f"<{self.stage.name} {self.room_id} {self.sender.user if self.sender else self.address}>"

    @property
    def ended(self) -> bool:
        """Whether the connection is closed."""
        return self.stage is Stage.closed

    def arrive(self, transport: asyncio.Transport, address: str) -> None:
        """Take an accepted connection. Until `connection_made` brings the final transport, `transport` supports only `abort`."""
        self._transport = transport
        self.address = address
        self._host.on_connect(self)

    # Callbacks of the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = cast(asyncio.Transport, transport)
        if self.ended:  # dropped in the same loop turn in which its TLS handshake ended
            made.abort()
            return
        arrived_before = bool(self.address)
        self._transport = made
        if transport.get_extra_info("ssl_object") is None:
            # With a limit of 0, `pause_writing` comes as soon as the transport holds a byte, and `resume_writing` once it holds none.
            self._transport.set_write_buffer_limits(high=0)
            self.socket = BorrowedSocket.of(transport)
        else:
            self._transport.set_write_buffer_limits(high=1, low=0)
        if not arrived_before:
            self.arrive(made, peer_address(transport.get_extra_info("peername")))

    def data_received(self, data: bytes) -> None:
        host = self._host
        self.heard = host.time()
        self.pinged = False
        if self.stage is Stage.handshake:
            host.on_handshake_data(self, data)
            return
        at = 0
        if self._inbound is None and self.stage is Stage.open:
            bytes_max = host.command_bytes_max * READ_FACTOR
            while taken := take_text(data, at, bytes_max):
                payload, at = taken
                host.on_message(self, payload)
                if self.stage is not Stage.open:
                    break
        if at < len(data) and self.stage < Stage.closed:
            self._read_on(data[at:] if at else data)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.blocked = False
        if self.subscription is not None:
            self.flush()
        if self.subscription is not None:
            self.subscription.advance()

    def connection_lost(self, exc: Exception | None) -> None:
        self.socket = None
        if self.stage in (Stage.handshake, Stage.open):
            self._host.on_closing(self, 1006)
        self.stage = Stage.closed
        self._inbound = self._replies = self.head = None
        self._host.on_disconnect(self)

    # Writing

    def write(self, data: bytes) -> int:
        """Write as much as the socket takes now, and return the number of bytes. Under TLS the transport takes all. Never call it while `blocked`."""
        if self.socket is None:
            if self.stage < Stage.closed:
                self._transport.write(data)
            return len(data)
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.abort()
            return len(data)

    def write_via_transport(self, rest: bytes) -> None:
        """Give the transport the bytes that the socket did not take. The connection is `blocked` until they are written."""
        if self.stage < Stage.closed:
            self._transport.write(rest)

    def send(self, frame: bytes) -> None:
        """Write a frame that is not in the ring, in order with other such frames.

        The frame waits while the socket is full or the connection has not joined its room.
        At `replies_waiting_max` waiting frames the connection stops reading until they are written.
        """
        if self.stage is not Stage.open:
            return
        if not self.blocked and self.subscription is not None:
            self._write_all(frame)
            return
        if self._replies is None:
            self._replies = deque()
        self._replies.append(frame)
        if len(self._replies) == self._host.replies_waiting_max:
            self._transport.pause_reading()

    def notify(self, frame: bytes) -> None:
        """Send an unrequested frame like `send`. If too many frames or bytes wait already, abort, so that the client reconnects."""
        waiting = self._replies
        if waiting and (len(waiting) >= WAITING_MAX or sum(map(len, waiting)) + len(frame) > WAITING_BYTES_MAX):
            self.abort()
        else:
            self.send(frame)

    def flush(self) -> None:
        """Write the waiting frames."""
        replies = self._replies
        while replies and not self.blocked:
            self._write_all(replies.popleft())
        if replies is not None and not replies:
            self._replies = None
            self._transport.resume_reading()

    def ping(self) -> None:
        """Send a ping, so that a living client answers."""
        self.pinged = True
        if not self.blocked:
            self._write_all(PING)

    def _write_all(self, data: bytes) -> None:
        written = self.write(data)
        if written < len(data):
            self.write_via_transport(data[written:])

    # Ending

    def open(self) -> None:
        """End the handshake. The caller writes the response first of all: with `respond`, or before the first frames of a room."""
        self.stage = Stage.open
        self.head = None

    def respond(self, response: bytes) -> None:
        """Answer the handshake with the upgrade `response`."""
        self._write_all(response)

    def refuse(self, response: bytes) -> None:
        """Answer the handshake with a refusal and close. The host aborts the connection if that takes too long."""
        self.stage = Stage.closing
        self.socket = None
        self._transport.write(response)
        self._transport.close()

    def close(self, code: int, reason: str = "", last: bytes = b"") -> None:
        """Send `last` and a close frame, and wait for the client's close frame. The host's `on_closing` starts the deadline for it."""
        if self.stage is not Stage.open:
            return
        frame = last + close_frame(code, reason)
        if self.blocked:
            self.write_via_transport(frame)
        else:
            self._write_all(frame)
        if self.stage is Stage.open:
            self.stage = Stage.closing
            self._replies = None
            self._transport.resume_reading()
            self._host.on_closing(self, code)

    def drop(self) -> None:
        """Abort a handshake. The host gets only `on_disconnect`."""
        self.stage = Stage.closed
        self.abort()

    def abort(self) -> None:
        """Drop the connection at once. No byte is written to it any more."""
        self.socket = None
        self.blocked = True
        self._transport.abort()

    def _hang_up(self) -> None:
        """Close once the transport has written its buffer."""
        self.socket = None
        self._transport.close()

    # Reading uncommon frames

    def _read_on(self, data: bytes) -> None:
        inbound = self._inbound
        if inbound is None:
            inbound = self._inbound = Inbound(self._host.command_bytes_max * READ_FACTOR, self.deflate)
        odd_until = max(self.odd_until, self.heard)
        frames_left = inbound.frames_left = int((self.heard + FLOOD_WINDOW_S - odd_until) / ODD_FRAME_S)
        for payload in inbound.feed(data):
            if self.stage is Stage.open:
                self._host.on_message(self, payload)
                continue
            inbound.frames_left -= 1  # the connection is closing: texts count as odd frames, so a client that keeps sending is cut off
            if inbound.frames_left < 0:
                inbound.broken = inbound.broken or FLOODING
        if used := frames_left - inbound.frames_left:
            self.odd_until = odd_until + used * ODD_FRAME_S
        if inbound.to_send:
            # The gateway sent its close frame first, so the client's is the answer. A second close frame would violate the protocol.
            echo = inbound.closed and self.stage is Stage.closing
            if not self.blocked and not echo:  # a client that does not read gets no pongs
                self._write_all(inbound.to_send)
            inbound.to_send = b""
        if inbound.closed:
            if self.stage is Stage.open:
                self.stage = Stage.closing
                self._host.on_closing(self, 1000)
            self._hang_up()
        elif inbound.broken:
            if self.stage is Stage.open:
                self.close(inbound.broken, _WHY[inbound.broken])
            else:
                self._hang_up()
        elif inbound.idle:
            self._inbound = None
