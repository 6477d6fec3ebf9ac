"""Pushes announcements at a steady rate over as many anchor connections as the gateway's limit per connection asks for."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Final

from liveroom.features.lifecycle.messages import SetAnnouncement
from liveroom.messages.fields import Role
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Accepted, Refused
from liveroom.protocol.inbound import ClientMessage
from loadtests.crowd.frame_audit import LatencyProbe, probe_text
from loadtests.lib.command_connection import CommandConnection, open_command_connection
from loadtests.lib.lean_client import Address
from loadtests.lib.pace import GRAIN_S, paced
from loadtests.lib.target import Target

__all__ = ["Pusher"]

#: Part of the gateway's limit of commands a second that one connection uses.
LIMIT_USED: Final = 0.8
ANSWER_S: Final = 15.0


class Pusher:
    """Opened by `open`; `push` runs to the end of the test."""

    def __init__(self, speakers: list[CommandConnection], characters: int) -> None:
        self._speakers = speakers
        self._characters = characters
        self._over = False
        self.sent = 0
        self.seq = 0
        self.accepted: list[int] = []
        self.undecided: list[int] = []
        self.refused: Counter[str] = Counter()
        self.late_ms_max = 0.0

    @classmethod
    async def open(cls, target: Target, room: str, rate: float, characters: int) -> Pusher:
        """Let the anchors in; announcements will be at least `characters` long."""
        address = Address.of(target.gateway_url)

        async def anchor(number: int) -> CommandConnection:
            return await open_command_connection(address, f"/v1/rooms/{room}", target.token(f"anchor-{number}", room, Role.anchor))

        first = await anchor(0)
        needed = max(1, -int(-rate // ((await first.joined).commands_per_s * LIMIT_USED)))
        return cls([first, *[await anchor(number) for number in range(1, needed)]], characters)

    @property
    def anchors(self) -> int:
        """How many connections push."""
        return len(self._speakers)

    @property
    def answered(self) -> int:
        """How many have their answer."""
        return len(self.accepted) + len(self.undecided) + self.refused.total()

    async def push(self, rate: float, seconds: float) -> None:
        """Push `rate` announcements a second, each stamped with the time it was due, until `seconds` are over or the task is cancelled."""
        async for _, due_ns in paced(rate, max(1, round(rate * seconds))):
            if self._over:
                break
            self.late_ms_max = max(self.late_ms_max, (time.monotonic_ns() - due_ns) / 1e6)
            self._push_one(self.sent, due_ns)
            self.sent += 1

    def stop(self) -> None:
        """Push nothing more."""
        self._over = True

    async def settle(self) -> None:
        """Wait for the last answers."""
        for _ in range(int(ANSWER_S / GRAIN_S)):
            if self.answered == self.sent:
                break
            await asyncio.sleep(GRAIN_S)

    def _push_one(self, number: int, due_ns: int) -> None:
        sender = number % len(self._speakers)
        id = f"m{number}"

        def on_reply(reply: Accepted | Refused | None) -> None:
            if isinstance(reply, Accepted):
                self.accepted.append(number)
                self.seq = max(self.seq, reply.seq)
            elif reply is None or reply.code == "unavailable":
                self.undecided.append(number)
            else:
                self.refused[reply.code] += 1

        text = encode(ClientMessage(id, SetAnnouncement(probe_text(LatencyProbe(number, sender, due_ns), self._characters))))
        self._speakers[sender].send(id, text, on_reply)

    def close(self) -> None:
        """Disconnect the anchors; unanswered announcements stay undecided."""
        for speaker in self._speakers:
            speaker.close()
