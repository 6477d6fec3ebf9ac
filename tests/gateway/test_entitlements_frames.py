"""Entitlements come with every join: through real sockets, read by the client's own rules."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from liveroom.auth.tokens import TokenChecker
from liveroom.client.backlog import Backlog
from liveroom.client.items import PersonalEvent, decode_frame
from liveroom.client.stream import Stream
from liveroom.config.schema import AuthConfig, GatewayConfig
from liveroom.features.chat.messages import ChatSent
from liveroom.features.coupon.entitlements import CouponWorth, OwnedCoupon
from liveroom.features.coupon.messages import CouponClaimed, CouponIssued, CouponTerms
from liveroom.features.flash_sale.entitlements import BoughtUnits
from liveroom.features.flash_sale.messages import HoldConfirmed, StockReserved
from liveroom.features.lifecycle.messages import SetAnnouncement
from liveroom.features.red_envelope.entitlements import GrabbedShare, Share
from liveroom.features.red_envelope.messages import RedEnvelopeGrabbed
from liveroom.features.showcase.messages import AddProduct, Product
from liveroom.features.state import RoomState
from liveroom.gateway.gateway import Gateway
from liveroom.gateway.replay_buffer import ReplayBuffer
from liveroom.gateway.room import HeldRoom
from liveroom.journal.partition import partition_of
from liveroom.protocol.entitlements import EntitlementsChunk
from liveroom.protocol.frames import Entitlements, RoomDetail
from liveroom.protocol.records import RECORD_VERSION, Record
from liveroom.telemetry.metrics import Metrics
from tests.gateway.place import ROOM, SECRET, WAIT_S, Place, Show, raw, read_frame, running, scripted, show
from tests.trades import BUYERS, KINDS, Trade, in_order, owned, trade_command

CODE = "K7Q2MZ4XW3NB5RTA"
#: Fewer than a gateway lets a user have.
CONNECTIONS_EACH = 3


class Follower:
    """A client's knowledge from these frames, by the rules of the protocol."""

    def __init__(self) -> None:
        self.stream = Stream()
        self.known = Backlog(100_000)
        self.types: list[str] = []
        self.personal: list[int] = []
        self.due = False  # entitlements must follow a keyframe, or a join that needed none

    def hear(self, text: bytes | str) -> None:
        frame = decode_frame(text)
        assert frame is not None
        self.types.append(str(frame.__struct_config__.tag))
        self.due = self.types[-1] in ("joined", "keyframe") or (self.due and self.types[-1] != "entitlements")
        self.known.add(self.stream.receive(frame))
        while (item := self.known.take()) is not None:
            if isinstance(item, PersonalEvent):
                self.personal.append(item.seq)

    @property
    def entitlements(self) -> Entitlements:
        assert self.known.entitlements is not None
        return self.known.entitlements

    async def until(self, announcement: str) -> None:
        """Wait until the room says so, and all that belongs to that has come."""
        async with asyncio.timeout(WAIT_S):
            while self.due or self.known.state is None or self.known.state.announcement != announcement:
                await asyncio.sleep(0.005)

    async def knows(self, place: Show, user: str) -> None:
        """Right now it knows what its user owns, unless time did something of which it has yet to hear, such as end a hold."""
        async with asyncio.timeout(WAIT_S):
            while in_order(self.entitlements) != (mine := in_order(owned(state_of(place), user))):
                assert (self.stream.cursor or 0) < state_of(place).seq, f"{user}: {in_order(self.entitlements)} and not {mine}"
                await asyncio.sleep(0.005)


@asynccontextmanager
async def following(place: Place, user: str, follower: Follower | None = None) -> AsyncIterator[Follower]:
    """A connection of `user`; with `follower`, one that resumes."""
    follower = follower or Follower()
    where: dict[str, Any] = {} if follower.stream.cursor is None else {"stream_id": follower.stream.stream_id, "seq": follower.stream.cursor}
    async with place.viewer(user, **where) as viewer:

        async def read() -> None:
            async for text in viewer.socket:
                follower.hear(text)

        reading = asyncio.create_task(read())
        try:
            yield follower
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            if not reading.cancelled():
                reading.result()


async def market(place: Show) -> None:
    """Two products, and something of each kind."""
    for number in (1, 2):
        await place.command(AddProduct(Product(f"p{number}", "Thing", 100)))
    for kind in ("drop", "issue", "announce"):
        await trade(place, Trade(kind, 0, 0, 3))


