"""Reading what clients send: the fast path against the library's, and anything at all against both."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from liveroom.gateway.inbound import Inbound, take_text
from liveroom.gateway.limits import ODD_FRAMES_MAX
from tests.gateway.place import masked

BYTES_MAX = 1_000


def read(data: bytes, cuts: list[int], *, deflate: bool = False) -> tuple[list[bytes], Inbound | None]:
    """Read as a connection does: whole texts at once, anything else by an `Inbound` that lives as long as it must."""
    texts: list[bytes] = []
    inbound: Inbound | None = None
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        part, at = data[begin:end], 0
        if inbound is None:
            while taken := take_text(part, at, BYTES_MAX):
                texts.append(taken[0])
                at = taken[1]
        if at < len(part):
            inbound = inbound or Inbound(BYTES_MAX, deflate)
            texts += inbound.feed(part[at:])
            if inbound.idle and not inbound.closed and not inbound.broken:
                inbound = None
    return texts, inbound


def read_by_library(data: bytes) -> tuple[list[bytes], ServerProtocol]:
    """The same bytes through websockets alone."""
    protocol = ServerProtocol(state=OPEN, max_size=BYTES_MAX)
    protocol.receive_data(data)
    texts: list[bytes] = []
    message = b""
    for event in protocol.events_received():
        assert isinstance(event, Frame)
        if event.opcode in (Opcode.TEXT, Opcode.CONT):
            message += event.data
            if event.fin:
                texts.append(message)
                message = b""
    return texts, protocol


def packed(payload: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


MASKS = st.binary(min_size=4, max_size=4)
PAYLOADS = st.one_of(st.binary(max_size=150), st.integers(0, BYTES_MAX).map(lambda n: b"y" * n))


@st.composite
def message(draw: st.DrawFn) -> bytes:
    """A text in one frame or in fragments with pings between, or a ping or pong alone."""
    kind = draw(st.sampled_from(["whole", "whole", "whole", "fragments", "ping", "pong"]))
    if kind in ("ping", "pong"):
        return masked(draw(st.binary(max_size=125)), 0x89 if kind == "ping" else 0x8A, draw(MASKS))
    payload = draw(PAYLOADS)
    if kind == "whole":
        return masked(payload, 0x81, draw(MASKS))
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4)))
    parts = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    data = b""
    for i, part in enumerate(parts):
        data += masked(part, (0x01 if i == 0 else 0x00) | (0x80 if i == len(parts) - 1 else 0), draw(MASKS))
        if draw(st.booleans()) and i < len(parts) - 1:
            data += masked(b"p", 0x89, draw(MASKS))
    return data


@given(st.lists(message(), max_size=8), st.data())
@settings(max_examples=300)
def test_the_fast_path_reads_what_the_library_reads(messages: list[bytes], data: st.DataObject) -> None:
    """Any texts, fragments, masks and sizes, cut anywhere by the network: the same texts in the same order."""
    stream = b"".join(messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    texts, inbound = read(stream, cuts)
    expected, protocol = read_by_library(stream)
    assert texts == expected
    assert inbound is None
    assert protocol.parser_exc is None


@given(st.lists(st.one_of(message(), st.binary(max_size=30)), min_size=1, max_size=5), st.data())
@settings(max_examples=500)
def test_broken_streams_end_where_the_library_ends_them(parts: list[bytes], data: st.DataObject) -> None:
    """With garbage between: the texts before it are the same, and it is broken, closed or unfinished as the library says."""
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    texts, inbound = read(stream, cuts)
    expected, protocol = read_by_library(stream)
    if inbound is None or not inbound.broken:
        assert texts == expected
        assert (inbound is not None and inbound.closed) == (protocol.close_rcvd is not None and protocol.parser_exc is None)
    else:
        assert texts == expected[: len(texts)]  # a binary frame or a huge length ends it at once


@pytest.mark.parametrize("seed", range(4))
def test_a_hundred_thousand_fuzzed_frames_raise_nothing(seed: int) -> None:
    """Valid frames with bytes flipped, cut, doubled and swapped: every one is read, refused or waited for within its bounds."""
    rng = random.Random(seed)
    seeds = [masked(b"x" * n, first) for n in (0, 1, 5, 125, 126, 300, 999) for first in (0x81, 0x01, 0x00, 0x80, 0x89, 0x88, 0x82, 0xC1)]
    outcomes = {"texts": 0, "broken": 0, "closed": 0, "waiting": 0}
    for _ in range(25_000):
        frame = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(0, 3)):
            frame[rng.randrange(min(len(frame), 20))] = rng.randrange(256)
        split_frame = rng.randint(0, len(frame))
        inbound = Inbound(BYTES_MAX, deflate=rng.random() < 0.5)
        texts = [*inbound.feed(bytes(frame[:split_frame])), *inbound.feed(bytes(frame[split_frame:]))]
        assert all(len(text) <= BYTES_MAX for text in texts)
        assert len(inbound._buffer) <= BYTES_MAX + 14
        assert inbound.broken in (0, 1009, 4503)
        outcome = "texts" if texts else "broken" if inbound.broken else "closed" if inbound.closed else "waiting"
        outcomes[outcome] += 1
    assert all(outcomes.values()), outcomes


def test_a_huge_length_ends_the_connection_before_its_bytes_come() -> None:
    """A declared length beyond the limit is 1009 at once; nothing is buffered for it."""
    inbound = Inbound(BYTES_MAX, False)
    assert list(inbound.feed(b"\x81\xff" + (2**62).to_bytes(8, "big"))) == []
    assert inbound.broken == 1009
    assert list(inbound.feed(b"x" * 10_000)) == []
    assert len(inbound._buffer) < 20


def test_fragments_cannot_add_up_beyond_the_limit() -> None:
    """The limit is a message's, however many frames it comes in; empty fragments cost no memory."""
    inbound = Inbound(BYTES_MAX, False)
    assert list(inbound.feed(masked(b"x" * 600, 0x01))) == []
    assert list(inbound.feed(masked(b"x" * 600, 0x80))) == []
    assert inbound.broken == 1009
    inbound = Inbound(BYTES_MAX, False)
    list(inbound.feed(masked(b"", 0x01)))
    for _ in range(ODD_FRAMES_MAX - 1):
        list(inbound.feed(masked(b"", 0x00)))
    assert list(inbound.feed(masked(b"end", 0x80))) == [b"end"]


