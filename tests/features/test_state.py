"""The parts of a room's state, as features reach them."""

from __future__ import annotations

import msgspec
import pytest

from liveroom.features.likes.state import change, of
from liveroom.rooms.state import decode_state, encode_state
from tests.features.play import Play


def test_reading_an_absent_part_makes_nothing_that_is_kept() -> None:
    """A part that is read where there is none belongs to no room: a change by mistake reaches no state, and no other room."""
    one, other = Play().room, Play().room
    of(one).total = 7
    assert of(one).total == 0
    assert of(other).total == 0
    change(one).total = 8
    assert of(one).total == 8
    assert of(other).total == 0


def test_a_state_with_an_unknown_part_is_not_read() -> None:
    """A version that lacks a feature refuses the room's state, instead of dropping what the feature keeps in it. The engine then reads the log."""
    data = encode_state(Play().room)
    assert decode_state(data).stream_id
    with pytest.raises(msgspec.DecodeError, match="raffle"):
        decode_state(data[:-1] + b',"raffle":{"pot_fen":5}}')
