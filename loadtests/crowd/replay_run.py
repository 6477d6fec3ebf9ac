"""The replay of a chat: each user of the file sends over a connection of their own, and a witness reads the shown lines."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from msgspec import Struct

from liveroom.client import Room, RoomEvent, Skipped, connect
from liveroom.features.chat.messages import ChatSent, SendChat
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Accepted, Refused
from liveroom.protocol.inbound import ClientMessage
from loadtests.crowd.chat_file import Line, sayable
from loadtests.lib.command_connection import CommandConnection, JoinedLimits, OnReply, open_command_connection
from loadtests.lib.latency import LatencySeries
from loadtests.lib.lean_client import Address
from loadtests.lib.progress import Bar
from loadtests.lib.recorder import Recorder
from loadtests.lib.target import Target

__all__ = ["ROOM", "LineOutcomes", "replay", "user_id", "user_name"]

ROOM: Final = "replay"
WITNESS: Final = "witness"
#: Users that are let in at once.
OPENING_MAX: Final = 64
#: Lines of one user that wait for their answer at once.
WAITING_MAX: Final = 8
#: Part of the gateway's limit of commands a second that one user uses.
LIMIT_USED: Final = 0.8
#: Time for the last line to be shown to the witness.
SETTLE_S: Final = 10.0
POLL_S: Final = 0.05
PROGRESS_S: Final = 0.25
ALTERED_SHOWN: Final = 5


def user_id(user: str) -> str:
    """A user id for whatever a file calls its user: the same for the same, different for different ones."""
    return "r-" + hashlib.blake2b(user.encode(errors="surrogatepass"), digest_size=12).hexdigest()


def user_name(user: str) -> str:
    """The name shown for a user of the file: as there, as far as a name may be so."""
    return "".join(c for c in user if c.isprintable() and sayable(c)).strip()[:64] or user_id(user)


class WitnessedLine(Struct, frozen=True):
    """A line as the witness saw it."""

    user: str
    text: str
    at_ns: int


class Said(Struct, frozen=True):
    """An accepted line with its sent text."""

    user: str
    text: str
    at_ns: int
    message: int
    shown: bool


class LineOutcomes:
    """The outcome of each line; the numbers add up to the number of lines sent."""

    def __init__(self) -> None:
        self.sent = 0
        self.refused: Counter[str] = Counter()
        self.unanswered = 0
        self.accepted: list[Said] = []
        self.seq = 0
        self.seen: dict[int, WitnessedLine] = {}
        self.skipped = 0

    @property
    def answered(self) -> int:
        """How many are decided, one way or another."""
        return len(self.accepted) + self.refused.total() + self.unanswered

    @property
    def latency(self) -> LatencySeries:
        """The times from sending a line to its arrival at the witness."""
        latency = LatencySeries()
        for said in self.accepted:
            if (seen := self.seen.get(said.message)) is not None:
                latency.add(said.at_ns, (seen.at_ns - said.at_ns) // 1000)
        return latency

    def summary(self) -> dict[str, Any]:
        """Compare the accepted lines with those that the witness saw."""
        not_shown: Counter[str] = Counter()
        altered: list[dict[str, str]] = []
        shown = 0
        for said in self.accepted:
            seen = self.seen.get(said.message)
            if seen is None:
                not_shown["omitted" if said.shown else "over_budget"] += 1
                continue
            shown += 1
            if (seen.user, seen.text) != (said.user, said.text):
                altered.append({"sent": said.text, "shown": seen.text})
        unasked = len(self.seen.keys() - {said.message for said in self.accepted})
        adds_up = self.sent == shown + not_shown.total() + self.refused.total() + self.unanswered
        return {
            "ok": adds_up and not (altered or unasked or self.unanswered or self.skipped) and self.sent > 0,
            "sent": self.sent,
            "shown": shown,
            "not_shown": dict(not_shown),
            "refused": dict(self.refused.most_common()),
            "unanswered": self.unanswered,
            "altered": len(altered),
            "altered_examples": altered[:ALTERED_SHOWN],
            "unasked": unasked,
            "witness_skipped": self.skipped,
            "latency_ms": self.latency.total().summary(),
        }


async def replay(target: Target, lines: tuple[Line, ...], *, speed: float, room: str, recorder: Recorder) -> LineOutcomes:
    """Say all lines at `speed` times the pace of the file. Raises `TargetError`, `HandshakeRefused`, `Disconnected`, `OSError`."""
    await target.open_room(room, "Replay")
    by_user: defaultdict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_user[line.user].append(line)
    outcomes = LineOutcomes()
    recorder.count("Lines sent", lambda: outcomes.sent)
    recorder.count("Lines shown", lambda: len(outcomes.seen))
    token = target.token(WITNESS, room)
    async with connect(target.gateway_url, room, token) as witness:
        recorder.stage("joining", len(by_user))
        speakers = await _open_all(target, room, by_user, recorder)
        watching = asyncio.create_task(_watch(witness, outcomes))
        try:
            recorder.stage("replaying", len(lines))
            due_s = _pacing(lines[0].time_s, speed)
            talks = [_talk(speakers[user], user, by_user[user], due_s, outcomes) for user in by_user]
            await _until_said(talks, watching, outcomes, recorder)
            await _settle(witness, watching, outcomes)
        finally:
            watching.cancel()
            for speaker in speakers.values():
                speaker.close()
    recorder.latencies["line"].merge(outcomes.latency)
    return outcomes


def _pacing(first_s: float, speed: float) -> Callable[[Line], float]:
    start_s = asyncio.get_running_loop().time()
    return lambda line: start_s + (line.time_s - first_s) / speed


async def _open_all(target: Target, room: str, users: Iterable[str], bar: Bar) -> dict[str, CommandConnection]:
    address = Address.of(target.gateway_url)
    opening = asyncio.Semaphore(OPENING_MAX)
    speakers: dict[str, CommandConnection] = {}

    async def enter(user: str) -> None:
        async with opening:
            token = target.token(user_id(user), room, name=user_name(user))
            speakers[user] = await open_command_connection(address, f"/v1/rooms/{room}", token)
            bar.update(len(speakers))

    tasks = [asyncio.create_task(enter(user)) for user in users]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for speaker in speakers.values():
            speaker.close()
        raise
    return speakers


async def _talk(speaker: CommandConnection, user: str, lines: list[Line], due_s: Callable[[Line], float], outcomes: LineOutcomes) -> None:
    """One user: says each line when it is due, never faster than the gateway allows one connection."""
    loop = asyncio.get_running_loop()
    limits = await speaker.joined
    slots = asyncio.Semaphore(WAITING_MAX)
    allowed_s = 0.0
    for number, line in enumerate(lines):
        await asyncio.sleep(max(due_s(line), allowed_s) - loop.time())
        await slots.acquire()
        allowed_s = loop.time() + 1 / (limits.commands_per_s * LIMIT_USED)
        outcomes.sent += 1
        message, code = _message_of(f"l{number}", line.text, limits)
        if code:
            outcomes.refused[code] += 1
            slots.release()
        else:
            speaker.send(f"l{number}", message, _noting(user_id(user), line.text, outcomes, slots))


def _message_of(id: str, text: str, limits: JoinedLimits) -> tuple[bytes, str]:
    """The message that says `text`, or the code of why none can."""
    if not sayable(text):
        return b"", "bad_utf8"  # no frame can hold it
    message = encode(ClientMessage(id, SendChat(text)))
    # The gateway named this limit, and closes connections that do not keep it.
    return message, "too_large" if len(message) > limits.command_bytes_max else ""


def _noting(user: str, text: str, outcomes: LineOutcomes, slots: asyncio.Semaphore) -> OnReply:
    at_ns = time.monotonic_ns()

    def on_reply(reply: Accepted | Refused | None) -> None:
        slots.release()
        if isinstance(reply, Accepted):
            outcomes.accepted.append(Said(user, text, at_ns, int(reply.result["message"]), bool(reply.result["shown"])))
            outcomes.seq = max(outcomes.seq, reply.seq)
        elif reply is not None:
            outcomes.refused[reply.code] += 1
        else:
            outcomes.unanswered += 1

    return on_reply


async def _watch(witness: Room, outcomes: LineOutcomes) -> None:
    async for item in witness:
        if isinstance(item, Skipped):
            outcomes.skipped += item.to - item.from_
        elif isinstance(item, RoomEvent) and isinstance(item.event, ChatSent):
            outcomes.seen[item.seq] = WitnessedLine(item.event.user, item.event.text, time.monotonic_ns())


async def _all(talks: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*talks)


async def _until_said(talks: Iterable[Awaitable[None]], watching: asyncio.Task[None], outcomes: LineOutcomes, bar: Bar) -> None:
    talking = asyncio.create_task(_all(talks))
    try:
        while not talking.done():
            bar.update(outcomes.sent, f"lines, {len(outcomes.seen)} shown, {outcomes.refused.total()} refused")
            await asyncio.wait([talking, watching], timeout=PROGRESS_S, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()  # the witness was put out: raises why
        await talking
    finally:
        talking.cancel()


async def _settle(witness: Room, watching: asyncio.Task[None], outcomes: LineOutcomes) -> None:
    """Wait for the last answers, and until the witness has passed the last accepted line."""
    for _ in range(int(SETTLE_S / POLL_S)):
        if watching.done() or (outcomes.answered == outcomes.sent and witness.state.seq >= outcomes.seq):
            break
        await asyncio.sleep(POLL_S)
    outcomes.unanswered += outcomes.sent - outcomes.answered
