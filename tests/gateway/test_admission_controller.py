"""Scarce things before real viewers: sockets, gateway, journal and engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from unittest.mock import ANY

from liveroom.config.schema import GatewayConfig
from liveroom.features.address_limits.messages import AddressCounted
from liveroom.features.coupon.messages import CouponTerms, IssueCoupon
from liveroom.features.flash_sale.messages import AnnounceFlashSale, CancelHold, ReserveStock
from liveroom.features.red_envelope.messages import DropRedEnvelope, EnvelopeCondition, GrabRedEnvelope
from liveroom.features.showcase.messages import AddProduct, Product
from liveroom.gateway.admission_controller import QUEUED_AFTER_S, AdmissionController
from liveroom.gateway.admission_queue import PLACES_PER_USER_MAX, AdmissionQueue
from liveroom.journal.command_sender import ReplyCallback
from liveroom.messages.fields import Role
from liveroom.protocol.commands import Command
from liveroom.protocol.frames import Accepted, Refused
from liveroom.protocol.records import Record, Request, Sender
from liveroom.telemetry.metrics import Metrics
from tests.gateway.place import Object, Place, Show, Viewer, running, show

PLATFORM = Sender("platform", "Platform", Role.platform)
LONG_MS = 3_600_000


async def made(place: Show, command: Command, name: str) -> int:
    """The number of the thing that an anchor's command made."""
    reply = await place.command(command)
    assert isinstance(reply, Accepted), reply
    return int(reply.result[name])


async def drop(place: Show, shares: int, total_fen: int = 10_000, **condition: int) -> int:
    """An envelope that is open at once."""
    command = DropRedEnvelope(total_fen, shares, opens_in_ms=0, open_for_ms=LONG_MS, condition=EnvelopeCondition(**condition))  # type: ignore[arg-type]
    return await made(place, command, "envelope")


async def announce(place: Show, stock: int) -> int:
    """A sale that is open at once."""
    assert isinstance(await place.command(AddProduct(Product("shirt", "Shirt", 100))), Accepted)
    return await made(place, AnnounceFlashSale("shirt", 100, stock, 1, 0, LONG_MS, LONG_MS), "sale")


async def answered(viewer: Viewer) -> Object:
    """The next reply."""
    while True:
        frame = await viewer.next()
        if frame["type"] in ("accepted", "refused"):
            return frame


async def test_three_hundred_viewers_grab_twenty_shares() -> None:
    """Exactly twenty win, their shares add up, every claim has one answer, and the engine gets few more than twenty."""
    shares, crowd = 20, 300
    async with show() as place, AsyncExitStack() as stack:
        envelope = await drop(place, shares)
        viewers = [await stack.enter_async_context(place.viewer(f"u{i}")) for i in range(crowd)]
        for viewer in viewers:
            await viewer.until("keyframe")
        before = place.decided()
        await asyncio.gather(*(viewer.send("grab_red_envelope", "grab", envelope=envelope) for viewer in viewers))
        replies = await asyncio.gather(*map(answered, viewers))
        won = [reply for reply in replies if reply["type"] == "accepted"]
        assert len(won) == shares
        assert sum(reply["result"]["amount_fen"] for reply in won) == 10_000
        assert {reply["code"] for reply in replies if reply["type"] == "refused"} == {"envelope_empty"}
        assert place.decided() - before <= shares + 16 + 50, "the audience is reported too"
        here = place.metric("claims_answered_here_total", code="envelope_empty")
        assert here >= crowd - shares - 16
        for viewer in viewers:  # one answer each: the next reply is that of the next command
            await viewer.send("send_likes", "after")
        assert {reply["id"] for reply in await asyncio.gather(*map(answered, viewers))} == {"after"}


async def test_personal_events_reach_all_connections_of_their_user_alone() -> None:
    """At once in a frame of their own; deltas hold nothing of them but their number."""
    async with show() as place, place.viewer("bob") as bob, place.viewer("bob") as phone, place.viewer("eve") as eve:
        for viewer in (bob, phone, eve):
            await viewer.until("keyframe")
        coupon = await made(place, IssueCoupon("Off", CouponTerms(10), 5), "coupon")
        reply = await bob.ask("claim_coupon", coupon=coupon)
        assert reply["type"] == "accepted"
        frame = await phone.until("personal")
        code = reply["result"]["code"]
        assert frame["event"] == {"type": "coupon_claimed", "coupon": coupon, "user": "bob", "code": code, "seq": frame["seq"]}
        assert frame["coupon"] == {"coupon": coupon, "title": "Off", "terms": {"amount_fen": 10}, "code": code, "valid_until_ms": ANY}
        assert frame["time_ms"] > 0
        await eve.send("send_likes", "last")
        frames = [await eve.next()]
        while frames[-1].get("id") != "last":
            frames.append(await eve.next())
        assert not any(frame["type"] == "personal" for frame in frames)
        assert not any(code in str(frame) for frame in frames)
        assert sum(frame.get("omitted", {}).get("personal", 0) for frame in frames if frame["type"] == "delta") == 1


