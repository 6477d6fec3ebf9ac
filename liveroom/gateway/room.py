"""A room in the gateway: its ring, the events of the present tick, its viewers, entitlements, bans and mutes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, get_args

from msgspec.structs import replace

from liveroom.config.schema import GatewayConfig
from liveroom.features.moderation.messages import SanctionExplained, UserBanned, UserMuted, UserUnbanned, UserUnmuted
from liveroom.gateway.admission_queues import AdmissionQueues
from liveroom.gateway.connection import Connection
from liveroom.gateway.deltas import build_deltas, event_bytes
from liveroom.gateway.entitlements import RoomEntitlements
from liveroom.gateway.replay_buffer import EventSpan
from liveroom.gateway.ring import Ring, RingFrame
from liveroom.gateway.subscription import Subscription
from liveroom.gateway.ticks import GOLDEN_RATIO
from liveroom.gateway.wire import text_frame
from liveroom.messages.fields import Delivery, Role
from liveroom.protocol.codec import encode
from liveroom.protocol.entitlements import EntitlementsChunk
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Joined, Keyframe, RoomDetail, Skipped

if TYPE_CHECKING:
    from liveroom.telemetry.metrics import Metrics

__all__ = ["STARTS", "Begin", "HeldRoom", "Resume", "Start"]

#: The stream id and the cursor at which a client wants to resume.
Resume = tuple[str, int]

#: The kind of a viewer's start: at the newest keyframe, at its own seq, or at the keyframe after a seq that the ring has not.
Start = Literal["keyframe", "resumed", "skipped"]
STARTS: Final[tuple[Start, ...]] = get_args(Start)

#: Events that a room collects for one tick. At this number they become frames before the tick ends.
PENDING_EVENTS_MAX = 1_000
#: Events of the replay buffer that become one frame when a room begins.
PAST_EVENTS_PER_FRAME = 50
#: Bans or mutes of a room. Beyond this number the expired ones are dropped. The rules allow fewer active ones.
MARKS_MAX = 20_000


class Begin(Enum):
    """The outcome of giving a room a detail."""

    #: The room has passed the detail's state.
    too_old = 0
    #: Chunks of entitlements are missing, so the room could not begin.
    incomplete = 1
    same_stream = 2
    #: The stream id changed, so viewers have to reconnect.
    new_stream = 3


class HeldRoom:
    """A room that the gateway holds. It is live once it has a keyframe, and until then viewers wait.

    After a gap in its stream the room is lost: it is not live before its next detail.
    """

    __slots__ = (
        "_config",
        "_has_news",
        "_pending",
        "_stream_suffix",
        "admission_queues",
        "banned",
        "broadcast_at",
        "broadcast_end",
        "chunks",
        "deflaters",
        "empty_at",
        "entitlements",
        "id",
        "lost",
        "metrics",
        "muted",
        "news_at",
        "release_scheduled",
        "ring",
        "scheduled",
        "stream_id",
        "sweep_share",
        "time_ms",
        "users",
        "viewers",
    )

    def __init__(self, room_id: str, config: GatewayConfig, metrics: Metrics, incarnation: str = "") -> None:
        self._config = config
        self.metrics = metrics
        self._pending: list[Event] = []
        self._has_news = False
        self._stream_suffix = f".{incarnation}" if incarnation else ""
        self.id = room_id
        self.stream_id = ""
        self.ring = Ring(config.ring_frames_max, config.ring_bytes_max)
        self.time_ms = 0
        self.lost = False
        self.scheduled = False
        self.broadcast_end = 0  # the end of the last broadcast's span
        self.broadcast_at = 0.0
        self.news_at = 0.0  # the time of the first event since the last broadcast, for the hub; 0 without one
        self.sweep_share = 0.0  # the share of the viewers after whom the next broadcast begins
        self.viewers: list[Subscription] = []  # the joined ones
        self.users: dict[str, tuple[Subscription, ...]] = {}  # the oldest first; includes the waiting ones
        self.deflaters = 0
        self.empty_at = 0.0
        self.release_scheduled = False  # the hub checks at a deadline whether the room is still empty
        self.banned: dict[str, int] = {}
        self.muted: dict[str, int] = {}
        self.entitlements = RoomEntitlements()
        self.chunks: list[EntitlementsChunk] = []  # they came for the next detail
        self.admission_queues = AdmissionQueues(config.admission_margin, config.reply_wait_ms / 1000)

    @property
    def live(self) -> bool:
        """Whether viewers can join."""
        return self.ring.keyframe is not None and not self.lost

    @property
    def needs_state(self) -> bool:
        """Whether viewers wait for the room's state, or the ring needs a newer keyframe."""
        return (bool(self.users) and not self.live) or (bool(self.stream_id) and self.ring.wants_keyframe)

    @property
    def knows_entitlements(self) -> bool:
        """Whether `entitlements` is complete: the room has begun, and has missed no event since."""
        return bool(self.stream_id) and not self.lost

    @property
    def public_stream_id(self) -> str:
        """The stream id that viewers get: the engine's one, and the incarnation of its partition if it has one."""
        return self.stream_id + self._stream_suffix

    @property
    def next_seq(self) -> int:
        """The seq of the room's next event."""
        return self.ring.end + len(self._pending)

    @property
    def has_news(self) -> bool:
        """Whether there are new events for viewers."""
        return self._has_news

    @property
    def audience(self) -> int:
        """The number of users with the role `viewer`, not of connections."""
        return sum(1 for user in self.users.values() if (sender := user[0].connection.sender) is not None and sender.role is Role.viewer)

    # The stream

    def extend(self, from_: int, events: Sequence[Event], time_ms: int) -> list[tuple[str, int, str]]:
        """Apply events of an accepted record, and return new bans as (user, end, reason). Known events are ignored; a gap makes the room lost."""
        bans: list[tuple[str, int, str]] = []
        if not self.stream_id or self.lost:
            return bans
        if from_ > self.next_seq:
            self.lost = True
            return bans
        self.time_ms = time_ms
        for event in events[self.next_seq - from_ :]:
            self.admission_queues.apply(self.next_seq, event)
            self.entitlements.apply(self.next_seq, event)
            if event.delivery is Delivery.personal:
                self._send_personal(self.next_seq, event)
                if isinstance(event, SanctionExplained) and event.sanction == "ban":
                    bans[-1:] = [(event.user, until_ms, event.reason) for _, until_ms, _ in bans[-1:]]
            elif event.delivery is not Delivery.internal:
                self._has_news = True
                self._apply_sanction(event, bans)
            self._pending.append(event)
            if len(self._pending) >= PENDING_EVENTS_MAX:
                self.seal()
        return bans

    def _apply_sanction(self, event: Event, bans: list[tuple[str, int, str]]) -> None:
        if isinstance(event, UserBanned):
            _mark(self.banned, event.user, event.until_ms, self.time_ms)
            bans.append((event.user, event.until_ms, ""))
        elif isinstance(event, UserUnbanned):
            self.banned.pop(event.user, None)
        elif isinstance(event, UserMuted):
            _mark(self.muted, event.user, event.until_ms, self.time_ms)
        elif isinstance(event, UserUnmuted):
            self.muted.pop(event.user, None)

    def _send_personal(self, seq: int, event: Event) -> None:
        """Send a personal event to its user's connections alone. The ring is for all viewers, so it never holds such events."""
        subscriptions = self.users.get(getattr(event, "user", ""), ())
        if not subscriptions:
            return
        more = b"".join(b',"%b":%b' % (name.encode(), encode(value)) for name, value in self.entitlements.addition(event).items())
        frame = text_frame(b'{"type":"personal","seq":%d,"time_ms":%d,"event":%b%b}' % (seq, self.time_ms, event_bytes(event, seq), more))
        self.metrics.isolated.each("gateway_viewer", subscriptions, lambda subscription: subscription.connection.notify(frame))

    def begin(self, detail: RoomDetail, past: Sequence[EventSpan]) -> Begin:
        """Take a room's detail and the events before it."""
        keyframe, chunks = detail.keyframe, self.chunks
        self.chunks = []
        same = self.stream_id in ("", keyframe.stream_id)
        if same and self.knows_entitlements and keyframe.seq <= self.next_seq:
            if keyframe.seq == self.next_seq:  # otherwise the detail is old, because the partition is read again after an error
                self.banned, self.muted = dict(detail.banned), dict(detail.muted)
                self.renew(keyframe)
                return Begin.same_stream
            return Begin.too_old
        if detail.entitlements != len(chunks) or any(
            (chunk.stream_id, chunk.seq, chunk.number) != (keyframe.stream_id, keyframe.seq, i) for i, chunk in enumerate(chunks)
        ):
            self.lost = bool(self.stream_id)  # its chunks of entitlements are incomplete, so another detail must be requested
            return Begin.incomplete
        self.banned, self.muted = dict(detail.banned), dict(detail.muted)
        self._start(keyframe, chunks, past)
        return Begin.same_stream if same else Begin.new_stream

    def go_on(self, detail: RoomDetail) -> Iterable[tuple[str, int]]:
        """Take a continuation of the detail with which the room began, and return its bans as (user, end)."""
        if not self.knows_entitlements or (detail.keyframe.stream_id, detail.keyframe.seq) != (self.stream_id, self.next_seq):
            return ()
        bans: dict[str, int] = detail.banned
        self.banned.update(bans)
        self.muted.update(detail.muted)
        return bans.items()

    def receive(self, chunk: EntitlementsChunk) -> None:
        """Take a chunk of entitlements. The detail that follows the last chunk names their number."""
        if self.knows_entitlements and chunk.stream_id == self.stream_id:
            return
        if not chunk.number:
            self.chunks.clear()
        self.chunks.append(chunk)

    def renew(self, keyframe: Keyframe) -> bool:
        """Take a keyframe of the state after all events so far, and return whether it fits.

        A keyframe beyond a gap does not end the gap, because it lacks entitlements.
        """
        if not self.stream_id or self.lost or keyframe.stream_id != self.stream_id or keyframe.seq < self.next_seq:
            return False
        if keyframe.seq > self.next_seq:
            self.lost = True
            return False
        self.seal()
        self.ring.renew(self._keyframe_frame(keyframe))
        self.time_ms = keyframe.time_ms
        return True

    def _start(self, keyframe: Keyframe, chunks: Sequence[EntitlementsChunk], past: Sequence[EventSpan]) -> None:
        self._pending.clear()
        self.stream_id = keyframe.stream_id
        self.time_ms = keyframe.time_ms
        self.lost = False
        self._has_news = bool(self.viewers)
        self.admission_queues.begin(keyframe, past)
        self.entitlements = RoomEntitlements(chunks)
        self.ring.begin(self._keyframe_frame(keyframe), self._past_frames(past))
        self.broadcast_end = self.ring.end  # `advance` writes to viewers with a lower cursor
        behind = [
            viewer for viewer in self.viewers if viewer.cursor >= self.ring.start
        ]  # viewers who continue within the past have missed personal events
        self.metrics.isolated.each("gateway_viewer", behind, lambda viewer: viewer.connection.notify(self.entitlements_frame(viewer.user)))

    def _keyframe_frame(self, keyframe: Keyframe) -> RingFrame:
        return RingFrame.of(
            keyframe.seq, keyframe.seq, encode(replace(keyframe, stream_id=self.public_stream_id) if self._stream_suffix else keyframe)
        )

    def _past_frames(self, past: Sequence[EventSpan]) -> list[RingFrame]:
        frames: list[RingFrame] = []
        for some in _runs(past):
            events = [event for span in some for event in span.events]
            frames += build_deltas(some[0].from_, events, some[-1].time_ms, self._config.frame_bytes_max)
        return frames

    def seal(self) -> None:
        """Turn the events of this tick into frames."""
        if self._pending:
            frames = build_deltas(self.ring.end, self._pending, self.time_ms, self._config.frame_bytes_max)
            self._pending.clear()
            for frame in frames:
                self.ring.append(frame)
            self.metrics.gateway_frames_built.inc(len(frames))

    def note_broadcast(self, seq: int, began: float) -> None:
        """Note the begin of a broadcast that writes all events below `seq`."""
        self.broadcast_end = seq
        self.broadcast_at = began
        self.news_at = 0.0
        self._has_news = False

    # Viewers

    def viewers_in_turn(self) -> list[Subscription]:
        """All viewers, in the order of the next broadcast.

        Each broadcast begins further on by the golden ratio of the list.
        So each viewer is soon among the first, whatever the size of the room, and over time as often first as last.
        """
        begin = int(self.sweep_share * len(self.viewers))
        self.sweep_share = (self.sweep_share + GOLDEN_RATIO) % 1.0
        return self.viewers[begin:] + self.viewers[:begin]

    def admit(self, connection: Connection) -> tuple[Subscription, Connection | None]:
        """Add a subscription to its user's. Also returns the user's oldest connection if there are too many now."""
        subscription = Subscription(self, connection)
        user = subscription.user
        others = self.users.get(user, ())
        self.users[user] = (*others, subscription)
        return subscription, others[0].connection if len(others) >= self._config.connections_per_user_max else None

    def watched_s(self, user: str, now: float) -> int:
        """The time since the oldest of a user's connections joined, in whole seconds; 0 without a joined connection."""
        joined = [subscription.joined_at for subscription in self.users.get(user, ()) if subscription.joined]
        return int(now - min(joined)) if joined else 0

    def is_behind(self, resume: Resume | None) -> bool:
        """Whether a viewer has seen more of this stream than this gateway. Another gateway is ahead, or the stream was set back."""
        return resume is not None and resume[0] == self.public_stream_id and resume[1] > self.next_seq

    def join(self, subscription: Subscription, resume: Resume | None, now_ms: int, response: bytes = b"", *, catches_up: bool = False) -> Start:
        """Let a viewer join, with one write, and return the kind of its start.

        The write begins with the `response` of the handshake, if that has not been written yet.

        With `catches_up`, a viewer who is ahead continues at the ring's end, and its client ignores events that it has.
        `now_ms` is the room's time.
        """
        keyframe = self.ring.keyframe
        assert keyframe is not None
        connection = subscription.connection
        sender = connection.sender
        assert sender is not None
        start: Start = "keyframe"
        seq = keyframe.to
        known = resume[1] if resume is not None and resume[0].partition(".")[0] == self.stream_id else None
        if resume is not None and resume[0] == self.public_stream_id:
            if resume[1] > self.ring.end:
                self.seal()  # another gateway may have sent it the events of the present tick
            if resume[1] >= self.ring.start and (catches_up or resume[1] <= self.ring.end):
                start, seq = "resumed", self.ring.boundary(min(resume[1], self.ring.end))
        joined = Joined(
            room=self.id,
            stream_id=self.public_stream_id,
            user=sender.user,
            name=sender.name,
            role=sender.role,
            seq=seq,
            resumed=start == "resumed",
            time_ms=now_ms,
            command_bytes_max=self._config.command_bytes_max,
            commands_per_s=self._config.commands_per_s,
            idle_ms=self._config.idle_ms,
            muted_until_ms=self.muted.get(sender.user, 0),
            beat_ms=self._config.beat_ms,
        )
        head = response + text_frame(encode(joined))
        if start == "keyframe":
            if known is not None:
                start = "skipped"
                head += text_frame(encode(Skipped(from_=known, to=seq)))
            head += keyframe.bytes(connection.deflate)
        head += self.entitlements_frame(sender.user)
        self.viewers.append(subscription)
        self.deflaters += connection.deflate
        subscription.join(len(self.viewers) - 1, seq, head)
        return start

    def entitlements_frame(self, user: str) -> bytes:
        """The frame with a user's entitlements. Every personal event is either included in it or sent after it."""
        return self.entitlements.frame(user, self.next_seq)

    def leave(self, connection: Connection) -> Subscription | None:
        """Remove a connection, joined or waiting. Returns its subscription; `None` if it has none here."""
        assert connection.sender is not None
        user = connection.sender.user
        everyone = self.users.pop(user, ())
        if others := tuple(one for one in everyone if one.connection is not connection):
            self.users[user] = others
        subscription = next((one for one in everyone if one.connection is connection), None)
        if subscription is not None and subscription.joined:
            last = self.viewers.pop()
            if last is not subscription:
                self.viewers[subscription.place] = last
                last.place = subscription.place
            self.deflaters -= subscription.connection.deflate
            subscription.leave()
        return subscription


def _runs(past: Sequence[EventSpan]) -> Iterator[list[EventSpan]]:
    """Groups of consecutive spans, so that a past of many small records takes few frames."""
    run: list[EventSpan] = []
    for span in past:
        run.append(span)
        if sum(len(s.events) for s in run) >= PAST_EVENTS_PER_FRAME:
            yield run
            run = []
    if run:
        yield run


def _mark(until: dict[str, int], user: str, until_ms: int, now_ms: int) -> None:
    until[user] = until_ms
    if len(until) > MARKS_MAX:
        for name in [u for u, t in until.items() if t <= now_ms]:
            del until[name]