async def trade(place: Show, one: Trade) -> None:
    sender, command = trade_command(state_of(place), one)
    await place.command(command, sender=sender)


def state_of(place: Show) -> RoomState:
    """The engine's own."""
    return place.engine._owners[partition_of(ROOM, place.journal.partitions)]._state.rooms[ROOM]


async def test_whatever_happens_every_connection_knows_what_its_user_owns() -> None:
    """Random trades while users come, go and resume, at two gateways, with up to three connections each: all know what the rules say, exactly."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    small = GatewayConfig(port=0, drain_ms=0, ring_frames_max=16, replay_events_max=40)
    async with show() as place, running(small, place.journal, name="gateway-2") as other:
        await market(place)
        for round_ in range(6):
            await _round(place, other, chance, f"round {round_}")


async def _round(place: Show, other: Place, chance: random.Random, words: str) -> None:
    here: list[tuple[str, Any, Follower]] = []
    gone: list[tuple[str, Follower]] = []
    for _ in range(60):
        turn = chance.random()
        if turn < 0.7:
            kinds = [kind for kind in KINDS if not kind.startswith("wait") and kind != "close the room"]
            await trade(place, Trade(chance.choice(kinds), chance.randrange(3), chance.randrange(30), chance.randrange(4)))
        elif turn < 0.88 and len(here) < CONNECTIONS_EACH * len(BUYERS):
            user = chance.choice([one.user for one in BUYERS if sum(user == one.user for user, *_ in here) < CONNECTIONS_EACH])
            come_back = [one for one in gone if one[0] == user]
            follower = gone.pop(gone.index(come_back[0]))[1] if come_back and chance.random() < 0.7 else None
            manager = following(chance.choice([place, other]), user, follower)
            here.append((user, manager, await manager.__aenter__()))
        elif here:
            user, manager, follower = here.pop(chance.randrange(len(here)))
            await manager.__aexit__(None, None, None)
            if follower.stream.cursor is not None:
                gone.append((user, follower))
    await place.command(SetAnnouncement(words))
    for user, manager, follower in here:
        await follower.until(words)
        await follower.knows(place, user)
        assert follower.personal == sorted(set(follower.personal)), "none is told twice"
        await manager.__aexit__(None, None, None)


async def test_every_way_in_tells_what_is_owned() -> None:
    """A first join, a resumed one, one at a gateway that has just begun, and one after the room was let go: each is followed by it once."""
    async with show(room_idle_ms=0) as place:
        await market(place)
        for kind in ("claim", "grab", "reserve", "confirm", "reserve"):
            await trade(place, Trade(kind, 0, 0, 0))
        user = BUYERS[0].user
        mine = in_order(owned(state_of(place), user))
        assert mine.shares
        assert mine.coupons
        assert mine.holds
        assert mine.bought
        async with following(place, user) as first:
            await _until_entitlements(first, 1)
            assert first.types[:3] == ["joined", "keyframe", "entitlements"]
        async with following(place, "eve") as eve, following(place, user, first) as again:
            await _until_entitlements(again, 2)
            await _until_entitlements(eve, 1)
            assert again.types[3:5] == ["joined", "entitlements"]
            async with running(GatewayConfig(port=0, drain_ms=0), place.journal, name="gateway-2") as other, following(other, user) as there:
                await _until_entitlements(there, 1)
        for follower in (first, again, there):
            assert in_order(follower.entitlements) == mine
        assert in_order(eve.entitlements) == Entitlements(0)


async def _until_entitlements(follower: Follower, count: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while follower.types.count("entitlements") < count:
            await asyncio.sleep(0.005)


async def test_a_viewer_that_fell_off_the_ring_loses_nothing_that_it_owns() -> None:
    """A viewer that fell behind jumps to a keyframe and gets its entitlements. Personal events on the way count once."""
    settings = {"socket_send_bytes": 4_096, "ring_frames_max": 32, "tick_ms_min": 1, "tick_ms_max": 1}
    async with scripted(**settings) as (place, script), place.viewer("eve") as eve:
        await eve.until("entitlements")
        client = await raw(place, "vera", recv_buffer=4_096)
        issued = script.seq
        await script.emit(CouponIssued("Less", CouponTerms(5), 50, 50, 1, 9, "anna"))
        for number in range(60):
            hold = script.seq
            await script.emit(StockReserved(0, "vera", 1, 99, 100), HoldConfirmed(0, hold, "vera", 1, 0, 100, "p"))
            await script.emit(*[ChatSent("bob", "Bob", "x" * 300) for _ in range(3)], with_keyframe=number % 10 == 9)
            await eve.events(3)
        await script.emit(CouponClaimed(issued, "vera", CODE), RedEnvelopeGrabbed(7, "vera", "V", 5, 1, 1))
        await eve.events(1)
        await script.emit(with_keyframe=True)
        follower = Follower()
        await _read_up_to(client, follower, script.seq)
        client.close()
        assert follower.types.count("skipped") >= 1
        assert follower.entitlements.bought == {0: 60}
        assert [coupon.code for coupon in follower.entitlements.coupons] == [CODE]
        assert (follower.entitlements.shares, follower.entitlements.holds) == ((Share(7, 5),), ())


async def _read_up_to(client: socket.socket, follower: Follower, seq: int) -> None:
    while follower.stream.cursor is None or follower.stream.cursor < seq or follower.types[-1] == "keyframe":
        follower.hear(orjson.dumps(await read_frame(client)))


SHARES = EntitlementsChunk("", "", 0, 0, shares=(GrabbedShare(3, "vera", 11),))
REST = EntitlementsChunk("", "", 0, 1, coupons=(CouponWorth(4, "Less", CouponTerms(5), 9),), bought=(BoughtUnits(5, "vera", 2),))


async def test_a_gap_is_healed_by_what_the_engine_hands_over() -> None:
    """Viewers that skip to the keyframe know afterwards what happened in the gap; before that no viewer is let in."""
    async with scripted() as (place, script), following(place, "vera") as vera:
        await _until_entitlements(vera, 1)
        assert vera.entitlements == Entitlements(script.seq)
        script.chunks = (SHARES, REST)
        await script.emit(ChatSent("a", "A", "after the gap"), lost=5)
        await _until_entitlements(vera, 2)
        assert vera.types[-2:] == ["keyframe", "entitlements"]
        assert vera.entitlements == Entitlements(script.seq, shares=(Share(3, 11),), bought={5: 2})
        await script.emit(CouponClaimed(4, "vera", CODE))
        async with asyncio.timeout(WAIT_S):
            while not vera.personal:
                await asyncio.sleep(0.005)
        assert vera.entitlements.coupons == (OwnedCoupon(4, "Less", CouponTerms(5), CODE, 9),)


async def test_a_keyframe_beyond_a_gap_is_not_enough() -> None:
    """It does not say what users own: the gateway asks for what does, and only then lets viewers go on."""
    async with scripted() as (place, script), following(place, "vera") as vera:
        await _until_entitlements(vera, 1)
        script.chunks = (SHARES,)
        script.answering = False
        script.seq += 5
        await script.emit(with_keyframe=True)
        async with asyncio.timeout(WAIT_S):
            while script.asked_with != [True, True]:
                await asyncio.sleep(0.005)
        assert vera.types.count("keyframe") == 1
        await script.transfer_state(True)
        await _until_entitlements(vera, 2)
        assert vera.types[-3:] == ["skipped", "keyframe", "entitlements"]
        assert vera.entitlements == Entitlements(script.seq, shares=(Share(3, 11),))


async def test_what_takes_long_to_come_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While chunks arrive, the gateway waits; a second hand-over would only make it longer."""
    async with scripted() as (place, script):
        script.chunks = tuple(replace(SHARES, number=number, shares=(GrabbedShare(number, "vera", 1),)) for number in range(8))

        async def slowly(with_entitlements: bool) -> None:
            for chunk in script.chunks:
                await script.chunk(chunk)
                await place.clock.advance(0.3)
            await script._append(details=(RoomDetail(script.keyframe(), entitlements=len(script.chunks)),))

        monkeypatch.setattr(script, "transfer_state", slowly)
        async with following(place, "vera") as vera:
            await _until_entitlements(vera, 1)
            assert len(vera.entitlements.shares) == 8
        assert script.keyframes_asked == 1