async def test_who_waits_is_told_and_let_through_when_stock_comes_back() -> None:
    """A claim before a sale whose stock is held is queued; a repeated one, over a new connection, joins its place."""
    async with show() as place, place.viewer("bob") as bob:
        sale = await announce(place, 1)
        async with place.viewer("eve") as eve, place.viewer("zoe") as zoe:
            hold = (await bob.ask("reserve_stock", sale=sale))["result"]["hold"]
            await eve.send("reserve_stock", "mine", sale=sale)
            assert await eve.until("queued") == {"type": "queued", "id": "mine", "ahead": 0}
            await zoe.send("reserve_stock", "later", sale=sale)
            assert await zoe.until("queued") == {"type": "queued", "id": "later", "ahead": 1}
        async with place.viewer("eve") as eve:
            await eve.send("reserve_stock", "mine", sale=sale)
            assert await eve.until("queued") == {"type": "queued", "id": "mine", "ahead": 0}
            assert isinstance(await place.command(CancelHold(hold), sender=PLATFORM), Accepted)
            assert (await eve.until("personal"))["event"]["type"] == "stock_reserved"
            reply = await answered(eve)
            assert (reply["type"], reply["id"]) == ("accepted", "mine")


async def test_who_waits_in_vain_is_told_so() -> None:
    """The held units did not come back in time."""
    async with show(reply_wait_ms=300) as place, place.viewer("bob") as bob, place.viewer("eve") as eve:
        sale = await announce(place, 1)
        assert (await bob.ask("reserve_stock", sale=sale))["type"] == "accepted"
        reply = await eve.ask("reserve_stock", sale=sale)
        while reply["type"] == "queued":
            reply = await answered(eve)
        assert reply["code"] == "sold_out"
        assert reply["seq"] > 0


async def test_a_winner_gets_the_original_outcome_from_a_gateway_that_just_began() -> None:
    """Its answer was lost and everything is gone: the line is not the place to ask."""
    async with show() as place:
        envelope = await drop(place, 1)
        async with place.viewer("bob") as bob:
            await bob.send("grab_red_envelope", "grab", envelope=envelope)
            first = await answered(bob)
        gateway = running(GatewayConfig(port=0, drain_ms=0), place.journal, name="gateway-2")
        async with gateway as other, other.viewer("bob") as bob, other.viewer("eve") as eve:
            await bob.send("grab_red_envelope", "grab", envelope=envelope)
            assert await answered(bob) == first
            assert (await eve.ask("grab_red_envelope", envelope=envelope))["code"] == "envelope_empty"


async def test_watching_is_counted_from_the_oldest_connection_that_is_present() -> None:
    """A newcomer has watched for no time. A second connection does not reset the time; a lost one does."""
    async with show() as place:
        envelope = await drop(place, 5, watched_s=1)
        async with place.viewer("bob") as bob:
            await bob.until("keyframe")
            refused = await bob.ask("grab_red_envelope", envelope=envelope)
            assert refused["code"] == "condition_not_met"
            await place.clock.advance(1.1)
        async with place.viewer("bob") as bob:
            assert (await bob.ask("grab_red_envelope", envelope=envelope))["code"] == "condition_not_met"
            await place.clock.advance(1.1)
            async with place.viewer("bob") as phone:
                await phone.send("grab_red_envelope", "now", envelope=envelope)
                assert (await answered(phone))["type"] == "accepted"


async def test_users_of_one_address_are_counted_over_gateways_and_nobody_learns_the_address() -> None:
    """Neither viewers nor readers of the journal learn an address. A retry, even from elsewhere, gets the original outcome."""
    async with show(trusted_proxies=("127.0.0.0/8",)) as place:
        command = DropRedEnvelope(10_000, 5, opens_in_ms=0, open_for_ms=LONG_MS, users_per_address_max=1)
        envelope = await made(place, command, "envelope")
        gateway = running(GatewayConfig(port=0, drain_ms=0, trusted_proxies=("127.0.0.0/8",)), place.journal, name="gateway-2")
        frames: list[Object] = []

        async def grab(there: Place, user: str, address: str) -> str:
            async with there.viewer(user, forwarded_for=address) as viewer:
                await viewer.send("grab_red_envelope", "grab", envelope=envelope)
                while not frames or frames[-1]["type"] not in ("accepted", "refused"):
                    frames.append(await viewer.next())
                reply = frames.pop()
                return str(reply.get("code", reply["type"]))

        async with gateway as other, place.viewer("eve", forwarded_for="203.0.113.200") as eve:
            assert await grab(place, "ann", "2001:db8:1:2::7") == "accepted"
            assert await grab(other, "ben", "2001:db8:1:2::8") == "address_limit"
            assert await grab(other, "ben", "2001:db8:1:3::8") == "address_limit", "the outcome of this id"
            assert await grab(other, "cat", "2001:db8:1:3::8") == "accepted"
            assert await grab(other, "ann", "2001:db8:1:4::8") == "accepted", "the outcome of this id"
            await eve.send("send_likes", "last")
            while not frames or frames[-1].get("id") != "last":
                frames.append(await eve.next())
        counted: list[AddressCounted] = []
        for partition in range(place.journal.partitions):
            end = await place.journal.events_end(partition)
            async for stored in place.journal.read_events(partition, 0):
                assert "2001:" not in str(stored.entry)
                if isinstance(stored.entry, Record):
                    counted += [event for span in stored.entry.rooms.values() for event in span.events if isinstance(event, AddressCounted)]
                if stored.offset == end - 1:
                    break
        assert [event.user for event in counted] == ["ann", "cat"]
        assert not any(event.address_hash in str(frames) or "address_counted" in str(frames) for event in counted)


