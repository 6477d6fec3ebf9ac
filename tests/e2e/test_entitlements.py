"""Users' entitlements through SIGKILLs: the real client's state equals the journal's events."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from liveroom.client import CommandRefused, CommandUnanswered, Room, connect
from liveroom.config.schema import Config, EngineConfig
from liveroom.engine.partition import PartitionState
from liveroom.features.coupon.entitlements import OwnedCoupon
from liveroom.features.coupon.messages import ClaimCoupon, CouponTerms
from liveroom.features.flash_sale.entitlements import OwnedHold
from liveroom.features.flash_sale.messages import CancelHold, ReserveStock
from liveroom.features.red_envelope.entitlements import Share
from liveroom.features.red_envelope.messages import GrabRedEnvelope
from liveroom.features.state import RoomState
from liveroom.journal.acceptance import Verdict
from liveroom.journal.stored_log import open_stored_log
from liveroom.messages.fields import Role
from liveroom.protocol.commands import Command
from liveroom.protocol.frames import Entitlements
from tests.serving import Server
from tests.trades import in_order, owned

ROOM = "demo"
USERS = ("vera", "victor", "bella")
LONG_MS = 3_600_000
KILLS = 4
#: Fewer would be no load.
ACCEPTED_MIN = 100
WAIT_S = 30
#: High limits per user, so that the server that is started last accepts something, too.
ENDLESS = ("--gateway-commands-per-s", "1000", "--rooms-unpaid-holds-per-user-max", "1000")


async def made(server: Server, command: str, name: str = "", role: Role = Role.anchor, **body: Any) -> Any:
    """A command of those who run the room, over HTTP; what it made."""
    answer = await server.command(ROOM, command, body, role=role, user="anna" if role is Role.anchor else "shop")
    assert answer["http_status"] == 200, answer
    return answer["result"].get(name)


async def offer(server: Server) -> tuple[int, int, int]:
    """An envelope, a coupon and a sale that are open for long."""
    envelope = await made(server, "drop_red_envelope", "envelope", total_fen=9_000, shares=50, opens_in_ms=0, open_for_ms=LONG_MS)
    coupon = await made(
        server, "issue_coupon", "coupon", title="Less", terms={"amount_fen": 10}, stock=500, per_user_max=60, claimable_ms=LONG_MS, valid_ms=LONG_MS
    )
    sale = await made(
        server,
        "announce_flash_sale",
        "sale",
        product="p1",
        price_fen=100,
        stock=900,
        per_user_max=60,
        opens_in_ms=0,
        open_for_ms=LONG_MS,
        hold_ms=LONG_MS,
    )
    return envelope, coupon, sale


async def begin(server: Server) -> None:
    await made(server, "open_room", title="Sale")
    await made(server, "add_product", product={"id": "p1", "title": "Lamp", "price_fen": 100})


def room_of(server: Server, user: str) -> Room:
    return connect(server.gateway_url, ROOM, lambda: server.token(ROOM, user), join_timeout_s=WAIT_S, backoff_max_s=1)


async def follow(room: Room) -> None:
    """Take every item, so that `room.entitlements` is as new as can be."""
    async for _ in room:
        pass


async def until_owned(room: Room, mine: Entitlements) -> None:
    try:
        async with asyncio.timeout(WAIT_S):
            while in_order(room.entitlements) != mine:
                await asyncio.sleep(0.01)
    except TimeoutError:
        assert in_order(room.entitlements) == mine


async def test_everything_is_back_exactly_once_after_a_sigkill(tmp_path: Path) -> None:
    """Two connections of a buyer know all entitlements; after kill -9 so do the resumed ones, the others and a new one."""
    async with Server(tmp_path / "data") as server, AsyncExitStack() as stack:
        await begin(server)
        envelope, coupon, sale = await offer(server)
        laptop, phone = [await stack.enter_async_context(room_of(server, "vera")) for _ in range(2)]
        reading = [asyncio.create_task(follow(room)) for room in (laptop, phone)]
        grabbed = await laptop.send(GrabRedEnvelope(envelope))
        code = (await phone.send(ClaimCoupon(coupon))).result["code"]
        first = await laptop.send(ReserveStock(sale, 2))
        await made(server, "confirm_hold", role=Role.platform, hold=first.result["hold"], payment="pay-1", quantity=1)
        second = (await phone.send(ReserveStock(sale, 3, str(code)))).result
        hold = OwnedHold(int(second["hold"]), sale, 3, int(second["until_ms"]), 290, 10, str(code))
        valid_until_ms = laptop.state.coupons[0].valid_until_ms
        mine = Entitlements(
            0,
            shares=(Share(envelope, int(grabbed.result["amount_fen"])),),
            coupons=(OwnedCoupon(coupon, "Less", CouponTerms(10), str(code), valid_until_ms, f"hold-{hold.hold}"),),
            holds=(hold,),
            bought={sale: 1},
        )
        for room in (laptop, phone):
            await until_owned(room, mine)
        await server.kill()
        await server.start()
        async with room_of(server, "vera") as fresh, room_of(server, "victor") as other:
            assert in_order(fresh.entitlements) == mine
            assert in_order(other.entitlements) == Entitlements(0)
            reading.append(asyncio.create_task(follow(fresh)))
            await made(server, "confirm_hold", role=Role.platform, hold=hold.hold, payment="pay-2")
            for room in (laptop, phone, fresh):
                await until_owned(room, Entitlements(0, shares=mine.shares, coupons=mine.coupons, bought={sale: 4}))
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


async def test_kills_at_random_moments_leave_nobody_with_a_wrong_idea(tmp_path: Path) -> None:
    """While everybody buys, claims and cancels, the server is killed again and again; in the end each connection owns what the journal says."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with Server(tmp_path / "data", *ENDLESS) as server, AsyncExitStack() as stack:
        await begin(server)
        things = await offer(server)
        rooms = [(user, await stack.enter_async_context(room_of(server, user))) for user in USERS for _ in range(2)]
        stopping, accepted = asyncio.Event(), Counter[str]()
        tasks = [asyncio.create_task(follow(room)) for _, room in rooms]
        buyers = [asyncio.create_task(_buy(room, things, random.Random(chance.random()), accepted, stopping)) for _, room in rooms]
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.2, 0.8))
            await server.kill()
            await server.start()
        enough = max(ACCEPTED_MIN, accepted.total() + len(rooms))
        async with asyncio.timeout(60):
            while accepted.total() < enough:  # also by the server that was started last
                await asyncio.sleep(0.05)
            stopping.set()
            await asyncio.gather(*buyers)
        await made(server, "set_announcement", text="closed")
        for _, room in rooms:
            async with asyncio.timeout(WAIT_S):
                while room.state.announcement != "closed":
                    await asyncio.sleep(0.01)
        known = [(user, room.entitlements) for user, room in rooms]
        for user in USERS:
            async with room_of(server, user) as fresh:
                known.append((user, fresh.entitlements))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    state = await asyncio.to_thread(_state, server.config)
    for user, mine in known:
        assert in_order(mine) == in_order(owned(state, user)), f"seed {seed}: {user}"