async def test_a_state_transfer_that_was_cut_off_is_forgotten() -> None:
    """An engine that lost its partition in the middle leaves chunks without a detail; the next engine starts over."""
    async with scripted() as (place, script):
        script.answering = False
        async with following(place, "vera") as vera:
            async with asyncio.timeout(WAIT_S):
                while not script.keyframes_asked:
                    await asyncio.sleep(0.005)
            await script.chunk(SHARES)
            script.chunks = (SHARES, REST)
            await script.transfer_state(True)
            await _until_entitlements(vera, 1)
            assert (vera.entitlements.shares, vera.entitlements.bought) == ((Share(3, 11),), {5: 2})


async def test_who_goes_on_from_the_past_is_told_too() -> None:
    """If a restarted room's buffer reaches back to a viewer's cursor, the viewer goes on without a keyframe, and knows its entitlements."""
    async with scripted() as (place, script), following(place, "vera") as vera:
        await _until_entitlements(vera, 1)
        script.chunks = (SHARES,)
        place.gateway._hub.rooms[ROOM].lost = True
        await script.say(1)
        await _until_entitlements(vera, 2)
        assert vera.types.count("keyframe") == 1
        assert vera.entitlements == Entitlements(script.seq, shares=(Share(3, 11),))


async def test_a_room_begins_when_all_is_there() -> None:
    """A hand-over of which a chunk is missing, or one that was asked for by somebody else, lets nobody in; the gateway asks until it has it all."""
    async with scripted() as (place, script):
        script.answering = False
        async with following(place, "vera") as vera:
            async with asyncio.timeout(WAIT_S):
                while not script.keyframes_asked:
                    await asyncio.sleep(0.005)
            script.answering, script.chunks, script.chunks_lost = True, (SHARES, REST), 1
            await script.transfer_state(False)
            await _until_entitlements(vera, 1)
            assert vera.types == ["joined", "keyframe", "entitlements"]
            assert vera.entitlements.bought == {5: 2}
        assert script.asked_with == [True, True, True], "the second one lost a chunk, the third did not"


