"""One step: commands and due timers go in, one record comes out.

It is decided on the engine's own state, ahead of the journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from liveroom.config.schema import Config
from liveroom.engine.partition import ARCHIVED, DERIVED_AGAIN, PartitionState
from liveroom.engine.sizes import RECORD_HEAD_BYTES, SPAN_HEAD_BYTES, commands_bytes_max, refusal_bytes_max
from liveroom.engine.unwritable import Unwritable, failure_of, unwritable
from liveroom.features.lifecycle.messages import OpenRoom, RequestKeyframe
from liveroom.journal.base import PAYLOAD_CHARS_MAX, CommandBatch, DeadLetter
from liveroom.journal.idempotency import Shortage, key_of
from liveroom.messages.text import escaped
from liveroom.protocol.codec import command_digest, encode
from liveroom.protocol.entitlements import EntitlementsChunk
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Accepted, Keyframe, Refused, RoomDetail
from liveroom.protocol.records import RECORD_VERSION, CommandReply, Record, Request, RoomSpan
from liveroom.rooms.room import Refusal, Rng, RoomState, decide, evolve_all
from liveroom.telemetry.isolation import IsolatedErrors
from liveroom.telemetry.metrics import Metrics

__all__ = ["Step", "WaitingBatch", "measure"]

#: The offset of a dead letter without a command.
NO_COMMAND: Final = -1

UNDECIDABLE = Refusal("internal_error", "an error in the server kept it from deciding this command")
#: This refusal is not remembered, because a slot becomes free when a room closes or is archived.
TOO_MANY_ROOMS = Refusal("overloaded", "the server has no space for another open room now; try again later", retry_after_ms=1_000)
OVERLOADED = Refusal("overloaded", "too many commands came at once; try again", retry_after_ms=1_000)
#: A payment command whose retry could not be recognized must not run. Neither refusal is remembered.
SHORTAGES: Final[dict[Shortage, Refusal]] = {
    "all": Refusal("overloaded", "the server cannot remember more payments now; try again later", retry_after_ms=5_000),
    "user": Refusal("rate_limited", "you reserved, claimed or paid too often in the last minutes; try again later", retry_after_ms=5_000),
}


class WaitingBatch(Struct, frozen=True, gc=False):
    """A batch that waits for its step: its commands as JSON, and the most bytes that it adds to the record."""

    batch: CommandBatch
    commands: list[bytes]
    bytes_max: int


def measure(batch: CommandBatch) -> WaitingBatch:
    """Encode and measure a batch."""
    commands = [encode(request.command) for request in batch.requests]
    return WaitingBatch(batch, commands, commands_bytes_max(batch.requests, commands))


class Step:
    """Collects the effects of one step. `record()` turns them into a record for the journal."""

    def __init__(self, partition: int, state: PartitionState, config: Config, rng: Rng, now_ms: int, isolated: IsolatedErrors) -> None:
        self._isolated = isolated
        self._partition = partition
        self._state = state
        self._rooms = state.rooms
        self._outcomes = state.outcomes
        self._rooms_max = config.engine.rooms_max
        self._rules = config.rooms
        self._rng = rng
        self.time_ms = max(state.time_ms, now_ms)
        self._spans: dict[str, tuple[int, list[Event]]] = {}
        self._replies: list[CommandReply] = []
        self._requests: list[tuple[int, Sequence[Request]]] = []  # with their offsets, in the order of the replies
        self._refused = 0
        self._repeated = 0
        self.dead_letters: list[DeadLetter] = []
        self.broken: dict[str, int] = {}  # room that was put away -> the seq up to which it is rebuilt
        self.wanted_details: dict[str, bool] = {}  # room -> whether to include its users' entitlements
        self._bytes_max = config.journal.record_bytes_max - RECORD_HEAD_BYTES
        self._bytes_left = self._bytes_max  # a lower bound, because each item counts with its largest possible size

    @property
    def is_empty(self) -> bool:
        """Whether there are neither events nor replies."""
        return not self._spans and not self._replies

    def count(self, metrics: Metrics) -> None:
        """Count the step and its commands by outcome; a poison command may be counted as answered too."""
        accepted = len(self._replies) - self._refused - self._repeated
        outcomes = {"accepted": accepted, "refused": self._refused, "repeated": self._repeated, "poison": len(self.dead_letters)}
        metrics.engine_steps.inc()
        metrics.engine_step_commands.observe(len(self._replies))
        metrics.engine_events.inc(sum(len(events) for _, events in self._spans.values()))
        for outcome, count in outcomes.items():
            if count:
                metrics.engine_commands.labels(outcome).inc(count)

    def has_capacity(self, bytes_max: int) -> bool:
        """Whether the record certainly has space for this many bytes."""
        return bytes_max <= self._bytes_left

    def reserve_bytes(self, bytes_max: int) -> None:
        """Reserve this many bytes in the record."""
        self._bytes_left -= bytes_max

    def answer_batch(self, waiting: WaitingBatch) -> None:
        """Decide every command of a batch in order.

        A batch that may exceed a record comes alone; commands beyond the space are refused as `overloaded`.
        """
        batch = waiting.batch
        if batch.poison:
            self._add_dead_letter(batch.offset, batch.poison, batch.payload)
        if not self.has_capacity(waiting.bytes_max):
            self._answer_some(waiting)
            return
        self.reserve_bytes(waiting.bytes_max)
        self._requests.append((batch.offset, batch.requests))
        for request, command in zip(batch.requests, waiting.commands, strict=True):
            self._replies.append(self._answer(request, command, batch.offset))

    def _answer_some(self, waiting: WaitingBatch) -> None:
        batch = waiting.batch
        refusals = [refusal_bytes_max(request) for request in batch.requests]
        kept = sum(refusals)
        if not self.has_capacity(kept):
            self._add_dead_letter(batch.offset, "too_large: replies to all of the list would not fit into a record", encode(batch.requests).decode())
            return
        self._requests.append((batch.offset, batch.requests))
        full = False
        for request, command, refusal in zip(batch.requests, waiting.commands, refusals, strict=True):
            kept -= refusal
            full = full or not self._has_capacity_by_content(commands_bytes_max((request,), (command,)) + kept)
            if full:  # not remembered, so the same id may try again
                self._replies.append(_unremembered(request, self._refuse(request, 0, OVERLOADED)))
            else:
                self._replies.append(self._answer(request, command, batch.offset))
                self.reserve_bytes(commands_bytes_max((request,), (command,)))
        self._bytes_left = 0

    def _has_capacity_by_content(self, bytes_max: int) -> bool:
        """Like `has_capacity`, but measured by the present content, which takes less than was reserved."""
        if bytes_max > self._bytes_left:
            spans = sum(len(encode(events)) + SPAN_HEAD_BYTES for _, events in self._spans.values())
            self._bytes_left = self._bytes_max - spans - len(encode(self._replies))
        return bytes_max <= self._bytes_left

    def happen(self, room: str, events: Sequence[Event]) -> None:
        """Apply the events of a room's timer. Raises the error of an event that cannot be applied; the room is put away then."""
        state = self._rooms[room]
        if events:
            self._apply(room, state, state.seq, events)

    def fail_timer(self, room: str, error: Exception) -> None:
        """Write a dead letter for a timer whose events could not be made or applied."""
        self._add_dead_letter(NO_COMMAND, f"a timer: {type(error).__name__}: {error}", room)

    def changed_rooms(self) -> dict[str, list[Event]]:
        """The changed rooms with their events."""
        return {room: events for room, (_, events) in self._spans.items()}

    def record(
        self,
        fencing_epoch: int,
        step: int,
        from_: int,
        to: int,
        keyframes: Sequence[Keyframe] = (),
        details: Sequence[RoomDetail] = (),
        entitlements: Sequence[EntitlementsChunk] = (),
    ) -> Record:
        """The step as a record that answers the command offsets [from_, to). After that, only `repaired` and `end` may be called."""
        return Record(
            v=RECORD_VERSION,
            fencing_epoch=fencing_epoch,
            step=step,
            from_=from_,
            to=to,
            time_ms=self.time_ms,
            after="" if step else self._state.acceptance.after,
            rooms={room: RoomSpan(seq, tuple(events)) for room, (seq, events) in self._spans.items()},
            replies=tuple(self._replies),
            keyframes=tuple(keyframes),
            details=tuple(details),
            entitlements=tuple(entitlements),
        )

    def end(self) -> None:
        """Advance the partition's time, once the record is handed to the journal."""
        self._state.time_ms = self.time_ms
        self._outcomes.end_record(self.time_ms)

    def repaired(self, record: Record) -> Record:
        """The record without the parts that cannot be encoded.

        A command whose event or result cannot be encoded becomes a dead letter.
        Its room is put away as it was before the step, and the room's other commands may be sent again.
        Raises the original error when no such part is found.
        """
        bad = unwritable(record)
        replies: list[CommandReply] = []
        requests = [(offset, request) for offset, some in self._requests for request in some]
        for command_reply, (offset, request) in zip(record.replies, requests, strict=True):
            replies.append(self._taken_back(command_reply, request, offset, bad[command_reply.room]) if command_reply.room in bad else command_reply)
        for room in bad:
            if span := self._spans.pop(room, None):
                if span[0]:
                    self._state.put_away(room)
                    self.broken[room] = span[0]
                else:
                    self._state.was_not_opened(room)
                    self.broken.pop(room, None)
        chunks_fit = not any(map(failure_of, (*record.details, *record.entitlements)))
        return replace(
            record,
            rooms={room: span for room, span in record.rooms.items() if room not in bad},
            replies=tuple(replies),
            keyframes=tuple(keyframe for keyframe in record.keyframes if keyframe.room not in bad and not failure_of(keyframe)),
            details=record.details if chunks_fit else (),
            entitlements=record.entitlements if chunks_fit else (),
        )

    def _taken_back(self, command_reply: CommandReply, request: Request, offset: int, bad: Unwritable) -> CommandReply:
        """The new reply to a command whose room lost this step's events."""
        if command_reply.digest and not command_reply.repeated:
            self._outcomes.unremember(key_of(command_reply))
        if command_reply.repeated:
            self._repeated -= 1
        elif type(command_reply.reply) is Refused:
            self._refused -= 1
        if bad.is_of(command_reply):
            self._add_dead_letter(offset, f"cannot be encoded: {bad.reason}", _payload(request))
            return _unremembered(request, self._refuse(request, 0, UNDECIDABLE))
        return _unremembered(request, self._refuse(request, 0, DERIVED_AGAIN))

    def _answer(self, request: Request, command: bytes, offset: int) -> CommandReply:
        """Decide a command, or repeat the first reply to its id."""
        sender, outcomes = request.sender, self._outcomes
        if (away := self._state.away) and request.room in away:
            return _unremembered(request, self._refuse(request, 0, away[request.room]))
        if request.room not in self._rooms and self._state.is_archived(request.room):
            return _unremembered(request, self._refuse(request, 0, ARCHIVED))
        if sender.backend:  # A gateway never retries its own commands under the same id, so they are not remembered.
            return _unremembered(request, self._decide(request, offset))
        digest = command_digest(command)
        key = (request.room, sender.user, request.id)
        known = outcomes.find(key)
        if known is not None:
            return self._repeat(request, digest, known)
        money = request.command.moves_money
        if money and (shortage := outcomes.shortage(sender.user, sender.role)):
            return _unremembered(request, self._refuse(request, 0, SHORTAGES[shortage]))
        if type(request.command) is OpenRoom and not self._has_space(request.room):
            return _unremembered(request, self._refuse(request, 0, TOO_MANY_ROOMS))
        reply = self._decide(request, offset)
        money_role = sender.role if money and type(reply) is Accepted else None
        command_reply = CommandReply(request.room, sender.user, digest, reply, request.source, request.connection, money_role=money_role)
        outcomes.remember(key, command_reply)
        return command_reply

    def _repeat(self, request: Request, digest: int, known: CommandReply) -> CommandReply:
        """The first reply to an id, if the command is the same; otherwise `id_reused`."""
        self._repeated += 1
        reply = known.reply
        if known.digest != digest:
            reply = Refused(request.id, "id_reused", "this id was used before for another command")
        return CommandReply(request.room, request.sender.user, digest, reply, request.source, request.connection, repeated=True)

    def _decide(self, request: Request, offset: int) -> Accepted | Refused:
        room = request.room
        state = self._rooms.get(room)
        seq = 0 if state is None else state.seq
        try:
            decision = decide(state, request, self.time_ms, self._rng, self._rules)
            if type(decision) is Refusal:  # isinstance() takes six times as long to say no to a Struct
                return self._refuse(request, seq, decision)
            events = decision.events
            if events:
                self._apply(room, state, seq, events)
        except Exception as error:
            self._isolated.note("engine_command", room=room, user=request.sender.user, command_id=request.id)
            self._add_dead_letter(offset, f"{type(error).__name__}: {error}", _payload(request))
            return self._refuse(request, seq, UNDECIDABLE)
        if not events and type(request.command) is RequestKeyframe:
            self.wanted_details[room] = request.command.entitlements or self.wanted_details.get(room, False)
        return Accepted(request.id, seq + len(events), decision.result)

    def _has_space(self, room: str) -> bool:
        """Whether this room may be opened; a resting room gives up its slot if need be."""
        if (state := self._rooms.get(room)) is not None and state.open:
            return True
        others = len(self._rooms) - (room in self._rooms)
        return others < self._rooms_max or self._state.make_space(room)

    def _apply(self, room: str, state: RoomState | None, seq: int, events: Sequence[Event]) -> None:
        """Fold events and add them to the record. After an error the room is put away, since some of them may be folded."""
        span = self._spans.get(room)
        if span is None:
            self._state.changes(room)
        try:
            self._rooms[room] = evolve_all(state, events, seq, self.time_ms)
        except Exception:
            if state is None:
                self._state.was_not_opened(room)
            else:
                self._state.put_away(room)
                self.broken[room] = seq
            raise
        if span is None:
            span = self._spans[room] = (seq, [])
        span[1].extend(events)

    def _refuse(self, request: Request, seq: int, refusal: Refusal) -> Refused:
        self._refused += 1
        return Refused(request.id, refusal.code, refusal.detail, seq, refusal.field, refusal.retry_after_ms)

    def _add_dead_letter(self, offset: int, reason: str, payload: str) -> None:
        self.dead_letters.append(DeadLetter(self._partition, offset, self.time_ms, escaped(reason), escaped(payload[:PAYLOAD_CHARS_MAX])))


def _payload(request: Request) -> str:
    try:
        return encode(request).decode()
    except Exception:
        return repr(request)


def _unremembered(request: Request, reply: Accepted | Refused) -> CommandReply:
    """A reply that is not remembered: the same id may be sent again, for any command."""
    return CommandReply(request.room, request.sender.user, 0, reply, request.source, request.connection)
