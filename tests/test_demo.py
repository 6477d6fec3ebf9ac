"""The demo: what `make run` shows."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import aiohttp
import pytest

from liveroom.client import PersonalEvent, Room, RoomEvent, connect
from liveroom.demo.checkout import HOLDS_OPEN_MAX, PAY_AFTER_MS, PAY_AGAIN_MS, OpenHolds
from liveroom.features.chat.messages import ChatSent
from liveroom.features.coupon.messages import CouponLeft
from liveroom.features.flash_sale.messages import HoldConfirmed, HoldExpired, ReserveStock, StockChanged, StockReserved
from liveroom.features.red_envelope.messages import RedEnvelopeDropped, RedEnvelopeGrabbed
from liveroom.messages.fields import Role
from tests.serving import Server

#: The demo with its waits a tenth as long.
HURRIED = (sys.executable, str(Path(__file__).parent / "hurried_demo.py"))


async def test_the_demo_room_is_live_and_its_links_work_again_after_a_kill(tmp_path: Path) -> None:
    """`serve --demo` prints links with tokens; the room has products and people who talk; after SIGKILL it goes on as the same room."""
    async with Server(tmp_path / "data", "--demo") as server:
        links = re.findall(r"http://\S+#token=\S+", server.log.read_text())
        assert len(links) == 3
        assert "/console/demo#" in links[0]
        token = links[1].partition("#token=")[2]
        async with asyncio.timeout(60), connect(server.gateway_url, "demo", token) as room:
            stream_id = room.joined.stream_id
            while room.state.pinned is None:  # the anchor furnishes the room: products, an announcement, a pin
                await anext(room)
            await room.send_chat("hello from a visitor")
            assert (await server.command("demo", "set_announcement", {"text": "ours"}, user="anchor-demo"))["http_status"] == 200
            async for item in room:
                if isinstance(item, RoomEvent) and isinstance(item.event, ChatSent) and item.event.user.startswith("demo-"):
                    break
        await server.kill()
        await server.start()
        async with asyncio.timeout(60), connect(server.gateway_url, "demo", token) as room:
            assert room.joined.stream_id == stream_id
            assert room.state.showcase_count == 5
            assert room.state.announcement == "ours", "the demo furnishes a new room only"
            assert any(line.text == "hello from a visitor" for line in room.state.chat)
        assert await server.stop() == 0
        assert "Traceback" not in server.log.read_text()
        assert "left" not in server.log.read_text(), "a simulated person stumbled"


async def test_a_visitor_buys_and_the_shop_takes_the_payment_also_after_a_kill(tmp_path: Path) -> None:
    """A visitor's hold is paid after some seconds, one that a kill left open too; and the demo's people go on buying in a sale that still runs."""
    async with Server(tmp_path / "data", "--demo") as server:
        product = {"id": "cup", "title": "Cup", "price_fen": 1_000}
        assert (await server.command("demo", "add_product", {"product": product}))["http_status"] == 200
        terms = {"product": "cup", "price_fen": 500, "stock": 400, "per_user_max": 2, "opens_in_ms": 0, "open_for_ms": 600_000, "hold_ms": 60_000}
        sale = (await server.command("demo", "announce_flash_sale", terms))["result"]["sale"]
        token = server.token("demo", "visitor-1", Role.viewer)
        async with asyncio.timeout(30), connect(server.gateway_url, "demo", token) as room:
            first = (await room.send(ReserveStock(sale))).result["hold"]
            paid = await _paid(room)
            assert (paid.hold, paid.payment) == (first, f"demo-{first}")
            second = (await room.send(ReserveStock(sale))).result["hold"]
        await server.kill()
        await server.start()
        async with asyncio.timeout(60), connect(server.gateway_url, "demo", token) as room:
            sold = next(view.sold for view in room.state.sales if view.sale == sale)
            wanted = {"paid", "sold"}
            async for item in room:
                match item:
                    case PersonalEvent(event=HoldConfirmed(hold=hold)) if hold == second:
                        wanted.discard("paid")
                    case RoomEvent(event=StockChanged(sale=changed, sold=now_sold)) if changed == sale and now_sold > sold + 1:
                        wanted.discard("sold")
                if room.entitlements.bought.get(sale) == 2:  # it may have been paid before this connection was there
                    wanted.discard("paid")
                if not wanted:
                    break
        assert await server.stop() == 0
        assert "Traceback" not in server.log.read_text()


async def _paid(room: Room) -> HoldConfirmed:
    """The next payment of this user's."""
    async for item in room:
        if isinstance(item, PersonalEvent) and isinstance(item.event, HoldConfirmed):
            return item.event
    raise AssertionError("the room ended")


