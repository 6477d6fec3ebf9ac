"""One viewer's subscription to a room: a cursor into the room's ring, and the writes that move it forward.

The room owns its subscriptions. A connection knows only that it has one, and calls `advance` when its socket has room again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from liveroom.gateway.connection import Connection, Stage
from liveroom.gateway.ring import Ring
from liveroom.gateway.wire import text_frame
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Skipped

if TYPE_CHECKING:
    from liveroom.telemetry.metrics import Metrics

__all__ = ["FrameSource", "Subscription"]

#: The place of a subscription that has not joined its room, or has left it.
NO_PLACE = -1
#: The cursor of such a subscription. No span begins there, so a running broadcast skips the subscription.
NO_CURSOR = -1


class FrameSource(Protocol):
    """The part of a room that its subscriptions use."""

    metrics: Metrics
    ring: Ring
    broadcast_at: float

    def entitlements_frame(self, user: str) -> bytes:
        """The frame with a user's entitlements after all events so far."""


class Subscription:
    """A connection in a room, waiting or joined. `cursor` is the seq of the next event that the viewer needs.

    `place` is the index in the room's list of viewers, and negative while the viewer is not in this list.
    """

    __slots__ = ("_source", "beat_at", "connection", "cursor", "joined_at", "place")

    def __init__(self, source: FrameSource, connection: Connection) -> None:
        self._source = source
        self.connection = connection
        self.cursor = NO_CURSOR
        self.place = NO_PLACE
        self.joined_at = 0.0
        self.beat_at = 0.0  # time of the last beat, or of the join

    def __repr__(self) -> str:
        return f"<cursor {self.cursor} of {self.connection!r}>"

    @property
    def joined(self) -> bool:
        """Whether the viewer has joined its room and not left it."""
        return self.place >= 0

    @property
    def user(self) -> str:
        """The user of the connection."""
        assert self.connection.sender is not None
        return self.connection.sender.user

    def join(self, place: int, cursor: int, head: bytes) -> None:
        """Begin at `cursor` after the frames of `head`."""
        self.place = place
        self.cursor = cursor
        self.connection.subscription = self
        self.advance(head)
        self.connection.flush()

    def leave(self) -> None:
        """End. The connection gets no further frame of the room."""
        self.place = NO_PLACE
        self.cursor = NO_CURSOR
        self.connection.subscription = None

    def beat_is_due(self, now: float, beat_s: float) -> bool:
        """Whether the viewer received neither frames of its room nor a beat for `beat_s`. If so, the next beat is due `beat_s` later."""
        if now - self._source.broadcast_at < beat_s or now - self.beat_at < beat_s:
            return False
        self.beat_at = now
        return True

    def skip(self, known: int) -> bool:
        """Move the cursor to the keyframe, because the ring has no frames for the seq `known`. Returns false without a keyframe."""
        if self._source.ring.keyframe is None:
            return False
        self.advance(self._skip(known))
        return True

    def _skip(self, known: int) -> bytes:
        """Set the cursor to the keyframe, and return the frames that lead there."""
        source, connection = self._source, self.connection
        keyframe = source.ring.keyframe
        assert keyframe is not None
        self.cursor = keyframe.to
        source.metrics.gateway_viewers_skipped.inc()
        return text_frame(encode(Skipped(from_=known, to=keyframe.to))) + keyframe.bytes(connection.deflate) + source.entitlements_frame(self.user)

    def advance(self, head: bytes = b"") -> None:
        """Write `head`, then all frames from the cursor on, until the ring's end or until the socket is full.

        If the socket is full, the transport gets the rest of at most one frame, and the cursor stays after that frame.
        """
        source, connection = self._source, self.connection
        ring = source.ring
        deflate = connection.deflate
        while not connection.blocked and connection.stage is Stage.open:
            if self.cursor < ring.start:
                if ring.keyframe is None:
                    break  # the next broadcast tries again, because a keyframe was requested
                head += self._skip(self.cursor)
            begin = self.cursor
            body, to = ring.chunk(begin, deflate) if begin < ring.end else (b"", begin)
            data = head + body
            if not data:
                return
            self.cursor = to  # set before the write, because a transport may call back from within it
            written = connection.write(data)
            source.metrics.gateway_bytes_sent.inc(written)
            if written < len(data):
                self._handle_partial_write(head, begin, written)
            head = b""
        if head and connection.stage is Stage.open:
            connection.send(head)

    def _handle_partial_write(self, head: bytes, begin: int, written: int) -> None:
        """Let the transport finish the cut frame, after the socket took only `written` bytes of `head` and of the chunk at `begin`."""
        if written < len(head):
            self.cursor = begin
            self.connection.write_via_transport(head[written:])
        else:
            self.split_frame(begin, written - len(head))

    def split_frame(self, begin: int, written: int) -> None:
        """Let the transport finish the cut frame, after the socket took only `written` bytes of the chunk at `begin`."""
        rest, self.cursor = self._source.ring.split_frame(begin, written, self.connection.deflate)
        self.connection.write_via_transport(rest)
