"""One step: commands and due timers in, one record out. It is decided on the engine's own state, ahead of the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from liveroom.config.schema import Config
from liveroom.engine.partition import ARCHIVED, DERIVED_AGAIN, PartitionState
from liveroom.engine.sizes import RECORD_HEAD_BYTES, SPAN_HEAD_BYTES, commands_bytes_max, refusal_bytes_max
from liveroom.engine.unwritable import Unwritable, failure_of, unwritable
from liveroom.journal.base import PAYLOAD_CHARS_MAX, CommandBatch, DeadLetter
from liveroom.journal.idempotency import Shortage, key_of
from liveroom.messages.text import escaped
from liveroom.protocol.codec import command_digest, encode
from liveroom.protocol.commands import OpenRoom, RequestKeyframe
from liveroom.protocol.events import Event
from liveroom.protocol.frames import Accepted, Keyframe, Refused, RoomDetail
from liveroom.protocol.holdings import HoldingsPart
from liveroom.protocol.records import RECORD_VERSION, Answer, Record, Request, RoomSpan
from liveroom.rooms.room import Refusal, Rng, RoomState, decide, evolve_all
from liveroom.telemetry.isolation import IsolatedErrors

__all__ = ["Step", "WaitingBatch", "weigh"]

#: The offset of a dead letter that no command is behind.
NO_COMMAND: Final = -1

UNDECIDABLE = Refusal("internal_error", "an error in the server kept it from deciding this command")
#: Not remembered: a room that closes or is archived makes place.
TOO_MANY_ROOMS = Refusal("overloaded", "the server has no space for another open room now; try again later", retry_after_ms=1_000)
OVERLOADED = Refusal("overloaded", "too many commands came at once; try again", retry_after_ms=1_000)
#: What could not be told apart from its repetition must not happen. Neither refusal is remembered.
SHORTAGES: Final[dict[Shortage, Refusal]] = {
    "all": Refusal("overloaded", "the server cannot remember more payments now; try again later", retry_after_ms=5_000),
    "user": Refusal("rate_limited", "you reserved, claimed or paid too often in the last minutes; try again later", retry_after_ms=5_000),
}


class WaitingBatch(Struct, frozen=True, gc=False):
    """A batch that waits to be answered: its commands as JSON, and the most that it adds to its record."""

    batch: CommandBatch
    commands: list[bytes]
    bytes_max: int


def weigh(batch: CommandBatch) -> WaitingBatch:
    """A batch as it waits."""
    commands = [encode(request.command) for request in batch.requests]
    return WaitingBatch(batch, commands, commands_bytes_max(batch.requests, commands))


class Step:
    """Collects the effects of one step; `record()` makes it the journal's."""

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
        self._answers: list[Answer] = []
        self._requests: list[tuple[int, Sequence[Request]]] = []  # with their offsets, in the order of their answers
        self._refused = 0
        self._repeated = 0
        self.dead_letters: list[DeadLetter] = []
        self.broken: dict[str, int] = {}  # rooms that were put away, and the seq up to which they are to be derived again
        self.wanted_details: dict[str, bool] = {}  # room -> with what its users own
        self._bytes_max = config.journal.record_bytes_max - RECORD_HEAD_BYTES
        self._bytes_left = self._bytes_max  # at least: what is in the record counts with the most that it may be

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened and nobody is answered."""
        return not self._spans and not self._answers

    @property
    def events_count(self) -> int:
        """Events that happened."""
        return sum(len(events) for _, events in self._spans.values())

    @property
    def outcomes_count(self) -> dict[str, int]:
        """Commands by what became of them; one that is poison may have been answered too."""
        accepted = len(self._answers) - self._refused - self._repeated
        return {"accepted": accepted, "refused": self._refused, "repeated": self._repeated, "poison": len(self.dead_letters)}

    def has_room(self, bytes_max: int) -> bool:
        """Whether the record may surely grow by so much."""
        return bytes_max <= self._bytes_left

    def take_room(self, bytes_max: int) -> None:
        """Reckon with something that grows it by at most so much."""
        self._bytes_left -= bytes_max

    def answer_batch(self, waiting: WaitingBatch) -> None:
        """Decide every command of a batch in order; of one that may be larger than a record, the only one in it, those that there is room for."""
        batch = waiting.batch
        if batch.poison:
            self._add_dead_letter(batch.offset, batch.poison, batch.payload)
        if not self.has_room(waiting.bytes_max):
            self._answer_some(waiting)
            return
        self.take_room(waiting.bytes_max)
        self._requests.append((batch.offset, batch.requests))
        for request, command in zip(batch.requests, waiting.commands, strict=True):
            self._answers.append(self._answer(request, command, batch.offset))

    def _answer_some(self, waiting: WaitingBatch) -> None:
        batch = waiting.batch
        refusals = [refusal_bytes_max(request) for request in batch.requests]
        kept = sum(refusals)
        if not self.has_room(kept):
            self._add_dead_letter(batch.offset, "too_large: answers to all of the list would not fit into a record", encode(batch.requests).decode())
            return
        self._requests.append((batch.offset, batch.requests))
        full = False
        for request, command, refusal in zip(batch.requests, waiting.commands, refusals, strict=True):
            kept -= refusal
            full = full or not self._has_room_after_all(commands_bytes_max((request,), (command,)) + kept)
            if full:  # not remembered: the same id may try again
                self._answers.append(_unremembered(request, self._refuse(request, 0, OVERLOADED)))
            else:
                self._answers.append(self._answer(request, command, batch.offset))
                self.take_room(commands_bytes_max((request,), (command,)))
        self._bytes_left = 0

    def _has_room_after_all(self, bytes_max: int) -> bool:
        """As `has_room`, by what is in the record: it took less than was reckoned with."""
        if bytes_max > self._bytes_left:
            spans = sum(len(encode(events)) + SPAN_HEAD_BYTES for _, events in self._spans.values())
            self._bytes_left = self._bytes_max - spans - len(encode(self._answers))
        return bytes_max <= self._bytes_left

    def happen(self, room: str, events: Sequence[Event]) -> None:
        """Apply events of a room that a timer made. Raises what raises in it; the room is put away then."""
        state = self._rooms[room]
        if events:
            self._apply(room, state, state.seq, events)

    def fail_timer(self, room: str, error: Exception) -> None:
        """Set aside a timer whose events could not be made or applied."""
        self._add_dead_letter(NO_COMMAND, f"a timer: {type(error).__name__}: {error}", room)

    def changed_rooms(self) -> dict[str, list[Event]]:
        """The rooms in which something happened, with their events."""
        return {room: events for room, (_, events) in self._spans.items()}

    def record(
        self,
        epoch: int,
        step: int,
        from_: int,
        to: int,
        keyframes: Sequence[Keyframe] = (),
        details: Sequence[RoomDetail] = (),
        holdings: Sequence[HoldingsPart] = (),
    ) -> Record:
        """The step as a record that answers the command offsets [from_, to); nothing more may be added to it but `end`."""
        return Record(
            v=RECORD_VERSION,
            epoch=epoch,
            step=step,
            from_=from_,
            to=to,
            time_ms=self.time_ms,
            after="" if step else self._state.acceptance.after,
            rooms={room: RoomSpan(seq, tuple(events)) for room, (seq, events) in self._spans.items()},
            answers=tuple(self._answers),
            keyframes=tuple(keyframes),
            details=tuple(details),
            holdings=tuple(holdings),
        )

    def end(self) -> None:
        """The record is on its way to the journal."""
        self._state.time_ms = self.time_ms
        self._outcomes.end_record(self.time_ms)

    def repaired(self, record: Record) -> Record:
        """The record of this step, which could not be encoded, without what cannot be.

        A command whose event or result is such is set aside. Its room is put away as it was before the step; that room's other
        commands may be sent again. Raises what raises when nothing of the kind is found.
        """
        bad = unwritable(record)
        answers: list[Answer] = []
        requests = [(offset, request) for offset, some in self._requests for request in some]
        for answer, (offset, request) in zip(record.answers, requests, strict=True):
            answers.append(self._taken_back(answer, request, offset, bad[answer.room]) if answer.room in bad else answer)
        for room in bad:
            if span := self._spans.pop(room, None):
                if span[0]:
                    self._state.put_away(room)
                    self.broken[room] = span[0]
                else:
                    self._state.was_not_opened(room)
                    self.broken.pop(room, None)
        handed = not any(map(failure_of, (*record.details, *record.holdings)))
        return replace(
            record,
            rooms={room: span for room, span in record.rooms.items() if room not in bad},
            answers=tuple(answers),
            keyframes=tuple(keyframe for keyframe in record.keyframes if keyframe.room not in bad and not failure_of(keyframe)),
            details=record.details if handed else (),
            holdings=record.holdings if handed else (),
        )

    def _taken_back(self, answer: Answer, request: Request, offset: int, bad: Unwritable) -> Answer:
        """What a command is answered whose room cannot have what happened."""
        if answer.digest and not answer.repeated:
            self._outcomes.unremember(key_of(answer))
        if answer.repeated:
            self._repeated -= 1
        elif type(answer.reply) is Refused:
            self._refused -= 1
        if bad.is_of(answer):
            self._add_dead_letter(offset, f"cannot be encoded: {bad.reason}", _payload(request))
            return _unremembered(request, self._refuse(request, 0, UNDECIDABLE))
        return _unremembered(request, self._refuse(request, 0, DERIVED_AGAIN))

    def _answer(self, request: Request, command: bytes, offset: int) -> Answer:
        """Decide a command, or repeat the answer that its id got before."""
        sender, outcomes = request.sender, self._outcomes
        if (away := self._state.away) and request.room in away:
            return _unremembered(request, self._refuse(request, 0, away[request.room]))
        if request.room not in self._rooms and self._state.is_archived(request.room):
            return _unremembered(request, self._refuse(request, 0, ARCHIVED))
        if sender.backend:  # a gateway's own commands are never retried under the same id: they are answered but not remembered
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
        kept = sender.role if money and type(reply) is Accepted else None
        answer = Answer(request.room, sender.user, digest, reply, request.source, request.connection, kept=kept)
        outcomes.remember(key, answer)
        return answer

    def _repeat(self, request: Request, digest: int, known: Answer) -> Answer:
        """The answer that an id got before, for the same command and for no other."""
        self._repeated += 1
        reply = known.reply
        if known.digest != digest:
            reply = Refused(request.id, "id_reused", "this id was used before for another command")
        return Answer(request.room, request.sender.user, digest, reply, request.source, request.connection, repeated=True)

    def _decide(self, request: Request, offset: int) -> Accepted | Refused:
        room = request.room
        state = self._rooms.get(room)
        seq = 0 if state is None else state.seq
        try:
            decision = decide(state, request, self.time_ms, self._rng, self._rules)
            if type(decision) is Refusal:  # a Struct's isinstance() takes six times as long to say no
                return self._refuse(request, seq, decision)
            events = decision.events
            if events:
                self._apply(room, state, seq, events)
        except Exception as error:
            self._isolated.note("engine_command", room=room, user=request.sender.user, command_id=request.id)
            self._add_dead_letter(offset, f"{type(error).__name__}: {error}", _payload(request))
            return self._refuse(request, seq, UNDECIDABLE)
        if not events and type(request.command) is RequestKeyframe:
            self.wanted_details[room] = request.command.holdings or self.wanted_details.get(room, False)
        return Accepted(request.id, seq + len(events), decision.result)

    def _has_space(self, room: str) -> bool:
        """Whether this room may be open; a room that rests makes place for it."""
        if (state := self._rooms.get(room)) is not None and state.open:
            return True
        others = len(self._rooms) - (room in self._rooms)
        return others < self._rooms_max or self._state.make_space(room)

    def _apply(self, room: str, state: RoomState | None, seq: int, events: Sequence[Event]) -> None:
        """Fold events and take them into the record. After an error the room is put away, since some of them may be folded."""
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


def _unremembered(request: Request, reply: Accepted | Refused) -> Answer:
    """An answer after which the same id may be sent again for anything."""
    return Answer(request.room, request.sender.user, 0, reply, request.source, request.connection)