def test_open_holds_are_due_until_something_resolves_them() -> None:
    """A visitor's hold is due after its time, and again until an event resolves it; a simulated viewer's never; memory is bounded."""
    holds = OpenHolds(lambda user: not user.startswith("demo-"))
    for seq, user in ((7, "vera"), (8, "demo-3"), (9, "bob")):
        holds.apply(1_000, seq, StockReserved(sale=1, user=user, quantity=1, until_ms=99_000, due_fen=1))
    assert holds.due(1_000 + PAY_AFTER_MS - 1) == []
    assert holds.due(1_000 + PAY_AFTER_MS) == [7, 9]
    assert holds.due(1_000 + PAY_AFTER_MS) == []
    holds.apply(1_001, 10, HoldConfirmed(sale=1, hold=7, user="vera", quantity=1, returned=0, paid_fen=1, payment="demo-7"))
    assert holds.due(1_000 + PAY_AFTER_MS + PAY_AGAIN_MS) == [9]
    holds.apply(1_002, 11, HoldExpired(sale=1, hold=9, user="bob"))
    assert holds.due(1_000_000) == []
    for seq in range(100, 100 + 2 * HOLDS_OPEN_MAX):
        holds.apply(0, seq, StockReserved(sale=1, user="vera", quantity=1, until_ms=99_000, due_fen=1))
    assert len(holds.due(1_000_000)) == HOLDS_OPEN_MAX


async def test_proxies_of_the_environment_do_not_keep_the_demo_from_its_own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve --demo` behind a company's proxy: both of its people's ways in lead to this machine."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("socks_proxy", "socks5://127.0.0.1:9")
    async with Server(tmp_path / "data", "--demo", "--logs-level", "debug") as server, aiohttp.ClientSession() as session:
        async with asyncio.timeout(60):
            viewers = 0.0
            while viewers < 10:
                async with session.get(server.console_url + "/v1/rooms/demo") as answer:
                    viewers = (await answer.json()).get("viewers", 0)
                await asyncio.sleep(0.1)


async def test_the_demo_offers_money_and_its_viewers_take_it(tmp_path: Path) -> None:
    """Viewers grab what an anchor drops at the console, and the demo drops none beside it; coupons are claimed, holds paid, and all adds up."""
    wanted = {"grabbed", "claimed", "sold"}
    async with Server(tmp_path / "data", "--demo", within=HURRIED) as server:
        ours = await server.command("demo", "drop_red_envelope", {"total_fen": 50_000, "shares": 500, "opens_in_ms": 400, "open_for_ms": 600_000})
        token = server.token("demo", "watcher", Role.viewer)
        async with asyncio.timeout(120), connect(server.gateway_url, "demo", token) as room:
            async for item in room:
                match item:
                    case RoomEvent(event=RedEnvelopeGrabbed(user=user)):
                        assert user.startswith("demo-")
                        wanted.discard("grabbed")
                    case RoomEvent(event=CouponLeft(left=left)) if left < 30:
                        wanted.discard("claimed")
                    case RoomEvent(event=StockChanged(sold=sold)) if sold:
                        wanted.discard("sold")
                    case RoomEvent(seq=seq, event=RedEnvelopeDropped()):
                        assert seq == ours["result"]["envelope"], "one envelope is live already"
                if not wanted:
                    break
        assert await server.stop() == 0
        assert "Traceback" not in server.log.read_text()
        assert "left" not in server.log.read_text(), "a simulated person stumbled"
    command = (sys.executable, "-m", "liveroom", "audit", "demo", "--data-dir", str(server.data_dir))
    audit = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    words = (await audit.communicate())[0].decode()
    assert audit.returncode == 0, words
    assert "demo" in words
