"""One viewer's connection: bytes in, bytes out, and as little held between as can be."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol, cast

from liveroom.gateway.inbound import FLOODING, FRAME_TOO_LARGE, PROTOCOL_ERROR, Inbound, take_text
from liveroom.gateway.limits import FLOOD_WINDOW_S, ODD_FRAME_S, TokenBucket
from liveroom.gateway.wire import PING, close_frame

if TYPE_CHECKING:
    from liveroom.gateway.room import Room
    from liveroom.protocol.records import Sender

__all__ = ["Connection", "Host", "Stage", "peer_address"]

#: Frames of up to this many times a command's limit are read, so that their sender gets an answer with the id; larger ones end the connection.
READ_FACTOR = 4
#: Frames beside the ring that may wait for a full socket before the connection is given up for one that nobody asked for.
WAITING_MAX = 256
#: Bytes of them, likewise.
WAITING_BYTES_MAX = 128 * 1024

NO_DESCRIPTOR = -1

_WHY = {
    FRAME_TOO_LARGE: "the frame is too large",
    PROTOCOL_ERROR: "this is not what the protocol says",
    FLOODING: "far more pings, pongs or fragments than anybody needs",
}


class Stage(IntEnum):
    """Where a connection is in its life."""

    handshake = 0
    open = 1
    closing = 2  # a close frame was sent; the client's is waited for
    closed = 3


class Host(Protocol):
    """Whom a connection tells what happens to it."""

    command_bytes_max: int
    replies_waiting_max: int

    def on_connect(self, connection: Connection) -> None:
        """A client connected."""

    def on_handshake_data(self, connection: Connection, data: bytes) -> None:
        """Bytes of the handshake came."""

    def on_message(self, connection: Connection, payload: bytes) -> None:
        """A whole text came."""

    def on_closing(self, connection: Connection, code: int) -> None:
        """A close frame was sent or came, or the connection was lost without one (1006); told once."""

    def on_disconnect(self, connection: Connection) -> None:
        """The connection is gone; told once."""

    def time(self) -> float:
        """The loop's clock."""


def peer_address(peer: Any) -> str:
    """The other end's address out of what a socket calls its peer."""
    return str(peer[0]) if isinstance(peer, tuple) else "unix"


