"""One broadcast: the writes of a room's new frames to all its viewers, a few viewers at a time."""

from __future__ import annotations

from liveroom.gateway.room import HeldRoom
from liveroom.telemetry.isolation import IsolatedErrors

__all__ = ["RoomBroadcast"]


class RoomBroadcast:
    """Writes the span [start, end) to all viewers that the room had at the broadcast's begin. `at` is the index of the next viewer.

    `news_at` is the time at which the room got the first event of the span.
    """

    __slots__ = ("at", "began", "end", "news_at", "packed", "plain", "room", "start", "viewers")

    def __init__(self, room: HeldRoom, began: float) -> None:
        room.seal()
        ring = room.ring
        self.room = room
        self.began = began
        self.news_at = room.news_at
        self.viewers = room.viewers_in_turn()
        self.at = 0
        self.start = room.broadcast_end
        self.end = ring.end
        self.plain = self.packed = b""
        if ring.start <= self.start < self.end:
            self.plain, to = ring.chunk(self.start, False)
            self.packed = ring.chunk(self.start, True)[0] if room.deflaters else b""
            if to != self.end:
                self.plain = b""  # more than one chunk: each viewer is advanced on its own
        room.note_broadcast(self.end, began)

    def step(self, count: int, isolated: IsolatedErrors) -> tuple[int, int]:
        """Write to the next `count` viewers, and return the written frames and bytes. A viewer whose write raises is dropped."""
        start, end, plain, packed = self.start, self.end, self.plain, self.packed
        plain_size, packed_size = len(plain), len(packed)
        begin, self.at = self.at, self.at + count
        together = plain and self.room.ring.start <= start
        plain_frames = packed_frames = 0
        frames = written = 0  # the frames and bytes that came to viewers in another way
        for viewer in self.viewers[begin : begin + count]:
            connection = viewer.connection
            try:
                if together and viewer.cursor == start and not connection.blocked and (socket := connection.socket) is not None:
                    # This is the program's hottest loop, so the common cases count small numbers only.
                    try:
                        if connection.deflate:
                            n = socket.send(packed)
                            if n == packed_size:
                                viewer.cursor = end
                                packed_frames += 1
                                continue
                        else:
                            n = socket.send(plain)
                            if n == plain_size:
                                viewer.cursor = end
                                plain_frames += 1
                                continue
                    except BlockingIOError:
                        n = 0
                    frames += 1
                    written += n
                    viewer.split_frame(start, n)
                elif viewer.joined and not connection.blocked and viewer.cursor != end:
                    viewer.advance()
                    frames += 1
            except OSError:
                connection.abort()
            except Exception:
                isolated.note("gateway_viewer", item=connection)
                connection.abort()
        return frames + plain_frames + packed_frames, written + plain_frames * plain_size + packed_frames * packed_size

    @property
    def done(self) -> bool:
        """Whether every viewer had its turn."""
        return self.at >= len(self.viewers)
