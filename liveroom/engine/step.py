"""One step: commands and due timers in, one record out. It is decided on the engine's own state, ahead of the journal."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from liveroom.codec import command_digest, encode
from liveroom.config import Config
from liveroom.engine.outcomes import Outcome
from liveroom.engine.partition import PartitionState
from liveroom.journal.base import CommandBatch, DeadLetter
from liveroom.messages.commands import RequestKeyframe
from liveroom.messages.events import Event
from liveroom.messages.frames import Accepted, Keyframe, Refused, RoomDetail
from liveroom.messages.records import RECORD_VERSION, Answer, Record, Request, RoomSpan
from liveroom.rooms.room import Refusal, Rng, RoomState, decide, evolve

__all__ = ["Step", "command_bytes"]

log = logging.getLogger("liveroom.engine")

#: What an answer and an event add to a command's own bytes, at most: names, ids, numbers, a refusal's words.
COMMAND_OVERHEAD_BYTES = 1_200


def command_bytes(request: Request) -> int:
    """An upper bound of what a command adds to its record: its text may stand in an event and in a showcase."""
    return 2 * len(encode(request.command)) + COMMAND_OVERHEAD_BYTES


class Step:
    """Collects the effects of one step; `record()` makes it the journal's."""

    def __init__(self, partition: int, state: PartitionState, config: Config, rng: Rng, now_ms: int) -> None:
        self._partition = partition
        self._state = state
        self._config = config
        self._rng = rng
        self.time_ms = max(state.time_ms, now_ms)
        self._spans: dict[str, tuple[int, list[Event]]] = {}
        self._answers: list[Answer] = []
        self.outcomes_count = {"accepted": 0, "refused": 0, "repeated": 0, "poison": 0}
        self.dead_letters: list[DeadLetter] = []
        self.wanted_details: list[str] = []
        self.events_count = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened and nobody is answered."""
        return not self._spans and not self._answers

    def answer_batch(self, batch: CommandBatch) -> None:
        """Decide every command of a batch in order."""
        if batch.poison:
            self._set_aside(batch.offset, batch.poison, "")
        for request in batch.requests:
            self._answer(request, batch.offset)

    def happen(self, room: str, events: Sequence[Event]) -> None:
        """Apply events of a room, by a command or by a timer alone."""
        state: RoomState | None = self._state.rooms.get(room)
        for event in events:
            seq = state.seq if state is not None else 0
            state = evolve(state, event, seq, self.time_ms)
            self._spans.setdefault(room, (seq, []))[1].append(event)
        if state is not None:
            self._state.rooms[room] = state
        self.events_count += len(events)

    def changed_rooms(self) -> dict[str, tuple[Event, ...]]:
        """The rooms in which something happened, with their events."""
        return {room: tuple(events) for room, (_, events) in self._spans.items()}

    def record(self, epoch: int, step: int, from_: int, to: int, keyframes: Sequence[Keyframe], details: Sequence[RoomDetail]) -> Record:
        """The step as a record that answers the command offsets [from_, to)."""
        self._state.time_ms = self.time_ms
        return Record(
            v=RECORD_VERSION,
            epoch=epoch,
            step=step,
            from_=from_,
            to=to,
            time_ms=self.time_ms,
            rooms={room: RoomSpan(seq, tuple(events)) for room, (seq, events) in self._spans.items()},
            answers=tuple(self._answers),
            keyframes=tuple(keyframes),
            details=tuple(details),
        )

    def _answer(self, request: Request, offset: int) -> None:
        sender = request.sender
        # A gateway's own commands are never retried under the same id: they are answered but not remembered.
        digest = "" if sender.backend else command_digest(request.command)
        known = self._state.outcomes.find(request.room, sender.user, request.id) if digest else None
        if known is not None:
            self._repeat(request, digest, known)
            return
        reply = self._decide(request, offset)
        self.outcomes_count["accepted" if isinstance(reply, Accepted) else "refused"] += 1
        self._answers.append(Answer(request.room, sender.user, digest, reply, request.source, request.connection))
        if digest:
            self._state.outcomes.remember(Outcome(request.room, sender.user, self.time_ms, digest, reply))

    def _repeat(self, request: Request, digest: str, known: Outcome) -> None:
        self.outcomes_count["repeated"] += 1
        reply = known.reply
        if known.digest != digest:
            reply = Refused(id=request.id, code="id_reused", detail="this id was used before for another command")
        self._answers.append(Answer(request.room, request.sender.user, digest, reply, request.source, request.connection, repeated=True))

    def _decide(self, request: Request, offset: int) -> Accepted | Refused:
        state = self._state.rooms.get(request.room)
        seq = state.seq if state is not None else 0
        if state is None and len(self._state.rooms) >= self._config.engine.rooms_max:
            return Refused(id=request.id, code="limit_reached", detail="this partition holds as many rooms as it may")
        try:
            decision = decide(state, request, self.time_ms, self._rng, self._config.rooms)
        except Exception as error:
            log.exception("a command could not be decided", extra={"room": request.room, "command_id": request.id})
            self._set_aside(offset, f"{type(error).__name__}: {error}", encode(request).decode())
            return Refused(id=request.id, code="internal_error", detail="the command could not be decided", seq=seq)
        if isinstance(decision, Refusal):
            return Refused(
                id=request.id,
                code=decision.code,
                detail=decision.detail,
                seq=seq,
                field=decision.field,
                retry_after_ms=decision.retry_after_ms,
            )
        self.happen(request.room, decision.events)
        if isinstance(request.command, RequestKeyframe) and request.room not in self.wanted_details:
            self.wanted_details.append(request.room)
        return Accepted(id=request.id, seq=self._state.rooms[request.room].seq, result=decision.result)

    def _set_aside(self, offset: int, reason: str, payload: str) -> None:
        self.outcomes_count["poison"] += 1
        self.dead_letters.append(DeadLetter(self._partition, offset, self.time_ms, reason, payload))