@pytest.mark.parametrize("odd", [masked(b"", 0x89), masked(b"x" * 125, 0x8A), masked(b"", 0x00)])
def test_frames_that_complete_nothing_are_limited(odd: bytes) -> None:
    """Pings, pongs and fragments beyond their number are a flood; what comes after is not looked at. Compressed texts are no such frames."""
    inbound = Inbound(BYTES_MAX, True)
    hello = masked(packed(b"hello " * 20), 0xC1)
    assert len(list(inbound.feed(hello * ODD_FRAMES_MAX))) == ODD_FRAMES_MAX
    begin = masked(b"x", 0x01) if odd[0] == 0 else b""
    assert list(inbound.feed(begin + odd * (ODD_FRAMES_MAX - bool(begin)))) == []
    before, inbound.to_send = inbound.broken, b""
    assert list(inbound.feed(odd * 5_000)) == []
    assert (before, inbound.broken) == (0, 4504)
    assert len(inbound.to_send) < 200


def test_unmasked_and_binary_frames_break_the_protocol() -> None:
    """4503 for both."""
    for data in (b"\x81\x05hello", masked(b"hello", 0x82), masked(b"hello", 0xF1), masked(b"hello", 0x83)):
        inbound = Inbound(BYTES_MAX, False)
        assert list(inbound.feed(data)) == []
        assert inbound.broken == 4503


def test_compressed_texts_are_read_and_bombs_are_not() -> None:
    """A compressed message counts by its real size."""

    inbound = Inbound(BYTES_MAX, True)
    assert list(inbound.feed(masked(packed(b"hello " * 20), 0xC1))) == [b"hello " * 20]
    assert list(inbound.feed(masked(packed(b"again"), 0xC1))) == [b"again"]
    assert inbound.idle
    bomb = Inbound(BYTES_MAX, True)
    assert list(bomb.feed(masked(packed(b"\0" * 1_000_000), 0xC1))) == []
    assert bomb.broken == 1009
    plain = Inbound(BYTES_MAX, False)
    assert list(plain.feed(masked(packed(b"hello"), 0xC1))) == []
    assert plain.broken == 4503


@pytest.mark.parametrize("body", [b"", b"\x03\xe8", b"\x03\xe9", b"\x03\xea", b"\x03\xe8bye", b"\x0f\xa0", b"\x03", b"\x03\xe8\xff", b"\x03\xee"])
@pytest.mark.parametrize("before", [b"", masked(b"hi"), masked(b"begin", first=0x01)])
def test_a_close_is_answered_as_the_library_answers_it(body: bytes, before: bytes) -> None:
    """Ordinary and odd closes, alone, after a text or within a message, have the library's answer and outcome."""
    data = before + masked(body, first=0x88)
    _, inbound = read(data, [])
    _, protocol = read_by_library(data)
    assert inbound is not None
    assert inbound.closed == (protocol.close_rcvd is not None and protocol.parser_exc is None)
    assert bool(inbound.broken) == (protocol.parser_exc is not None)
    if inbound.closed:
        assert inbound.to_send == b"".join(protocol.data_to_send())
