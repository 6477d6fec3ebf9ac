"""The owner of one partition, from its takeover until it loses the partition.

How it works:

1. `run` appends a `Takeover`. The offset of that entry is the fencing epoch of all records that this owner writes.
2. `_recover` loads the newest snapshot and folds the accepted records behind it, up to the own takeover. It decides nothing.
3. `_read_commands` puts batches of commands into the inbox. `_serve` turns them and the due timers into steps, and each step into one
   record.
4. Decisions run ahead of the journal: up to `engine.steps_in_flight_max` appends may wait to become durable.
5. `_watch` reads the log of events back, and `_confirm` judges each entry by the acceptance rule. A foreign takeover raises
   `PartitionLost`.
6. Every error ends `run`. After a lost partition or an unavailable journal, the engine starts a new owner, which folds the log again.
   After damage or an unforeseen error the partition stops until an operator has looked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from uuid import uuid4

from liveroom.config.schema import Config
from liveroom.engine.archive import Archive, restore
from liveroom.engine.clock import PartitionClock
from liveroom.engine.keyframes import KeyframeSchedule
from liveroom.engine.partition import PartitionState
from liveroom.engine.recovery import RoomRecovery
from liveroom.engine.sizes import ROOM_DUE_BYTES_MAX, SPAN_HEAD_BYTES
from liveroom.engine.snapshots import Moment
from liveroom.engine.state_transfer import StateTransfer
from liveroom.engine.step import Step, WaitingBatch, measure
from liveroom.engine.timers import Timers
from liveroom.journal.acceptance import Acceptance, Verdict
from liveroom.journal.base import PAYLOAD_CHARS_MAX, CommandBatch, Journal, entry_id
from liveroom.messages.errors import InvariantBroken, JournalError
from liveroom.protocol.codec import encode
from liveroom.protocol.frames import Keyframe
from liveroom.protocol.records import RECORD_VERSION, Entry, Record, Takeover
from liveroom.rooms.room import Rng, decide_due, due_ms, keyframe, rests
from liveroom.telemetry.metrics import Metrics

__all__ = ["Owner", "PartitionLost"]

log = logging.getLogger("liveroom.engine")

#: Limit of the batches that wait between the journal's reader and the decisions.
BATCHES_WAITING_MAX = 256
#: A clock that is further behind the partition's time than this gets a warning in the log.
BEHIND_MS_MAX = 1_000
#: A room's timer that raised runs again after this time.
TIMER_AGAIN_MS = 60_000
#: Limit of the rooms whose timers run in one step.
DUE_ROOMS_PER_STEP_MAX = 200


class PartitionLost(Exception):
    """Another engine took the partition over, or wrote under this owner's fencing epoch."""


