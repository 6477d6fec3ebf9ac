"""The rooms that a gateway holds: viewers join and leave them, and ticks write a room's news to its viewers.

How it works:

1. `enter` brings a connection to its room. If the room is not known yet, the room loader requests its detail, and holds the connection.
2. `take` applies each record of a followed partition to the rooms. The first detail makes a room live, and the waiting connections join it.
3. A room with news is scheduled for a point of the tick grid. It lies further ahead the fuller the gateway is, so that one delta holds more events.
4. `tick` begins a broadcast for each due room: the room's events become frames once, and every viewer gets the same bytes.
5. The broadcasts of all rooms take turns of `broadcast_batch_size` viewers, so a large room does not delay a small one.
   Under load they get as much time as the other work of the event loop.
6. `tidy` enforces deadlines: the loader's, and those of empty rooms and of viewers who are ahead of this gateway.

A room that missed events is lost: its viewers keep their connections, and the loader requests a new detail.
An error in the step of one room or viewer never reaches another.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec

from liveroom.config.schema import GatewayConfig
from liveroom.gateway.admission_queue import AdmissionQueue
from liveroom.gateway.audience import AudienceReporter
from liveroom.gateway.broadcast import RoomBroadcast
from liveroom.gateway.connection import Connection, Stage
from liveroom.gateway.deadlines import Deadlines
from liveroom.gateway.replay_buffer import EventSpan, ReplayBuffer
from liveroom.gateway.room import STARTS, Begin, HeldRoom, Resume
from liveroom.gateway.room_loader import RoomLoader
from liveroom.gateway.subscription import Subscription
from liveroom.gateway.ticks import TickGrid
from liveroom.gateway.wire import text_frame
from liveroom.journal.base import Journal
from liveroom.journal.partition import partition_of
from liveroom.journal.partition_time import PartitionTime
from liveroom.messages.fields import Role
from liveroom.process.clock import Clock
from liveroom.process.turns import Turns
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Banned, Beat, Interruption, Keyframe, RoomDetail
from liveroom.protocol.records import Record, RoomSpan
from liveroom.telemetry.metrics import Metrics

__all__ = ["Hub"]

Args = ParamSpec("Args")

#: Time for this gateway to catch up with a viewer that has seen more of a stream. Afterwards the stream counts as set back.
CATCH_UP_S = 5.0


class Hub:
    """All rooms of one gateway.

    In a shared journal, other gateways may be ahead of this one.
    `drain_queue(queue)` is called for every admission queue that events changed.
    """

    def __init__(
        self,
        journal: Journal,
        config: GatewayConfig,
        metrics: Metrics,
        audience: AudienceReporter,
        loader: RoomLoader,
        grid: TickGrid,
        clock: Clock,
        *,
        drain_queue: Callable[[AdmissionQueue], None],
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._isolated = metrics.isolated
        self._audience = audience
        self._now_s = clock.monotonic_s
        self._grid = grid
        self._loader = loader
        self._drain_queue = drain_queue
        self._ticks: list[tuple[float, int, HeldRoom]] = []  # a heap of (due, number, room)
        self._tick_number = 0
        self._frames_sent = self._bytes_sent = 0  # not counted yet
        self._broadcasts: deque[RoomBroadcast] = deque()
        self._wake = asyncio.Event()
        self._incarnation = journal.incarnation
        self._may_be_behind = journal.shared
        self._ahead: Deadlines[tuple[Subscription, int]] = Deadlines(CATCH_UP_S)  # viewers, with the seq of their cursor
        self._empty: Deadlines[HeldRoom] = Deadlines(config.room_idle_ms / 1000)
        self._partitions = journal.partitions
        # By the kind of start. A metric costs three times as much when its label is looked up.
        self._joins = {start: metrics.gateway_joins.labels(start) for start in STARTS}
        self._held: dict[int, dict[str, HeldRoom]] = {}  # partition -> its rooms
        self.rooms: dict[str, HeldRoom] = {}
        self.times = {partition: PartitionTime(clock.monotonic_s, clock.unix_s) for partition in range(journal.partitions)}
        self.interrupted: dict[int, int] = {}  # partition -> begin of its interruption, in Unix ms

    # Partitions

    def partitions(self) -> list[int]:
        """The partitions of the held rooms."""
        return list(self._held)

    def rooms_of(self, partition: int) -> list[HeldRoom]:
        """The held rooms of a partition."""
        return list(self._held.get(partition, {}).values())

    def _hold(self, room_id: str) -> HeldRoom:
        partition = partition_of(room_id, self._partitions)
        room = self.rooms[room_id] = HeldRoom(room_id, self._config, self._metrics, self._incarnation(partition))
        self._held.setdefault(partition, {})[room_id] = room
        self._metrics.gateway_rooms.set(len(self.rooms))
        return room

    def _release(self, room: HeldRoom) -> None:
        partition = partition_of(room.id, self._partitions)
        self._loader.finish(room)
        del self.rooms[room.id], self._held[partition][room.id]
        if not self._held[partition]:
            del self._held[partition]
            self.interrupted.pop(partition, None)

    # Viewers

    def enter(self, connection: Connection, room_id: str, resume: Resume | None, response: bytes) -> None:
        """Let an open connection join its room, at once or once the room is live. The `response` of its handshake goes before all frames."""
        sender = connection.sender
        assert sender is not None
        room = self.rooms.get(room_id)
        if room is None:
            if len(self.rooms) >= self._config.rooms_max:
                connection.respond(response)
                connection.close(4002, "this gateway has reached its limit of rooms; connect again")
                return
            room = self._hold(room_id)
        if self._is_banned(room, connection):
            connection.respond(response)
            self._close_as_banned(connection, room, room.banned[sender.user])
            self._release_later(room)
            return
        live = room.live
        if not live:
            connection.respond(response)
        subscription, oldest = room.admit(connection)
        connection.room_id = room.id
        if oldest:
            oldest.close(4003, "the user opened more connections than allowed")
        if live:
            self._join(room, subscription, resume, response)
        else:
            self._loader.wait(room, subscription, resume)

    def leave(self, connection: Connection) -> None:
        """Take a connection out of its room."""
        if room := self.rooms.get(connection.room_id):
            if subscription := room.leave(connection):
                self._loader.leave(room, subscription)
            self._audience.on_leave(room)
            if not room.users:
                room.empty_at = self._now_s()
                self._release_later(room)

    def _join(self, room: HeldRoom, subscription: Subscription, resume: Resume | None, response: bytes = b"") -> None:
        connection = subscription.connection
        subscription.joined_at = subscription.beat_at = self._now_s()
        if self._may_be_behind and resume is not None and room.is_behind(resume):
            self._ahead.add((subscription, resume[1]), subscription.joined_at)
        self._joins[room.join(subscription, resume, self.time_ms(room), response, catches_up=self._may_be_behind)].inc()
        if self.interrupted and (since_ms := self.interrupted.get(partition_of(room.id, self._partitions))):
            connection.notify(text_frame(encode(Interruption(since_ms))))
        assert connection.sender is not None
        self._audience.on_join(room, connection.sender)
        if room.has_news:
            self._schedule(room)

    def _let_in(self, room: HeldRoom) -> None:
        """Let all waiting viewers join. The connection of a viewer who fails to join is closed, and its client connects again."""
        for subscription, resume in self._loader.take_waiting(room):
            connection = subscription.connection
            try:
                if connection.stage is not Stage.open:
                    continue
                if connection.sender and self._is_banned(room, connection):
                    self._close_as_banned(connection, room, room.banned[connection.sender.user])
                else:
                    self._join(room, subscription, resume)
            except Exception:
                self._isolated.note("gateway_join", item=connection)
                self._isolated.each("gateway_viewer", (connection,), lambda failed: failed.close(4002, "joining the room failed; connect again"))

    def send_beat(self, connection: Connection) -> None:
        """Send a beat with the time of the room. A connection without a room is about to end, and needs none."""
        if (room := self.rooms.get(connection.room_id)) is not None:
            connection.send(text_frame(encode(Beat(self.time_ms(room)))))

    def _is_banned(self, room: HeldRoom, connection: Connection) -> bool:
        sender = connection.sender
        if sender is None or sender.user not in room.banned or not _can_be_banned(connection):
            return False
        return room.banned[sender.user] > self.time_ms(room)

    def time_ms(self, room: HeldRoom) -> int:
        """The present time of the room's clock, in Unix ms. Bans and mutes end by it, and viewers count down by it."""
        return max(room.time_ms, self.times[partition_of(room.id, self._partitions)].now_ms())

    # The stream

    def take(self, record: Record, replay_buffer: ReplayBuffer, *, current: bool) -> None:
        """Apply an accepted record, the newest of its partition's `replay_buffer`, to the held rooms.

        A room begins only with the detail of a `current` record.
        Records from before the partition was followed hold details of old requests, so the hub ignores these.
        """
        rooms = self.rooms
        for room_id, span in record.rooms.items():
            if room := rooms.get(room_id):
                self._try(room, self._extend, span, record.time_ms)
        for keyframe in record.keyframes:
            if room := rooms.get(keyframe.room):
                self._try(room, self._renew, keyframe)
        for chunk in record.entitlements if current else ():
            if room := rooms.get(chunk.room):
                self._try(room, HeldRoom.receive, chunk)
        for detail in record.details if current else ():
            if room := rooms.get(detail.keyframe.room):
                self._try(room, self._begin, detail, replay_buffer)

    def _try(self, room: HeldRoom, step: Callable[Concatenate[HeldRoom, Args], object], *arguments: Args.args, **named: Args.kwargs) -> None:
        """Run one room's step. If it raises, the room is lost until its next detail, and no other room is affected."""
        try:
            step(room, *arguments, **named)
        except Exception:
            self._isolated.note("gateway_room", item=room.id)
            room.lost = True
            self._loader.recover(room)

    def _extend(self, room: HeldRoom, span: RoomSpan, time_ms: int) -> None:
        for user, until_ms, reason in room.extend(span.from_, span.events, time_ms):
            self._close_banned(room, user, until_ms, reason)
        self._act_on_changes(room)

    def _renew(self, room: HeldRoom, keyframe: Keyframe) -> None:
        if room.renew(keyframe):
            self._loader.finish(room)
        self._act_on_changes(room)

    def _begin(self, room: HeldRoom, detail: RoomDetail, replay_buffer: ReplayBuffer) -> None:
        if detail.continues:
            for user, until_ms in room.go_on(detail):
                self._close_banned(room, user, until_ms, "")
            self._act_on_changes(room)
            return
        begin = self._begun(room, detail, replay_buffer.before(room.id, detail.keyframe.seq))
        if begin is not Begin.too_old:
            self._loader.finish(room)
        if begin is Begin.new_stream:
            connections = [viewer.connection for viewer in room.viewers]
            self._isolated.each(
                "gateway_viewer", connections, lambda connection: connection.close(4002, "the room started a new stream; connect again")
            )
        self._act_on_changes(room)

    def _act_on_changes(self, room: HeldRoom) -> None:
        """Act on changes of a room: drain its queues, let waiting connections join, schedule its tick and ask for its detail."""
        for queue in room.admission_queues.take_changed():
            self._drain_queue(queue)
        if room.live:
            self._let_in(room)
        if room.has_news:
            self._schedule(room)
        if room.needs_state:
            self._loader.load(room)

    def _begun(self, room: HeldRoom, detail: RoomDetail, past: Sequence[EventSpan]) -> Begin:
        """Call `HeldRoom.begin`. If that raises, try again without the past, which may hold the event that raised before."""
        chunks = room.chunks
        try:
            return room.begin(detail, past)
        except Exception:
            if not past:
                raise
            self._isolated.note("gateway_room", item=room.id)
            room.lost, room.chunks = True, chunks
            return room.begin(detail, ())

    def _close_banned(self, room: HeldRoom, user: str, until_ms: int, reason: str) -> None:
        if until_ms > self.time_ms(room):
            banned = [one.connection for one in room.users.get(user, ()) if _can_be_banned(one.connection)]
            self._isolated.each("gateway_viewer", banned, lambda connection: self._close_as_banned(connection, room, until_ms, reason))

    def _close_as_banned(self, connection: Connection, room: HeldRoom, until_ms: int, reason: str = "") -> None:
        """Close the connection of a banned user. The last frame names the end of the ban, so the client connects again by itself."""
        last = text_frame(encode(Banned(until_ms, self.time_ms(room), reason)))
        connection.close(4502, f"you are banned from this room: {reason}" if reason else "you are banned from this room", last)

    # Ticks

    def _schedule(self, room: HeldRoom) -> None:
        if not room.viewers:
            return
        now = self._now_s()
        room.news_at = room.news_at or now
        if room.scheduled:
            return
        room.scheduled = True
        due = self._grid.due(room.id, now, room.broadcast_at)
        self._tick_number += 1
        if not self._ticks or due < self._ticks[0][0]:
            self._wake.set()
        heapq.heappush(self._ticks, (due, self._tick_number, room))

    async def tick(self) -> None:
        """Broadcast due rooms, to a few viewers of each in turn. Never returns."""
        count, turns = self._config.broadcast_batch_size, Turns(self._now_s)
        while True:
            now = self._now_s()
            while self._ticks and self._ticks[0][0] <= now:
                self._begin_broadcast(heapq.heappop(self._ticks)[2], now)
            if not self._broadcasts:
                await self._sleep_until(self._ticks[0][0] if self._ticks else None)
                continue
            left = count
            while self._broadcasts and left > 0:
                broadcast = self._broadcasts.popleft()
                left -= self._step(broadcast, left)
            self._count_sent()
            await turns.pause()

    def _begin_broadcast(self, room: HeldRoom, now: float) -> None:
        try:
            self._broadcasts.append(RoomBroadcast(room, now))
        except Exception:
            # If its frames cannot be built, this room needs a keyframe, and the other rooms continue.
            self._isolated.note("gateway_room", item=room.id)
            room.scheduled = False
            room.lost = True
            self._loader.load(room)

    def _step(self, broadcast: RoomBroadcast, count: int) -> int:
        """Run a part of a broadcast, and return how much of `count` it used, at least 1."""
        begin = broadcast.at
        frames, written = broadcast.step(count, self._isolated)
        self._frames_sent += frames
        self._bytes_sent += written
        if not broadcast.done:
            self._broadcasts.append(broadcast)
            return count
        room = broadcast.room
        now = self._now_s()
        self._metrics.gateway_broadcast_seconds.observe(now - broadcast.began)
        self._metrics.gateway_delivery_seconds.observe(now - broadcast.news_at)
        room.scheduled = False
        if room.has_news:
            self._schedule(room)
        return max(1, len(broadcast.viewers) - begin)

    def _count_sent(self) -> None:
        """Count once for a batch: in small rooms a metric costs as much as a write."""
        self._metrics.gateway_frames_sent.inc(self._frames_sent)
        self._metrics.gateway_bytes_sent.inc(self._bytes_sent)
        self._frames_sent = self._bytes_sent = 0

    async def _sleep_until(self, due: float | None) -> None:
        """Sleep until `due`, or until an earlier tick is scheduled."""
        self._wake.clear()
        alarm = asyncio.get_running_loop().call_later(due - self._now_s(), self._wake.set) if due is not None else None
        await self._wake.wait()
        if alarm:
            alarm.cancel()

    # Deadlines

    def tidy(self) -> None:
        """Enforce the deadlines of loads and of viewers who are ahead, and release rooms that stayed empty."""
        now = self._now_s()
        self._loader.tidy()
        self._isolated.each("gateway_viewer", self._ahead.due(now), self._set_back_if_ahead)
        self._isolated.each("gateway_room", self._empty.due(now), lambda room: self._release_if_empty(room, now))
        self._metrics.gateway_rooms.set(len(self.rooms))
        self._metrics.gateway_tick_seconds.set(self._grid.tick_s)

    def _set_back_if_ahead(self, ahead: tuple[Subscription, int]) -> None:
        subscription, known = ahead
        room = self.rooms.get(subscription.connection.room_id)
        if subscription.joined and room is not None and known > room.next_seq and not subscription.skip(known):
            self._ahead.add(ahead, self._now_s())

    def _release_if_empty(self, room: HeldRoom, now: float) -> None:
        room.release_scheduled = False
        if not room.users and self.rooms.get(room.id) is room:
            if now - room.empty_at < self._config.room_idle_ms / 1000:
                self._release_later(room)
            else:
                self._release(room)

    def _release_later(self, room: HeldRoom) -> None:
        if not room.users and not room.release_scheduled:
            room.release_scheduled = True
            self._empty.add(room, self._now_s())


def _can_be_banned(connection: Connection) -> bool:
    """Whether bans apply to a connection. They do not apply to the platform, as in the rules and at the console."""
    return connection.sender is None or connection.sender.role is not Role.platform
