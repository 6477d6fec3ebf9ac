"""One visit of a room, the same for every client: join, speak, be silent, leave, come back, leave; and what must be true of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.docs.traffic import check_client_frame, check_server_frame
from tests.serving import Server

__all__ = ["IDLE_MS", "ROOM", "Plan", "Told", "Wire", "check_visit", "visit"]

ROOM = "demo"
WAIT_S = 20
#: The server pings at half of it and closes at it: a visit is silent for longer.
IDLE_MS = 2_600
QUIET_MS = 3_200
#: 300 characters, the most that a line may have; escaped they fill 3.6 KB.
LONG_TEXT = "🎁" * 300


@dataclass
class Plan:
    """Orders for a client. It sends `whole` in one piece, and `parted` in fragments if it can."""

    user: str
    url: str
    token: str
    whole: list[str]
    parted: list[str]
    ids: list[str]
    quiet_ms: int = QUIET_MS

    @classmethod
    def of(cls, server: Server, user: str) -> Plan:
        """A plan for `user`, whose name is in what is said."""
        say = {"type": "send_chat", "text": f"hello from {user}: 多少钱? 🧣"}
        long = {"type": "send_chat", "text": LONG_TEXT}
        may_not = {"type": "pin_product", "product": "p1"}
        ids = [f"{user}-{n}" for n in range(4)]
        whole = [
            json.dumps({"id": ids[0], "command": say}, ensure_ascii=False),
            json.dumps({"id": ids[1], "command": long}),
            json.dumps({"id": ids[2], "command": may_not}),
        ]
        parted = [json.dumps({"id": ids[3], "command": long})]
        return cls(user, f"{server.gateway_url}/v1/rooms/{ROOM}", server.token(ROOM, user), whole, parted, ids)


@dataclass
class Told:
    """A client's report of its visit, with one entry for each of its two connections."""

    received: list[list[str]] = field(default_factory=list)
    closes: list[int] = field(default_factory=list)
    extensions: list[str] = field(default_factory=list)


class Wire(Protocol):
    """An open connection of some client."""

    extensions: str

    async def send(self, text: str) -> None:
        """Send a whole text."""

    async def send_parted(self, text: str) -> None:
        """Send a text in fragments, if the client can."""

    async def receive(self, timeout_s: float) -> str | None:
        """The next text; None when none came in time. Raises when the connection is closed."""

    async def ping(self) -> None:
        """Send a ping and wait for the pong, if the client can."""

    async def close(self) -> int:
        """Close with 1000; gives the code that the server answered with."""


async def visit(plan: Plan, dial: Callable[[str], Awaitable[Wire]]) -> Told:
    """Carry out the plan over connections that `dial` opens to a URL with the token in it."""
    told = Told()
    wire = await _enter(told, dial, f"{plan.url}?token={plan.token}")
    await _until(told, wire, lambda: "keyframe" in _types(told))
    for text in plan.whole:
        await wire.send(text)
    for text in plan.parted:
        await wire.send_parted(text)
    await _until(told, wire, lambda: _answered(told, plan))
    end = asyncio.get_running_loop().time() + plan.quiet_ms / 1000
    while (left := end - asyncio.get_running_loop().time()) > 0:
        heard = await wire.receive(left)
        told.received[-1] += [heard] if heard else []
    await wire.ping()
    told.closes.append(await wire.close())
    joined = json.loads(told.received[0][0])
    wire = await _enter(told, dial, f"{plan.url}?token={plan.token}&stream_id={joined['stream_id']}&seq={joined['seq']}")
    await _until(told, wire, lambda: _cursor(told.received[1]) >= _cursor(told.received[0]))
    told.closes.append(await wire.close())
    return told


async def _enter(told: Told, dial: Callable[[str], Awaitable[Wire]], url: str) -> Wire:
    wire = await dial(url)
    told.received.append([])
    told.extensions.append(wire.extensions)
    return wire


async def _until(told: Told, wire: Wire, enough: Callable[[], bool]) -> None:
    end = asyncio.get_running_loop().time() + WAIT_S
    while not enough():
        text = await wire.receive(end - asyncio.get_running_loop().time())
        assert text is not None, f"nothing came: {told}"
        told.received[-1].append(text)


def _types(told: Told) -> list[str]:
    return [json.loads(text)["type"] for text in told.received[-1]]


def _answered(told: Told, plan: Plan) -> bool:
    replies = [frame for text in told.received[0] if "id" in (frame := json.loads(text))]
    return len(replies) == len(plan.ids) and _cursor(told.received[0]) >= max(reply.get("seq", 0) for reply in replies)


def _cursor(received: list[str]) -> int:
    """Where a client stands that has no gap."""
    frames = [json.loads(text) for text in received]
    return max((frame["to"] if frame["type"] == "delta" else frame["seq"] for frame in frames if frame["type"] in ("delta", "keyframe")), default=0)


# Checks


def check_visit(plan: Plan, told: Told, *, deflate: bool | None = None) -> None:
    """Every frame is as documented, everything said was answered and seen, and both connections were closed with 1000."""
    for text in plan.whole + plan.parted:
        check_client_frame(text)
    first, second = ([check_server_frame(text) for text in received] for received in told.received)
    assert told.closes == [1000, 1000], plan.user
    if deflate is not None:
        assert [e.startswith("permessage-deflate") for e in told.extensions] == [deflate, deflate], f"{plan.user}: {told.extensions}"
    assert [frame["type"] for frame in first[:3]] == ["joined", "keyframe", "entitlements"], plan.user
    assert (first[0]["user"], first[0]["resumed"], first[1]["seq"]) == (plan.user, False, first[0]["seq"])
    replies = {frame["id"]: frame for frame in first if "id" in frame}
    assert [replies[i]["type"] for i in plan.ids] == ["accepted", "accepted", "refused", "accepted"], plan.user
    assert replies[plan.ids[2]]["code"] == "forbidden"
    said = _own_lines(first, first[1]["seq"], plan)
    assert [line["text"] for line in said] == [json.loads(text)["command"]["text"] for text in (*plan.whole[:2], *plan.parted)], plan.user
    assert said[-1]["seq"] < max(reply["seq"] for reply in replies.values())
    assert [frame["type"] for frame in second[:2]] == ["joined", "entitlements"], plan.user
    assert second[0]["resumed"], plan.user
    assert "keyframe" not in [frame["type"] for frame in second], plan.user
    again = _own_lines(second, first[0]["seq"], plan)
    assert again == said, f"{plan.user}: what was seen the second time is something else"


def _own_lines(frames: list[dict[str, Any]], cursor: int, plan: Plan) -> list[dict[str, Any]]:
    lines = []
    for delta in (frame for frame in frames if frame["type"] == "delta"):
        assert delta["from"] <= cursor, f"{plan.user}: a gap at {cursor}"
        lines += [event for event in delta["events"] if event["seq"] >= cursor and event.get("user") == plan.user and event["type"] == "chat_sent"]
        cursor = max(cursor, delta["to"])
    return lines