class Owner:
    """One period of ownership, from a takeover to its loss. A new takeover needs a new `Owner`."""

    def __init__(
        self,
        partition: int,
        journal: Journal,
        config: Config,
        *,
        name: str,
        metrics: Metrics,
        clock_ms: Callable[[], int],
        rng: Rng,
    ) -> None:
        self.partition = partition
        self.ready = False
        self._journal = journal
        self._config = config
        self._name = name
        self._metrics = metrics
        self._clock_ms = clock_ms
        self._rng = rng
        self._state = PartitionState(config.engine)
        self._archive: Archive  # the archive of `_state`, set by `_recover`
        self._keyframes = KeyframeSchedule(config.engine)
        self._isolated = metrics.isolated
        self._state_transfer = StateTransfer(config.rooms, config.journal.record_bytes_max, self._isolated)
        self._recovery = RoomRecovery(journal, partition, self._isolated, self._came_back)
        self._steps_turn_over = False
        self._timers = Timers()
        self._timers_retry_ms: dict[str, int] = {}  # room whose timer raised -> when it runs again
        self._inbox: deque[WaitingBatch] = deque()
        self._inbox_space = asyncio.Event()
        self._wake = asyncio.Event()
        self._in_flight: dict[asyncio.Future[int], float] = {}  # appends that are not durable yet, oldest first, with the times when they began
        self._failure: BaseException | None = None
        self._confirmed = Acceptance()  # the acceptance rule, applied to the log as it is read back
        self._confirmed_offset = 0
        self._confirmed_entry: Entry  # the entry before `_confirmed_offset`
        self._records_since_snapshot = 0
        self._snapshot_due_ms = 0
        self._saving: asyncio.Task[None] | None = None
        self._fencing_epoch = -1
        self._step = 0
        self._next_command = 0

    @property
    def rooms_count(self) -> int:
        """Rooms in memory."""
        return len(self._state.rooms)

    @property
    def rooms_archived_count(self) -> int:
        """Archived rooms, which are not in memory."""
        return self._archive.archived_count

    @property
    def rooms_set_aside_count(self) -> int:
        """Rooms whose events cannot be applied."""
        return self._state.set_aside_count

    @property
    def append_waiting_s(self) -> float:
        """Seconds that the oldest append has waited to become durable; 0 when none waits."""
        began = next(iter(self._in_flight.values()), None)
        return time.monotonic() - began if began is not None else 0.0

    async def run(self) -> None:
        """Take the partition over and serve it.

        Ends only by an exception: `PartitionLost`, a `JournalError`, a bug outside the rules, or cancellation.
        """
        began = time.monotonic()
        takeover = Takeover(RECORD_VERSION, self._name, self._clock_ms(), uuid4().hex)
        await self._journal.append(self.partition, takeover)
        await self._recover(takeover)
        self._metrics.engine_takeovers.inc()
        self._metrics.engine_takeover_seconds.observe(time.monotonic() - began)
        self._metrics.engine_fencing_epoch.labels(str(self.partition)).set(self._fencing_epoch)
        log.info(
            "partition taken over",
            extra={
                "partition": self.partition,
                "fencing_epoch": self._fencing_epoch,
                "rooms": len(self._state.rooms),
                "next_command": self._next_command,
            },
        )
        self.ready = True
        tasks = [asyncio.create_task(self._read_commands()), asyncio.create_task(self._watch())]
        for task in tasks:
            task.add_done_callback(self._reader_ended)
        try:
            await self._serve()
        finally:
            self.ready = False
            self._metrics.engine_fencing_epoch.remove(str(self.partition))
            await self._recovery.stop()
            tasks += [self._saving] if self._saving else []
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # Recovery: it folds what was decided and decides nothing.

    async def _recover(self, takeover: Takeover) -> None:
        """Fold the log up to the own takeover, whose offset becomes the fencing epoch. Raises `PartitionLost` if the takeover is elsewhere."""
        end = await self._journal.events_end(self.partition)
        self._archive = await restore(self._journal, self.partition, self._config.engine, self._config.rooms)
        self._state = self._archive.state
        start = max(0, self._archive.snapshots.offset)
        if start >= end:
            raise PartitionLost(f"partition {self.partition} was taken over by another engine before this engine began")
        state = self._state
        async with aclosing(self._journal.read_events(self.partition, start)) as entries:
            async for stored in entries:
                verdict = state.acceptance.judge(stored.offset, stored.entry)
                if verdict is Verdict.accepted:
                    assert isinstance(stored.entry, Record)
                    await self._archive.fold(stored.entry)
                elif verdict is not Verdict.takeover:
                    self._metrics.journal_skipped.labels(verdict.value).inc()
                if stored.entry == takeover:
                    self._fencing_epoch = stored.offset
                    break
                if stored.offset + 1 >= end:
                    raise PartitionLost(f"the takeover of partition {self.partition} is not between {start} and {end}")
        if (behind_ms := state.time_ms - self._clock_ms()) > BEHIND_MS_MAX:
            words = "this engine's clock is behind the partition's time, which goes on at half its pace until the clock has caught up"
            log.warning(words, extra={"partition": self.partition, "behind_ms": behind_ms})
        self._clock_ms = PartitionClock(self._clock_ms, state.time_ms)
        self._confirmed = state.acceptance.copy()
        self._confirmed_offset, self._confirmed_entry = self._fencing_epoch + 1, takeover
        self._next_command = state.acceptance.next_command
        self._records_since_snapshot = self._fencing_epoch + 1 - start
        # The first snapshot is due at once.
        # A reader of the whole history starts at the oldest snapshot, so that one must cover the beginning.
        self._snapshot_due_ms = self._clock_ms() + (self._config.engine.snapshot_interval_ms if start else 0)
        for room in state.rooms:
            self._set_timer(room)
        self._derive_damaged()

    # The readers that run while the owner serves.

    async def _read_commands(self) -> None:
        async with aclosing(self._journal.read_commands(self.partition, self._next_command)) as batches:
            async for batch in batches:
                while len(self._inbox) >= BATCHES_WAITING_MAX:
                    self._inbox_space.clear()
                    await self._inbox_space.wait()
                self._inbox.append(self._weigh(batch))
                self._archive.want(batch.requests)
                self._wake.set()

    def _weigh(self, batch: CommandBatch) -> WaitingBatch:
        """Measure a batch; one that cannot be measured becomes a dead letter as a whole."""
        try:
            return measure(batch)
        except Exception as error:
            self._isolated.note("engine_command", partition=self.partition, offset=batch.offset)
            return measure(CommandBatch(batch.offset, (), f"{type(error).__name__}: {error}", repr(batch.requests)[:PAYLOAD_CHARS_MAX]))

    async def _watch(self) -> None:
        """Read back what the log really holds. A background reader is fast enough: acknowledgments in a row already confirm the own records."""
        async with aclosing(self._journal.read_events_in_background(self.partition, self._fencing_epoch + 1)) as entries:
            async for stored in entries:
                if stored.offset >= self._confirmed_offset:
                    self._confirm(stored.offset, stored.entry)

    def _confirm(self, offset: int, entry: Entry) -> None:
        """Judge the next entry of the log. Raises `PartitionLost` for a foreign takeover, and for a foreign record under the own fencing epoch."""
        verdict = self._confirmed.judge(offset, entry)
        if verdict is Verdict.takeover:
            raise PartitionLost(f"partition {self.partition} was taken over at offset {offset}")
        if verdict is not Verdict.accepted:
            self._metrics.journal_skipped.labels(verdict.value).inc()
        assert isinstance(entry, Record)
        if entry.fencing_epoch == self._fencing_epoch and (verdict is not Verdict.accepted or self._confirmed.step > self._step):
            raise PartitionLost(f"another engine wrote under fencing epoch {self._fencing_epoch} of partition {self.partition}, at offset {offset}")
        self._confirmed_offset, self._confirmed_entry = offset + 1, entry
        self._wake.set()

    def _reader_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._fail(task.exception() or JournalError("a reader of the journal ended"))

    def _fail(self, failure: BaseException) -> None:
        self._failure = self._failure or failure
        self._wake.set()

    # Serving.

    async def _serve(self) -> None:
        while True:
            if self._failure is not None:
                raise self._failure
            now_ms = self._clock_ms()
            self._archive.tidy(now_ms)
            if self._snapshot_is_due(now_ms):
                await self._snapshot()
            elif len(self._in_flight) >= self._config.engine.steps_in_flight_max or not await self._make_record(now_ms):
                await self._sleep(now_ms)

    async def _sleep(self, now_ms: int) -> None:
        due = [due for due in (self._timers.next_ms(), self._keyframes.next_ms(), self._archive.next_ms()) if due is not None]
        if self._records_since_snapshot and self._saving is None and not self._state.away:
            due.append(self._snapshot_due_ms)
        self._wake.clear()
        if self._inbox and len(self._in_flight) < self._config.engine.steps_in_flight_max:
            return
        if not due or self._in_flight:  # a record that becomes durable wakes the owner, too
            await self._wake.wait()
            return
        alarm = asyncio.get_running_loop().call_later(max(0.001, (min(due) - now_ms) / 1000), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            alarm.cancel()

    async def _make_record(self, now_ms: int) -> bool:
        """Append one record, a step and a chunk of a state transfer in turns. Gives false when there was nothing to do."""
        chunk = self._state_transfer.go_on()
        if chunk is None and self._state_transfer.waiting and self._steps_turn_over:
            chunk = self._state_transfer.begin(self._state.rooms, max(self._state.time_ms, now_ms))
        if chunk is not None:
            self._steps_turn_over = False
            alone = self._new_step(now_ms)
            to = self._next_command
            self._append(alone.record(self._fencing_epoch, self._step, to, to, chunk.keyframes, chunk.details, chunk.entitlements), alone)
            return True
        self._steps_turn_over = True
        if self._archive.is_wanted:  # This runs right before the commands that name these rooms, so that nothing archives the rooms in between.
            await self._archive.bring_back(now_ms)
            self._derive_damaged()
            now_ms = self._clock_ms()
        return await self._make_step(now_ms) or self._state_transfer.waiting

    async def _make_step(self, now_ms: int) -> bool:
        """Decide the waiting timers and commands. Gives false when there were none."""
        if not self._inbox and not self._is_due(max(self._state.time_ms, now_ms)):
            return False
        step = self._new_step(now_ms)
        self._let_time_pass(step)
        to = self._answer_waiting(step)
        for room, events in step.changed_rooms().items():
            self._set_timer(room)
            self._keyframes.note(room, events, step.time_ms)
        rooms = [room for room in self._keyframes.take(step.time_ms) if room in self._state.rooms]
        if step.is_empty and not rooms and to == self._next_command:
            await self._end(step)
            return False
        self._append(step.record(self._fencing_epoch, self._step, self._next_command, to, self._keyframes_that_fit(step, rooms)), step)
        for room, with_entitlements in step.wanted_details.items():
            self._state_transfer.want(room, with_entitlements)
            self._set_timer(room)  # a request for its detail counts as use
        await self._end(step)
        return True

    def _is_due(self, time_ms: int) -> bool:
        """Whether a timer or a keyframe is due. Most turns of the owner only follow an acknowledgment, and have nothing to do."""
        return any(due is not None and due <= time_ms for due in (self._timers.next_ms(), self._keyframes.next_ms()))

    def _new_step(self, now_ms: int) -> Step:
        return Step(self.partition, self._state, self._config, self._rng, now_ms, self._isolated)

    async def _end(self, step: Step) -> None:
        """Rebuild the rooms whose state was lost, and write the dead letters."""
        for room in step.broken:
            self._set_timer(room)
        self._recovery.begin(self._state, step.broken, tuple(self._in_flight))
        for letter in step.dead_letters:
            self._metrics.journal_dead_letters.inc()
            try:
                await self._journal.write_dead_letter(letter)
            except Exception:
                self._isolated.note("engine_dead_letter", partition=self.partition, offset=letter.offset, reason=letter.reason)

    def _came_back(self, room: str) -> None:
        """Resume a room whose state was rebuilt."""
        self._set_timer(room)
        self._state_transfer.put_off((room,))
        self._wake.set()

    def _derive_damaged(self) -> None:
        """Rebuild the rooms whose stored state is damaged."""
        if self._archive.damaged:
            self._recovery.begin(self._state, self._archive.damaged, tuple(self._in_flight))
            self._archive.damaged = {}

    def _set_timer(self, room: str) -> None:
        """Set the room's next due time, and tell the archive whether the room rests.

        A timer that raised waits for `TIMER_AGAIN_MS`.
        A room whose state is unknown has no timer.
        """
        due: int | None = None
        may_rest = False
        try:
            if (state := self._state.rooms.get(room)) is not None:
                due, may_rest = due_ms(state), rests(state)
        except Exception:
            self._isolated.note("engine_timer", room=room)
        if due is not None and self._timers_retry_ms:
            due = max(due, self._timers_retry_ms.get(room, due))
        self._timers.set(room, due)
        self._archive.note(room, self._state.time_ms, rests=may_rest)

    def _let_time_pass(self, step: Step) -> None:
        """Run due timers before commands, for as many rooms as the record can hold."""
        for _ in range(DUE_ROOMS_PER_STEP_MAX):
            if not step.has_capacity(ROOM_DUE_BYTES_MAX) or not (due := self._timers.take(step.time_ms, 1)):
                break
            (room,) = due
            try:
                events = decide_due(self._state.rooms[room], step.time_ms)
                step.reserve_bytes(len(encode(events)) + SPAN_HEAD_BYTES)
                step.happen(room, events)
                self._timers_retry_ms.pop(room, None)
            except Exception as error:
                self._isolated.note("engine_timer", room=room)
                if room not in self._timers_retry_ms:  # one dead letter for each room, not for each try
                    step.fail_timer(room, error)
                self._timers_retry_ms[room] = step.time_ms + TIMER_AGAIN_MS
            self._set_timer(room)

    def _keyframes_that_fit(self, step: Step, rooms: list[str]) -> list[Keyframe]:
        """The keyframes that fit into the step's record. The others go into a record of their own."""
        keyframes: list[Keyframe] = []
        for at, room in enumerate(rooms):
            try:
                made = keyframe(room, self._state.rooms[room], step.time_ms, self._config.rooms)
                size = len(encode(made)) + 1
            except Exception:
                self._isolated.note("engine_keyframe", room=room)
                continue
            if not step.has_capacity(size):
                self._state_transfer.put_off(rooms[at:])
                break
            step.reserve_bytes(size)
            keyframes.append(made)
        return keyframes

    def _answer_waiting(self, step: Step) -> int:
        """Pass waiting batches to the step, within its limits. Gives the command offset at which the step ends."""
        to = self._next_command
        commands_left = self._config.engine.step_commands_max
        first = True
        while self._inbox:
            waiting = self._inbox[0]
            batch = waiting.batch
            commands_left -= len(batch.requests)
            if (commands_left < 0 and not first) or not (step.is_empty or step.has_capacity(waiting.bytes_max)):
                break
            self._inbox.popleft()
            self._inbox_space.set()
            if batch.offset < to:  # gaps between offsets are normal
                raise InvariantBroken(f"commands go back from {to} to {batch.offset}")
            step.answer_batch(waiting)
            to = batch.offset + 1
            first = False
        return to

    def _append(self, record: Record, step: Step) -> None:
        began = time.monotonic()
        try:
            future = self._journal.append(self.partition, record)
        except JournalError:
            raise
        except Exception:
            record = step.repaired(record)
            future = self._journal.append(self.partition, record)
        step.end()
        self._step += 1
        self._next_command = record.to
        self._in_flight[future] = began
        self._records_since_snapshot += 1
        step.count(self._metrics)

        def landed(done: asyncio.Future[int]) -> None:
            del self._in_flight[done]
            if done.cancelled():
                self._fail(JournalError("an append was cancelled"))
            elif error := done.exception():
                self._fail(error)
            else:
                self._metrics.engine_append_seconds.observe(time.monotonic() - began)
                self._landed(done.result(), record)

        future.add_done_callback(landed)

    def _landed(self, offset: int, record: Record) -> None:
        """Handle the acknowledgment of an own record.

        A record that directly follows the last confirmed entry needs no read-back: no other entry can lie between.
        """
        self._wake.set()
        if offset != self._confirmed_offset:
            return
        try:
            self._confirm(offset, record)
        except PartitionLost as lost:
            self._fail(lost)

    # Snapshots: one begins only when every decided record is confirmed, with no foreign record in between.

    def _snapshot_is_due(self, now_ms: int) -> bool:
        if not self._records_since_snapshot or self._saving is not None or self._state.away:  # a snapshot needs the state of every room
            return False
        return now_ms >= self._snapshot_due_ms or self._records_since_snapshot >= self._config.engine.snapshot_records_max or self._archive.is_crowded

    async def _snapshot(self) -> None:
        settled = not self._in_flight and self._confirmed.step == self._step and self._confirmed.next_command == self._next_command
        if not settled:
            self._wake.clear()
            await self._wake.wait()
            return
        self._state.acceptance = self._confirmed.copy()
        self._archive.snapshots.begin(Moment(self._confirmed_offset, entry_id(self._confirmed_entry), self._state.acceptance, self._state.time_ms))
        self._records_since_snapshot = 0
        self._snapshot_due_ms = self._clock_ms() + self._config.engine.snapshot_interval_ms
        self._saving = asyncio.create_task(self._save())

    async def _save(self) -> None:
        """Save the snapshot while steps go on, because a journal may need a while for it."""
        try:
            await self._archive.save()
            self._metrics.engine_snapshots.inc()
        except JournalError as error:
            self._fail(error)
            return
        # The snapshot holds a room that cannot be encoded. The next snapshot tries again; until then a recovery reads more of the log.
        except Exception:
            self._isolated.note("engine_snapshot", partition=self.partition)
            self._archive.snapshots.abandon()
        self._saving = None
        self._wake.set()
