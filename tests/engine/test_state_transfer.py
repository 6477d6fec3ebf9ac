"""State for new readers: as many whole rooms as fit into one record, and a large room with no other entry in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveroom.config.schema import RoomsConfig
from liveroom.engine import state_transfer as handover
from liveroom.engine.sizes import RECORD_HEAD_BYTES
from liveroom.engine.state_transfer import ROOMS_PER_RECORD_MAX, StateChunk, StateTransfer
from liveroom.features.coupon.messages import ClaimCoupon
from liveroom.features.showcase.messages import AddProduct
from liveroom.features.showcase.state import of as showcase_of
from liveroom.protocol.codec import encode
from liveroom.protocol.records import RECORD_VERSION, Record
from liveroom.rooms.room import RoomState
from liveroom.telemetry.metrics import Metrics
from tests.engine.full import ANCHOR, RULES, START_MS, Full, sender

BYTES_MAX = 600_000


def room_of(claims: int = 0, products: int = 0) -> RoomState:
    """A room with so many coupon codes that users own, and products of about 4.5 KB."""
    full = Full()
    for number in range(products):
        full.does(ANCHOR, AddProduct(full.product(number)))
    if claims:
        coupon = full.issues(stock=claims)
        for number in range(claims):
            full.does(sender(number), ClaimCoupon(coupon))
    return full.now


#: By codes and products: of one part and of several, smaller and larger than a record.
SOME_ROOMS = {(claims, products): room_of(claims, products) for claims in (0, 1, 400) for products in (0, 3, 60, 150)}


def state_transfer(rules: RoomsConfig = RULES) -> StateTransfer:
    return StateTransfer(rules, BYTES_MAX, Metrics().isolated)


def all_of(waiting: StateTransfer, rooms: dict[str, RoomState]) -> Iterator[StateChunk]:
    """Every record, in order."""
    while True:
        state_chunk = waiting.go_on() or (waiting.begin(rooms, START_MS) if waiting.waiting else None)
        if state_chunk is None:
            return
        yield state_chunk


def test_many_small_rooms_come_in_one_record() -> None:
    """A gateway that has just started asks for thousands of rooms: each costs a part of a record, and no room comes twice."""
    rooms = {f"room-{number}": room_of() for number in range(2 * ROOMS_PER_RECORD_MAX + 1)}
    waiting = state_transfer()
    for room in [*rooms, *rooms]:
        waiting.want(room, with_entitlements=True)
    records = list(all_of(waiting, rooms))
    assert [len(state_chunk.details) for state_chunk in records] == [ROOMS_PER_RECORD_MAX, ROOMS_PER_RECORD_MAX, 1]
    assert [one.keyframe.room for state_chunk in records for one in state_chunk.details] == list(rooms)


@given(st.lists(st.tuples(st.sampled_from([0, 1, 400]), st.sampled_from([0, 3, 60, 150]), st.booleans()), min_size=1, max_size=6))
def test_every_room_comes_whole_and_no_record_is_too_large(sizes: list[tuple[int, int, bool]]) -> None:
    """The chunks of what users own come before the detail that counts them; parts of a large room follow each other with no other room in between."""
    rooms = {f"room-{number}": SOME_ROOMS[claims, products] for number, (claims, products, _) in enumerate(sizes)}
    waiting = state_transfer()
    for room, (_, _, with_entitlements) in zip(rooms, sizes, strict=True):
        waiting.want(room, with_entitlements)
    told: dict[str, list[str]] = {}
    chunks_before: dict[str, int] = {}
    turns: list[str] = []
    for state_chunk in all_of(waiting, rooms):
        record = Record(RECORD_VERSION, 0, 0, 0, 0, 0, details=state_chunk.details, entitlements=state_chunk.entitlements)
        assert len(encode(record)) <= BYTES_MAX
        for chunk in state_chunk.entitlements:
            assert chunk.number == chunks_before.setdefault(chunk.room, 0)
            chunks_before[chunk.room] += 1
        for one in state_chunk.details:
            room = one.keyframe.room
            if not one.continues:
                assert one.entitlements == (chunks_before.get(room, 0) if sizes[list(rooms).index(room)][2] else None)
            told.setdefault(room, []).extend(product.id for product in one.products)
        turns += [
            room
            for room in dict.fromkeys([*(c.room for c in state_chunk.entitlements), *(d.keyframe.room for d in state_chunk.details)])
            if room not in turns[-1:]
        ]
    assert told == {room: list(showcase_of(state).products) for room, state in rooms.items()}
    assert len(turns) == len(rooms), "no room is begun, left and gone on with"


def test_a_room_that_cannot_be_told_keeps_no_other_from_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that raises nor one that is not known."""
    rooms = {f"room-{number}": room_of() for number in range(4)}
    told = handover.detail  # type: ignore[attr-defined]

    def detail(room: str, *rest: Any) -> object:
        if room == "room-1":
            raise ValueError("this room")
        return told(room, *rest)

    monkeypatch.setattr(handover, "detail", detail)
    waiting = state_transfer()
    for room in ("room-0", "room-1", "nowhere", "room-3"):
        waiting.want(room, with_entitlements=True)
    assert [one.keyframe.room for state_chunk in all_of(waiting, rooms) for one in state_chunk.details] == ["room-0", "room-3"]
    assert not waiting.waiting


def test_rooms_fill_a_record() -> None:
    """A record ends only where the next room would not fit."""
    rooms = {f"room-{number}": SOME_ROOMS[0, 60] for number in range(5)}  # about 270 KB each
    waiting = state_transfer()
    for room in rooms:
        waiting.want(room, with_entitlements=False)
    records = list(all_of(waiting, rooms))
    assert [len(state_chunk.details) for state_chunk in records] == [2, 2, 1]
    assert sum(len(encode(one)) for one in records[0].details) > (BYTES_MAX - RECORD_HEAD_BYTES) * 0.9
