"""A room's history, read from the journal alone while the server runs, equals a viewer's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from liveroom.journal.sqlite.file import FILE_NAME
from liveroom.messages.fields import Delivery, Role
from liveroom.protocol.events import EVENTS
from tests.e2e.viewer import Viewer, enter
from tests.serving import Server, journal_flags

ROOM = "demo"
END_S = 30
HOUR_MS = 3_600_000
SQL = "SELECT seq, event FROM room_events WHERE room = ? ORDER BY seq"

Object = dict[str, Any]


async def play(vera: Viewer, wang: Viewer, mo: Viewer, server: Server) -> int:
    """An hour of a room in a second: chat, a mute and its end, pins, a deleted line; gives the seq at which it ends."""
    for number in range(3):
        product = {"id": f"p{number}", "title": f"Scarf {number}", "price_fen": 9_900 + number}
        added = await server.command(ROOM, "add_product", {"product": product})
        assert added["http_status"] == 200, added
    await mo.do("pin_product", product="p0")
    await vera.do("send_chat", text="多少钱? 🧣")
    rude = await wang.do("send_chat", text="rude words") - 1
    await mo.do("delete_message", message=rude)
    await mo.do("mute_user", user="wang", duration_ms=HOUR_MS, reason="be kind")
    refused = await wang.ask("send_chat", text="more rude words")
    assert refused["code"] == "muted"
    assert refused["retry_after_ms"] > HOUR_MS / 2
    await mo.do("mute_user", user="yi", duration_ms=HOUR_MS)
    await mo.do("pin_product", product="p2")
    for number in range(20):
        await vera.do("send_chat", text=f"line {number}")
    await mo.do("unmute_user", user="wang")
    await wang.do("send_chat", text='sorry"; DROP TABLE events; --')
    await vera.do("send_likes", count=50)
    return await mo.do("set_announcement", text="back in ten minutes")


def tell(events: list[Object]) -> Object:
    """Chat as it stands, who is muted, what is pinned, what is announced: out of events alone."""
    story: Object = {"chat": {}, "muted": {}, "pinned": "", "announcement": ""}
    for event in events:
        match event["type"]:
            case "chat_sent":
                if event.get("shown", True):
                    story["chat"][event["seq"]] = (event["user"], event["text"])
            case "message_deleted":
                del story["chat"][event["message"]]
            case "user_muted":
                story["muted"][event["user"]] = event["until_ms"]
            case "user_unmuted":
                del story["muted"][event["user"]]
            case "product_pinned":
                story["pinned"] = event["product"]["id"] if isinstance(event["product"], dict) else event["product"]
            case "announcement_set":
                story["announcement"] = event["text"]
    return story


@asynccontextmanager
async def tail(server: Server, *more: str) -> AsyncIterator[asyncio.StreamReader]:
    """`liveroom tail` as a process of its own."""
    command = (sys.executable, "-m", "liveroom", "tail", ROOM, *journal_flags(server.config), *more)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    try:
        yield process.stdout
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def read_to(lines: asyncio.StreamReader, end: int) -> list[Object]:
    events: list[Object] = []
    async with asyncio.timeout(END_S):
        while not events or events[-1]["seq"] < end - 1:
            events.append(json.loads(await lines.readline()))
    return events


def query(server: Server) -> list[Object]:
    with contextlib.closing(sqlite3.connect(f"{(server.data_dir / FILE_NAME).as_uri()}?mode=ro", uri=True)) as reader:
        return [{**json.loads(event), "seq": seq} for seq, event in reader.execute(SQL, (ROOM,))]


async def test_a_room_is_told_from_the_journal_alone(journal: str, tmp_path: Path) -> None:
    """`tail --follow`, `tail` and plain SQL (where there is a file), while the server runs, tell the same events and story that the witness saw."""
    async with Server(
        tmp_path / "data", "--rooms-chat-interval-ms", "0", "--rooms-chat-budget-lines-per-s", "5", "--gateway-commands-per-s", "1000"
    ) as server:
        opened = await server.command(ROOM, "open_room", {"title": "Autumn silk"})
        assert opened["http_status"] == 200, opened
        async with (
            tail(server, "--follow") as following,
            enter(server, ROOM, "witness") as witness,
            enter(server, ROOM, "vera") as vera,
            enter(server, ROOM, "wang") as wang,
            enter(server, ROOM, "mo", Role.moderator) as mo,
        ):
            end = await play(vera, wang, mo, server)
            await witness.until(lambda: witness.cursor >= end)
            followed = await read_to(following, end)
            async with tail(server) as once:
                told = await read_to(once, end)
            rows = query(server) if journal == "embedded" else None
    assert [event["seq"] for event in told] == list(range(len(told)))
    assert followed == told[: len(followed)]
    if rows is not None:
        assert rows[: len(told)] == [without(event, "room", "time_ms") for event in told]
    began = witness.keyframe["seq"]
    seen = [event for event in witness.events if event["seq"] < end]
    assert seen == [without(event, "room", "time_ms") for event in told if event["seq"] in {event["seq"] for event in seen}]
    must = [event["seq"] for event in told if began <= event["seq"] < end and EVENTS[event["type"]].delivery is Delivery.must]
    assert must == [event["seq"] for event in seen if EVENTS[event["type"]].delivery is Delivery.must]
    story = tell(told)
    assert story == tell(seen)
    assert len(story["chat"]) < sum(event["type"] == "chat_sent" for event in told) - 1, "some lines were beyond the room's budget"
    assert (list(story["muted"]), story["pinned"], story["announcement"]) == (["yi"], "p2", "back in ten minutes")


def without(event: Object, *names: str) -> Object:
    return {name: value for name, value in event.items() if name not in names}