async def test_a_room_does_not_begin_with_the_past() -> None:
    """While a gateway reads what happened before it started, details that others asked for then begin nothing: viewers would see the past."""
    async with scripted() as (place, script):
        script.answering = False
        async with following(place, "vera") as vera:
            async with asyncio.timeout(WAIT_S):
                while not script.keyframes_asked:
                    await asyncio.sleep(0.005)
            chunk = replace(REST, room=ROOM, stream_id=script.stream_id, seq=script.seq, number=0)
            alone = {"details": (RoomDetail(script.keyframe(), entitlements=0),)}
            transferred = {"entitlements": (chunk,)}, {"details": (RoomDetail(script.keyframe(), entitlements=1),)}
            for current, contents in ((False, (alone, *transferred)), (True, transferred)):
                for content in contents:
                    place.gateway._hub.take(Record(RECORD_VERSION, 0, 0, 0, 0, 1, **content), ReplayBuffer(0, 0), current=current)
                assert bool(place.gateway._hub.rooms[ROOM].live) is current
            await _until_entitlements(vera, 1)
            assert vera.entitlements.bought == {5: 2}


async def test_what_others_asked_for_before_a_gateway_started_is_the_past() -> None:
    """A room that is held while the journal's past is read does not begin with a detail of then."""
    async with scripted() as (place, script):
        async with following(place, "vera") as vera:
            await _until_entitlements(vera, 1)
        await script.say(2)
        config, checker = GatewayConfig(port=0, drain_ms=0), TokenChecker(AuthConfig(), SECRET)
        gateway = Gateway(script.journal, config, checker, name="gateway-2", metrics=Metrics(), address_key=b"k" * 32)
        room = gateway._hub.rooms[ROOM] = HeldRoom(ROOM, GatewayConfig(), Metrics())
        await gateway.start()
        async with asyncio.timeout(WAIT_S):
            while not gateway._follower.caught_up:
                await asyncio.sleep(0.005)
        assert not room.live
        await script.transfer_state(True)
        async with asyncio.timeout(WAIT_S):
            while not room.live:
                await asyncio.sleep(0.005)
        await gateway.drain()


async def test_a_live_room_is_not_handed_over_again() -> None:
    """A keyframe for other readers, or for the ring, does not carry entitlements, and does not change them."""
    async with scripted(ring_frames_max=16, tick_ms_min=1, tick_ms_max=1) as (place, script), following(place, "vera") as vera:
        await _until_entitlements(vera, 1)
        script.chunks = (SHARES,)
        await script.emit(RedEnvelopeGrabbed(9, "vera", "V", 5, 1, 1))
        await script.transfer_state(True)
        for _ in range(30):
            await script.say(1)
            await place.until_broadcast(script.seq)
        async with following(place, "vera") as phone:
            await _until_entitlements(phone, 1)
            assert phone.entitlements.shares == (Share(9, 5),)
        assert script.asked_with[0]
        assert len(script.asked_with) > 1
        assert not any(script.asked_with[1:])
