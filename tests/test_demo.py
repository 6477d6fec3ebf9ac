"""The demo: what `make run` shows."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from liveroom.client import RoomEvent, connect
from liveroom.messages.events import ChatSent
from tests.serving import Server


async def test_the_demo_room_is_live_and_its_links_work_again_after_a_kill(tmp_path: Path) -> None:
    """`serve --demo` prints links with tokens; the room has products and people who talk; after SIGKILL it goes on as the same room."""
    async with Server(tmp_path / "data", "--demo") as server:
        links = re.findall(r"http://\S+#token=\S+", server.log.read_text())
        assert len(links) == 3
        assert "/console/demo#" in links[0]
        token = links[1].partition("#token=")[2]
        async with asyncio.timeout(60), connect(server.gateway_url, "demo", token) as room:
            epoch = room.joined.epoch
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
            assert room.joined.epoch == epoch
            assert room.state.showcase_count == 5
            assert room.state.announcement == "ours", "the demo furnishes a new room only"
            assert any(line.text == "hello from a visitor" for line in room.state.chat)
        assert await server.stop() == 0
        assert "Traceback" not in server.log.read_text()
        assert "left" not in server.log.read_text(), "a simulated person stumbled"