async def _buy(room: Room, things: tuple[int, int, int], chance: random.Random, accepted: Counter[str], stopping: asyncio.Event) -> None:
    """Take this and that, one after the other, and count what was accepted."""
    envelope, coupon, sale = things
    while not stopping.is_set():
        unused = [one.code for one in room.entitlements.coupons if not one.order]
        commands: list[Command] = [
            GrabRedEnvelope(envelope),
            ClaimCoupon(coupon),
            ReserveStock(sale),
            ReserveStock(sale, 2, chance.choice([*unused, ""])),
            *(CancelHold(hold.hold) for hold in room.entitlements.holds[:1]),
        ]
        try:
            await room.send(command := chance.choice(commands))
            accepted[type(command).__name__] += 1
        except (CommandRefused, CommandUnanswered):
            await asyncio.sleep(0.01)


def _state(config: Config) -> RoomState:
    """The room by the journal."""
    with open_stored_log(config) as stored_log:
        for partition in range(stored_log.partitions):
            state = PartitionState(EngineConfig())
            for stored in stored_log.entries(partition):
                if state.acceptance.judge(stored.offset, stored.entry) is Verdict.accepted:
                    state.fold(stored.entry)  # type: ignore[arg-type]
            if ROOM in state.rooms:
                return state.rooms[ROOM]
    raise AssertionError("the room is in no partition")