async def test_nothing_is_said_about_addresses_without_a_limit() -> None:
    """Without a limit no address is written down, not even as a hash."""
    async with show() as place, place.viewer("bob") as bob:
        envelope = await drop(place, 2)
        await bob.until("delta")
        sent: list[Request] = []
        send = place.journal.send_commands

        async def seen(partition: int, requests: Sequence[Request]) -> None:
            sent.extend(requests)
            await send(partition, requests)

        place.journal.send_commands = seen  # type: ignore[method-assign]
        assert (await bob.ask("grab_red_envelope", envelope=envelope))["type"] == "accepted"
        assert [request.sender.address_hash for request in sent if request.sender.user == "bob"] == [""]


class Engine:
    """A command sender whose answers the test controls."""

    def __init__(self) -> None:
        self.asked: list[tuple[Request, ReplyCallback]] = []

    def submit(self, request: Request, on_reply: ReplyCallback) -> None:
        self.asked.append((request, on_reply))


def test_only_who_waits_for_long_is_told_so() -> None:
    """A command with an answer by then gets no notice. The others get one each, in batches of bounded size."""
    now, engine = [0.0], Engine()
    told: list[tuple[str, int]] = []

    def tell(user: str, ahead: int) -> None:
        told.append((user, ahead))

    claims = AdmissionController(engine, Metrics(), lambda: now[0], count=2)  # type: ignore[arg-type]
    queue = AdmissionQueue("envelope_empty", 1, 10.0, once=True)
    queue.mark_complete()
    queue.set_stock(1)
    for user in ("u1", "u2", "u3", "u4", "u5", "u6"):
        request = Request("c1", "room-1", Sender(user, user), GrabRedEnvelope(1))
        claims.claim(queue, request, 1, lambda reply: None, partial(tell, user))
    assert [request.sender.user for request, _ in engine.asked] == ["u1", "u2"]
    claims.tidy()
    assert told == [], "nobody has waited yet"
    engine.asked[0][1](Refused("c1", "condition_not_met", "later"))
    now[0] = QUEUED_AFTER_S
    claims.tidy()
    assert told == [("u4", 0), ("u5", 1)], "u3 went on meanwhile"
    claims.tidy()
    claims.tidy()
    assert told == [("u4", 0), ("u5", 1), ("u6", 2)]


def test_one_user_has_a_few_places_in_a_line() -> None:
    """Under ids of its own, over however many connections: more are refused at once, and no other user waits longer for them."""
    engine, told = Engine(), list[tuple[str, str]]()
    claims = AdmissionController(engine, Metrics(), lambda: 0.0, count=100)  # type: ignore[arg-type]
    queue = AdmissionQueue("sold_out", 1, 10.0, returns=True)
    queue.mark_complete()
    queue.set_stock(0, held=1)

    def on_reply(user: str, command_id: str) -> Callable[[Accepted | Refused], None]:
        return lambda reply: told.append((user, f"{command_id} {getattr(reply, 'code', 'accepted')}"))

    for n in range(10):
        claims.claim(queue, Request(f"c{n}", "room-1", Sender("pest", "pest"), ReserveStock(1)), 1, on_reply("pest", f"c{n}"), lambda ahead: None)
    assert told == [("pest", f"c{n} overloaded") for n in range(PLACES_PER_USER_MAX, 10)]
    claims.claim(queue, Request("c1", "room-1", Sender("vera", "Vera"), ReserveStock(1)), 1, on_reply("vera", "c1"), lambda ahead: None)
    queue.set_stock(PLACES_PER_USER_MAX + 1)
    claims.drain(queue)
    claims.drain(queue)
    assert [request.sender.user for request, _ in engine.asked] == ["pest"] * PLACES_PER_USER_MAX + ["vera"]
    claims.claim(queue, Request("c20", "room-1", Sender("pest", "pest"), ReserveStock(1)), 1, on_reply("pest", "c20"), lambda ahead: None)
    assert len(told) == 10 - PLACES_PER_USER_MAX, "places that were left are free again"