class Connection(asyncio.Protocol):
    """A viewer. `cursor` is the room seq it needs next; `fd` may be written to directly whenever it is none of `NO_DESCRIPTOR`.

    The descriptor is used only while the transport holds nothing (`blocked` is false), never under TLS, and is
    forgotten before the transport is told to close, so that it is never another connection's.
    """

    __slots__ = (
        "_host",
        "_inbound",
        "_replies",
        "_transport",
        "address",
        "beat_at",
        "blocked",
        "bucket",
        "cursor",
        "deflate",
        "expires_s",
        "fd",
        "head",
        "heard",
        "joined_at",
        "key",
        "odd_until",
        "pinged",
        "place",
        "room",
        "room_id",
        "sender",
        "stage",
    )

    def __init__(self, host: Host) -> None:
        self._host = host
        self._inbound: Inbound | None = None
        self._replies: deque[bytes] | None = None
        self.stage = Stage.handshake
        self.fd = NO_DESCRIPTOR
        self.beat_at = 0.0  # when it joined, or when it got its last beat
        self.blocked = False
        self.cursor = 0
        self.deflate = False
        self.expires_s = 0.0
        self.head: bytearray | None = None
        self.heard = host.time()
        self.joined_at = 0.0
        self.key = ""
        self.bucket: TokenBucket | None = None
        self.odd_until = 0.0  # each frame that completes no text puts it off; too far ahead of the clock is a flood
        self.pinged = False
        self.place = 0
        self.room: Room | None = None
        self.room_id = ""
        self.sender: Sender | None = None
        self.address = ""

    def __repr__(self) -> str:
        return f"<{self.stage.name} {self.room_id} {self.sender.user if self.sender else self.address}>"

    @property
    def ended(self) -> bool:
        """Whether it is over for us."""
        return self.stage is Stage.closed

    def arrive(self, transport: asyncio.Transport, address: str) -> None:
        """A client's connection was accepted; `transport` is good for `abort` until `connection_made` brings another."""
        self._transport = transport
        self.address = address
        self._host.on_connect(self)

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = cast(asyncio.Transport, transport)
        if self.ended:  # it was dropped in the same turn in which its TLS handshake ended
            made.abort()
            return
        arrived_before = bool(self.address)
        self._transport = made
        if transport.get_extra_info("ssl_object") is None:
            # The least there is: `pause_writing` comes as soon as the transport holds a byte, `resume_writing` when it holds none.
            self._transport.set_write_buffer_limits(high=0)
            self.fd = transport.get_extra_info("socket").fileno()
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
        if self.room is not None:
            self.flush()
        if self.room is not None:
            self.room.advance(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.fd = NO_DESCRIPTOR
        if self.stage in (Stage.handshake, Stage.open):
            self._host.on_closing(self, 1006)
        self.stage = Stage.closed
        self._inbound = self._replies = self.head = None
        self._host.on_disconnect(self)

    # Writing

    def write(self, data: bytes) -> int:
        """Write what the socket takes now; gives how many bytes. Under TLS the transport takes all. Not to be called while `blocked`."""
        if self.fd < 0:
            if self.stage < Stage.closed:
                self._transport.write(data)
            return len(data)
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0
        except OSError:
            self.abort()
            return len(data)

    def write_via_transport(self, rest: bytes) -> None:
        """Let the transport write what the socket did not take; `blocked` until it has."""
        if self.stage < Stage.closed:
            self._transport.write(rest)

    def send(self, frame: bytes) -> None:
        """Write a frame beside the ring, in order with others like it; waits while the socket is full or the room has not been joined.

        When as many wait as may, nothing more is read from the client until they are gone.
        """
        if self.stage is not Stage.open:
            return
        if not self.blocked and self.room is not None:
            self._write_all(frame)
            return
        if self._replies is None:
            self._replies = deque()
        self._replies.append(frame)
        if len(self._replies) == self._host.replies_waiting_max:
            self._transport.pause_reading()

    def notify(self, frame: bytes) -> None:
        """As `send`, for what the client did not ask for: one that lets too many of them or too many bytes wait has to come back for more."""
        waiting = self._replies
        if waiting and (len(waiting) >= WAITING_MAX or sum(map(len, waiting)) + len(frame) > WAITING_BYTES_MAX):
            self.abort()
        else:
            self.send(frame)

    def flush(self) -> None:
        """Write the frames that waited."""
        replies = self._replies
        while replies and not self.blocked:
            self._write_all(replies.popleft())
        if replies is not None and not replies:
            self._replies = None
            self._transport.resume_reading()

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.pinged = True
        if not self.blocked:
            self._write_all(PING)

    def _write_all(self, data: bytes) -> None:
        written = self.write(data)
        if written < len(data):
            self.write_via_transport(data[written:])

    # Ending

    def upgrade(self, response: bytes) -> None:
        """Answer the handshake with an upgrade."""
        self.stage = Stage.open
        self.head = None
        self._write_all(response)

    def refuse(self, response: bytes) -> None:
        """Answer the handshake with a refusal and close; the host sees to it that this ends."""
        self.stage = Stage.closing
        self.fd = NO_DESCRIPTOR
        self._transport.write(response)
        self._transport.close()

    def close(self, code: int, reason: str = "", last: bytes = b"") -> None:
        """Send `last` and a close frame and wait for the client's; whoever is told by `on_closing` sees to it that this ends."""
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
        """Give up a handshake: as `abort`, and the host hears of nothing but its end."""
        self.stage = Stage.closed
        self.abort()

    def abort(self) -> None:
        """Drop the connection without another word; nothing is written to it any more."""
        self.fd = NO_DESCRIPTOR
        self.blocked = True
        self._transport.abort()

    def _hang_up(self) -> None:
        """Close after the transport has written what it holds."""
        self.fd = NO_DESCRIPTOR
        self._transport.close()

    # Reading what is not the common frame

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
            inbound.frames_left -= 1  # nobody listens any more: to whoever goes on and on nobody does
            if inbound.frames_left < 0:
                inbound.broken = inbound.broken or FLOODING
        if used := frames_left - inbound.frames_left:
            self.odd_until = odd_until + used * ODD_FRAME_S
        if inbound.to_send:
            # Our close frame went first and theirs is the answer to it: a second one from us would be an error to the client.
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
