"""Requests the state of rooms from the engine, and holds the viewers who wait for it.

How it works:

1. `load` requests a room's detail. At most one request of a room is under way, so the number of held rooms bounds the requests.
2. A request is sent once the room's partition is followed, because the gateway would miss an earlier answer.
   If the follower starts again, `on_followed` sends the requests under way once more.
3. `finish` ends a request: the room took its state, or needs another request at once.
4. The engine's reply comes before the state. `RETRY_S` after any reply, `tidy` ends a request that is still under way.
   If the room still needs its state, `tidy` begins the next request.
   Entitlements arrive in several records: while they arrive, the request goes on.
5. A viewer of a room without state waits, at most `room_wait_ms`. `take_waiting` gives the waiting viewers once the room is live.
"""

from __future__ import annotations

from collections.abc import Callable

from liveroom.features.lifecycle.messages import RequestKeyframe
from liveroom.gateway.deadlines import Deadlines
from liveroom.gateway.room import HeldRoom, Resume
from liveroom.gateway.subscription import Subscription
from liveroom.journal.command_sender import ReplyCallback
from liveroom.journal.partition import partition_of
from liveroom.process.clock import Clock
from liveroom.protocol.frames import Refused, Reply
from liveroom.telemetry.isolation import IsolatedErrors

__all__ = ["RoomLoader"]

#: Pause before a request is repeated after it was refused, or after its state did not come.
RETRY_S = 0.5


class RoomLoader:
    """Loads rooms of one gateway.

    `follow(partition)` makes sure that a partition is followed, and returns whether it is already.
    `request(room, command, on_reply)` sends a command to the engine.
    """

    def __init__(
        self,
        clock: Clock,
        isolated: IsolatedErrors,
        *,
        partitions: int,
        room_wait_ms: int,
        follow: Callable[[int], bool],
        request: Callable[[str, RequestKeyframe, ReplyCallback], None],
    ) -> None:
        self._now_s = clock.monotonic_s
        self._isolated = isolated
        self._partitions = partitions
        self._follow = follow
        self._request = request
        self._under_way: dict[HeldRoom, int] = {}  # room -> number of chunks of entitlements that had come at the last check
        self._retries: Deadlines[HeldRoom] = Deadlines(RETRY_S)
        self._waiting: dict[HeldRoom, dict[Subscription, Resume | None]] = {}
        self._waits: Deadlines[tuple[HeldRoom, Subscription]] = Deadlines(room_wait_ms / 1000)

    # Requests

    def load(self, room: HeldRoom) -> None:
        """Request the room's detail, unless a request is under way."""
        if room not in self._under_way:
            self._under_way[room] = 0
            self.probe(room)

    def probe(self, room: HeldRoom) -> None:
        """Send a request even if one is under way. Any reply shows that the engine is back."""
        if self._follow(partition_of(room.id, self._partitions)):
            self._send(room)

    def on_followed(self, partition: int) -> None:
        """Send the requests under way for rooms of a partition whose end is known now."""
        rooms = [room for room in self._under_way if partition_of(room.id, self._partitions) == partition]
        self._isolated.each("gateway_room", rooms, self._send)

    def _send(self, room: HeldRoom) -> None:
        self._request(room.id, RequestKeyframe(entitlements=not room.knows_entitlements), lambda reply: self._on_reply(room, reply))

    def _on_reply(self, room: HeldRoom, reply: Reply) -> None:
        if isinstance(reply, Refused) and reply.code == "room_not_found":
            self.finish(room)
            self._isolated.each("gateway_viewer", list(self._waiting.get(room, ())), _close_not_found)
        else:
            self._retry_later(room)

    def _retry_later(self, room: HeldRoom) -> None:
        self._retries.add(room, self._now_s())

    def recover(self, room: HeldRoom) -> None:
        """Request the state again after a step of the room raised: later if a request is under way, because the next state may raise again."""
        if room in self._under_way:
            self._retry_later(room)
        else:
            self.load(room)

    def finish(self, room: HeldRoom) -> None:
        """End the request under way, if there is one."""
        self._under_way.pop(room, None)

    # Waiting viewers

    def wait(self, room: HeldRoom, subscription: Subscription, resume: Resume | None) -> None:
        """Let a viewer wait for the room's state, and request it."""
        self._waiting.setdefault(room, {})[subscription] = resume
        self._waits.add((room, subscription), self._now_s())
        self.load(room)

    def waiting(self, room: HeldRoom) -> list[Subscription]:
        """The viewers who wait for the room's state."""
        return list(self._waiting.get(room, ()))

    def take_waiting(self, room: HeldRoom) -> list[tuple[Subscription, Resume | None]]:
        """Remove and return the waiting viewers, with the positions where they want to resume."""
        waiting = self._waiting.pop(room, None)
        return list(waiting.items()) if waiting else []

    def leave(self, room: HeldRoom, subscription: Subscription) -> None:
        """Forget a viewer who left, whether it waits or not."""
        if waiting := self._waiting.get(room):
            waiting.pop(subscription, None)
            if not waiting:
                del self._waiting[room]

    # Deadlines

    def tidy(self) -> None:
        """Close viewers who waited too long, and repeat requests whose state did not come."""
        now_s = self._now_s()
        self._isolated.each("gateway_viewer", self._waits.due(now_s), self._give_up)
        self._isolated.each("gateway_room", self._retries.due(now_s), self._retry)

    def _give_up(self, waited: tuple[HeldRoom, Subscription]) -> None:
        room, subscription = waited
        if subscription in self._waiting.get(room, ()):
            subscription.connection.close(4002, "the room's state did not arrive in time; connect again")

    def _retry(self, room: HeldRoom) -> None:
        if room not in self._under_way:
            return
        chunks, self._under_way[room] = self._under_way[room], len(room.chunks)
        if len(room.chunks) > chunks:
            self._retry_later(room)
            return
        self.finish(room)
        if room.users and room.needs_state:
            self.load(room)


def _close_not_found(subscription: Subscription) -> None:
    subscription.connection.close(4004, "the room was never opened")
