"""A room's ring: the newest keyframe and the newest frames, each encoded once for all viewers.

How it works:

1. Each frame covers a contiguous span of seqs, and the next frame begins where it ends. `append` adds a frame at `end`.
2. A viewer is a cursor into the ring: the seq of the next event that it needs. So any seq from `start` to `end` names the next frame to write.
3. `chunk` joins the next frames of a cursor into one write. Viewers with the same cursor share the joined bytes.
4. If a socket takes only a part of a chunk, `split_frame` finds the rest of the cut frame and the cursor after it.
5. Beyond its limits, the ring drops the oldest frames. A cursor below `start` has fallen off, and continues at the keyframe.
6. The keyframe lies on a frame boundary, but it is not part of the sequence of frames. Only viewers who join or have fallen off need it.
7. The frames after the keyframe must stay, or the keyframe leads nowhere. So the ring exceeds its limits for them, up to `HARD_FACTOR` times.

`wants_keyframe` asks for a new keyframe early enough that this is rare.
"""

from __future__ import annotations

import builtins
from bisect import bisect_right
from collections.abc import Sequence

from msgspec import Struct

from liveroom.gateway.wire import packed_frame, payload_of, text_frame

__all__ = ["Ring", "RingFrame"]

#: Bytes of one write to a viewer. A single frame may be larger.
CHUNK_BYTES_MAX = 64 * 1024
#: Frames after the keyframe are kept beyond the ring's limits up to this factor, until a newer keyframe comes.
HARD_FACTOR = 2
#: Joined chunks that are kept: one for viewers who follow and one for viewers who join, each plain and compressed.
CHUNKS_KEPT = 4


class RingFrame(Struct, eq=False, gc=False):
    """The span [from_, to) of a room's seqs as one WebSocket frame. A keyframe has `from_ == to`. Use `of` to make one."""

    from_: int
    to: int
    plain: builtins.bytes
    packed: builtins.bytes | None = None

    @classmethod
    def of(cls, from_: int, to: int, payload: builtins.bytes) -> RingFrame:
        """Make a frame with this payload."""
        return cls(from_, to, text_frame(payload))

    def bytes(self, deflate: bool) -> builtins.bytes:
        """The bytes to write. They are compressed once, for the first viewer who needs it."""
        if not deflate:
            return self.plain
        if self.packed is None:
            self.packed = packed_frame(payload_of(self.plain))
        return self.packed


class Ring:
    """The frames of one room, bounded in number and in bytes. The bytes count plain frames; compressed copies are never larger."""

    __slots__ = ("_bytes_max", "_chunks", "_frames", "_frames_max", "_froms", "_since_bytes", "_since_frames", "end", "keyframe", "size")

    def __init__(self, frames_max: int, bytes_max: int) -> None:
        self._frames_max = frames_max
        self._bytes_max = bytes_max
        self._frames: list[RingFrame] = []
        self._froms: list[int] = []
        self._chunks: dict[tuple[int, bool], tuple[bytes, int]] = {}
        self.keyframe: RingFrame | None = None
        self._since_bytes = 0  # bytes of the frames after the keyframe
        self._since_frames = 0
        self.end = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def start(self) -> int:
        """The lowest seq at which a cursor can continue."""
        return self._froms[0] if self._froms else self.end

    def begin(self, keyframe: RingFrame, past: Sequence[RingFrame] = ()) -> None:
        """Start again at a keyframe, with the frames of `past` that lead to it. Cursors below these have fallen off."""
        assert not past or past[-1].to == keyframe.to, "the past ends where the present begins"
        self._frames[:] = past
        self._froms[:] = [frame.from_ for frame in past]
        self._chunks.clear()
        self.size = sum(len(frame.plain) for frame in past)
        self._since_bytes = self._since_frames = 0
        self.end = keyframe.to
        self.keyframe = keyframe
        self._trim()

    def append(self, frame: RingFrame) -> None:
        """Add the frame that begins at `end`."""
        assert frame.from_ == self.end < frame.to, "frames are contiguous spans"
        self._frames.append(frame)
        self._froms.append(frame.from_)
        self._chunks.clear()
        self.end = frame.to
        self.size += len(frame.plain)
        self._since_bytes += len(frame.plain)
        self._since_frames += 1
        self._trim()

    def renew(self, keyframe: RingFrame) -> None:
        """Replace the keyframe by a newer one, of the state at `end`."""
        assert keyframe.to == self.end, "a keyframe lies on the newest frame boundary"
        self.keyframe = keyframe
        self._since_bytes = self._since_frames = 0
        self._trim()

    @property
    def wants_keyframe(self) -> bool:
        """Whether the keyframe is gone, or more than half of the ring has followed it."""
        return self.keyframe is None or self._since_frames > self._frames_max // 2 or self._since_bytes > self._bytes_max // 2

    def boundary(self, seq: int) -> int:
        """The begin of the frame that holds `seq`, for `start <= seq <= end`."""
        assert self.start <= seq <= self.end
        return seq if seq == self.end else self._froms[bisect_right(self._froms, seq) - 1]

    def chunk(self, seq: int, deflate: bool) -> tuple[bytes, int]:
        """The bytes of the frames from the one with `seq` on, and the seq after them: at least one frame, otherwise at most `CHUNK_BYTES_MAX`."""
        key = (seq, deflate)
        if key in self._chunks:
            return self._chunks[key]
        parts: list[bytes] = []
        size = 0
        to = seq
        for frame in self._frames[bisect_right(self._froms, seq) - 1 :]:
            data = frame.bytes(deflate)
            size += len(data)
            if parts and size > CHUNK_BYTES_MAX:
                break
            parts.append(data)
            to = frame.to
        found = (parts[0] if len(parts) == 1 else b"".join(parts), to)
        if len(self._chunks) >= CHUNKS_KEPT:
            self._chunks.clear()
        self._chunks[key] = found
        return found

    def split_frame(self, seq: int, written: int, deflate: bool) -> tuple[bytes, int]:
        """After `written` bytes of `chunk(seq)`: the rest of the cut frame and the seq after it. On a boundary, the rest is the whole next frame."""
        for frame in self._frames[bisect_right(self._froms, seq) - 1 :]:
            data = frame.bytes(deflate)
            if written < len(data):
                return data[written:], frame.to
            written -= len(data)
        raise AssertionError("less was written than the chunk holds")

    def _trim(self) -> None:
        """Drop the oldest frames. Frames after the keyframe go only beyond `HARD_FACTOR` times the limits, together with the keyframe."""
        frames_max, bytes_max = self._frames_max, self._bytes_max
        gone = 0
        while len(self._frames) - gone > frames_max or self.size > bytes_max:
            oldest = self._frames[gone]
            if self.keyframe is not None and oldest.to > self.keyframe.to:
                if len(self._frames) - gone <= frames_max * HARD_FACTOR and self.size <= bytes_max * HARD_FACTOR:
                    break
                self.keyframe = None
            self.size -= len(oldest.plain)
            gone += 1
        if gone:
            del self._frames[:gone]
            del self._froms[:gone]
            self._chunks.clear()
