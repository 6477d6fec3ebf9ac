"""The ring against a plain model: a list of frames that forgets from the front."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from liveroom.gateway import ring as ring_module
from liveroom.gateway.ring import HARD_FACTOR, Ring, RingFrame
from tests.collector import looked_at

FRAMES_MAX = 16
BYTES_MAX = 4_000


def frame(from_: int, to: int, size: int) -> RingFrame:
    """A frame whose payload says its span."""
    return RingFrame.of(from_, to, f"[{from_},{to}]".encode().ljust(size, b" "))


class RingMachine(RuleBasedStateMachine):
    """Appends, keyframes and cursors in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.ring = Ring(FRAMES_MAX, BYTES_MAX)
        self.ring.begin(frame(0, 0, 10))
        self.sent: list[RingFrame] = []
        self.keyframe_at = 0
        self.cursors = {0: b""}  # cursor -> what a viewer that began at 0 has

    @rule(span=st.integers(1, 5), size=st.integers(1, 900))
    def append(self, span: int, size: int) -> None:
        added = frame(self.ring.end, self.ring.end + span, size)
        self.ring.append(added)
        self.sent.append(added)

    @rule(size=st.integers(1, 500))
    def renew(self, size: int) -> None:
        self.ring.renew(frame(self.ring.end, self.ring.end, size))
        self.keyframe_at = self.ring.end

    @rule(data=st.data(), deflate=st.booleans())
    def follow(self, data: st.DataObject, deflate: bool) -> None:
        """From any cursor still held, chunks give exactly the frames that are left, each once."""
        seq = data.draw(st.integers(self.ring.start, self.ring.end))
        seq = self.ring.boundary(seq)
        expected = b"".join(f.bytes(deflate) for f in self.sent if f.from_ >= seq)
        got = b""
        while seq < self.ring.end:
            part, to = self.ring.chunk(seq, deflate)
            assert seq < to <= self.ring.end
            got, seq = got + part, to
        assert got == expected

    @rule(data=st.data(), deflate=st.booleans())
    def split_frame(self, data: st.DataObject, deflate: bool) -> None:
        """After a partial write, the missing part of one frame and a cursor on the next boundary complete the chunk."""
        if self.ring.start == self.ring.end:
            return
        seq = self.ring.boundary(data.draw(st.integers(self.ring.start, self.ring.end - 1)))
        chunk, to = self.ring.chunk(seq, deflate)
        written = data.draw(st.integers(0, len(chunk) - 1))
        rest, cursor = self.ring.split_frame(seq, written, deflate)
        assert 0 < len(rest) <= max(len(f.bytes(deflate)) for f in self.sent)
        following = b"".join(f.bytes(deflate) for f in self.sent if cursor <= f.from_ < to)
        assert chunk[:written] + rest + following == chunk

    @invariant()
    def bounded(self) -> None:
        """Never more than the hard bound, and no more than the limits once the keyframe allows."""
        assert len(self.ring) <= FRAMES_MAX * HARD_FACTOR
        assert self.ring.size <= BYTES_MAX * HARD_FACTOR
        if self.ring.keyframe is None or self.ring.keyframe.to == self.ring.end:
            assert len(self.ring) <= FRAMES_MAX
            assert self.ring.size <= BYTES_MAX

    @invariant()
    def joinable(self) -> None:
        """While there is a keyframe, everything after it is held; when there is none, one is wanted."""
        if self.ring.keyframe is not None:
            assert self.ring.keyframe.to == self.keyframe_at
            assert self.ring.start <= self.keyframe_at
        else:
            assert self.ring.wants_keyframe

    @invariant()
    def newest_are_held(self) -> None:
        """The ring holds the newest frames that were sent, without a gap."""
        held = len(self.ring)
        assert self.ring.start == (self.sent[-held].from_ if held else self.ring.end)


TestRing = RingMachine.TestCase


def test_a_keyframe_is_wanted_half_a_ring_after_the_last() -> None:
    """Early enough that the newest keyframe never leaves the ring in normal life."""
    ring = Ring(FRAMES_MAX, BYTES_MAX)
    ring.begin(frame(0, 0, 10))
    for i in range(FRAMES_MAX // 2):
        ring.append(frame(i, i + 1, 10))
        assert not ring.wants_keyframe
    ring.append(frame(ring.end, ring.end + 1, 10))
    assert ring.wants_keyframe
    ring.renew(frame(ring.end, ring.end, 10))
    assert not ring.wants_keyframe


def test_chunks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk holds at most `CHUNK_BYTES_MAX`, but at least one frame."""
    monkeypatch.setattr(ring_module, "CHUNK_BYTES_MAX", 100)
    ring = Ring(FRAMES_MAX, BYTES_MAX)
    ring.begin(frame(0, 0, 10))
    for i, size in enumerate((40, 40, 40, 300, 10)):
        ring.append(frame(i, i + 1, size))
    assert [ring.chunk(seq, False)[1] for seq in range(5)] == [2, 3, 3, 4, 5]


@given(st.integers(0, 3_000))
def test_compressed_bytes_inflate_to_the_payload(size: int) -> None:
    """Whatever was compressed is what was built, and is made once."""
    made = RingFrame.of(0, 1, (b"abcd" * 1000)[:size])
    packed = made.bytes(True)
    assert packed is made.bytes(True)
    if packed[0] == 0xC1:
        body = packed[2 if packed[1] < 126 else 4 :]
        assert zlib.decompressobj(-15).decompress(body + b"\x00\x00\xff\xff") == (b"abcd" * 1000)[:size]
    else:
        assert packed == made.plain


def test_a_ring_is_no_work_for_the_garbage_collector() -> None:
    """There may be a thousand frames in each of thousands of rings: a full collection looks at none of them."""

    def make() -> Ring:
        ring = Ring(2_000, 10_000_000)
        for seq in range(2_000):
            ring.append(RingFrame.of(seq, seq + 1, b"{}"))
        return ring

    assert looked_at(make) < 100
