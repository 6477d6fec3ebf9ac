"""A random model of everything that goes wrong around `events[p]`, and what the acceptance rule makes of it.

Engines takeover at random and go on deciding after they were fenced. Their records land late, out of order,
twice or never, and an engine may begin from a fold that misses the newest entries. Senders repeat commands.

The rules hold whatever lands. No command has two outcomes among the records that count, and no command is skipped.
Nothing happens twice, and acknowledged outcomes stay. The engine of every record knew all that had happened before.
Each check of the rule is then switched off in turn: the same schedules must show the damage.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from liveroom.journal.acceptance import NO_FENCING_EPOCH, Acceptance, Verdict
from liveroom.protocol.frames import Accepted
from liveroom.protocol.records import RECORD_VERSION, CommandReply, Entry, Record, RoomSpan, Takeover

SCHEDULES = 1_500
ACTIONS = 80


class Weakened(Acceptance):
    """The rule as it judges `seen(record)` in a record's place."""

    def seen(self, record: Record) -> Record:
        raise NotImplementedError

    def judge(self, offset: int, entry: Entry) -> Verdict:
        if isinstance(entry, Takeover):
            return super().judge(offset, entry)
        verdict = super().judge(offset, replace(self.seen(entry), from_=self.next_command, to=self.next_command))
        if verdict is Verdict.accepted:
            self.next_command = entry.to
        return verdict


class WithoutFencingEpoch(Weakened):
    """The rule without its fencing epoch check."""

    def seen(self, record: Record) -> Record:
        return replace(record, fencing_epoch=self.fencing_epoch)


class WithoutStep(Weakened):
    """The rule without its step check."""

    def seen(self, record: Record) -> Record:
        return replace(record, step=self.step)


class WithoutPast(Weakened):
    """The rule without its check of what a fencing epoch's first record was decided after."""

    def seen(self, record: Record) -> Record:
        return replace(record, after=self.after)


class FromForPast(WithoutPast):
    """The rule with another check in that one's place: whether a record begins at the next command."""

    def seen(self, record: Record) -> Record:
        return super().seen(record) if record.from_ == self.next_command else replace(record, fencing_epoch=NO_FENCING_EPOCH - 1)


class Engine:
    """Decides by its own knowledge, even if it no longer owns the partition."""

    def __init__(self) -> None:
        self.fencing_epoch = -1
        self.step = 0
        self.next_command = 0
        self.after = ""
        self.outcomes: dict[str, str] = {}
        self.known: list[str] = []  # every effect that it has folded or decided


class World:
    """One partition, its commands, its engines, and the records on their way."""

    def __init__(self, seed: int, rule: type[Acceptance]) -> None:
        self.rng = random.Random(seed)
        self.rule = rule
        self.log: list[Entry] = []
        self.commands: list[str] = []
        self.in_flight: list[Record] = []
        self.engines = [Engine() for _ in range(3)]
        self.acknowledged: dict[str, str] = {}
        self.decided_after: dict[str, tuple[str, ...]] = {}  # effect -> the effects that its engine knew
        self.reader = rule()
        self.fresh = map(str, itertools.count())

    def run(self) -> None:
        actions = [self.send, self.send, self.takeover, *[self.decide] * 6, *[self.land] * 6, self.lose]
        for _ in range(ACTIONS):
            self.rng.choice(actions)()

    def send(self) -> None:
        """A sender sends a command, or one of the last again because it has no reply yet."""
        again = self.commands and self.rng.random() < 0.5
        self.commands.append(self.rng.choice(self.commands[-4:]) if again else next(self.fresh))

    def takeover(self) -> None:
        """An engine takes over; sometimes its fold misses the newest entries."""
        engine = self.rng.choice(self.engines)
        engine.fencing_epoch = len(self.log)
        engine.step = 0
        seen = self.log[: len(self.log) - self.rng.choice([0, 0, 0, 1, 2])]
        takeover = Takeover(RECORD_VERSION, "engine", 0, next(self.fresh))
        self.append(takeover)
        fold = self.rule()
        records = list(counted(seen, fold))
        fold.judge(len(self.log) - 1, takeover)
        engine.outcomes, engine.known = dict(outcomes_of(records)), effects_of(records)
        engine.next_command, engine.after = fold.next_command, fold.after

    def decide(self) -> None:
        """An engine makes a step of up to three commands, or one that a timer alone made."""
        engine = self.rng.choice(self.engines)
        if engine.fencing_epoch < 0:
            return
        from_ = engine.next_command
        to = min(len(self.commands), from_ + self.rng.randint(0, 3))
        replies = []
        for id_ in self.commands[from_:to]:
            outcome = engine.outcomes.setdefault(id_, f"outcome {next(self.fresh)}")
            replies.append(CommandReply("room", "user", 0, Accepted(id_, 0, {"outcome": outcome})))
        effect = f"effect-{next(self.fresh)}"
        self.decided_after[effect] = tuple(engine.known)
        engine.known.append(effect)
        record = Record(
            RECORD_VERSION, engine.fencing_epoch, engine.step, from_, max(from_, to), 0, rooms={effect: RoomSpan(0, ())}, replies=tuple(replies)
        )
        self.in_flight.append(record if engine.step else replace(record, after=engine.after))
        engine.step += 1
        engine.next_command = max(from_, to)

    def land(self) -> None:
        """A record arrives: mostly the oldest, sometimes another, sometimes to come once more."""
        if self.in_flight:
            index = 0 if self.rng.random() < 0.7 else self.rng.randrange(len(self.in_flight))
            again = self.rng.random() < 0.15
            self.append(self.in_flight[index] if again else self.in_flight.pop(index))

    def lose(self) -> None:
        """A record never arrives."""
        if self.in_flight:
            self.in_flight.pop(self.rng.randrange(len(self.in_flight)))

    def append(self, entry: Entry) -> None:
        """A reader that follows acknowledges what it accepts."""
        self.log.append(entry)
        if self.reader.judge(len(self.log) - 1, entry) is Verdict.accepted:
            assert isinstance(entry, Record)
            self.acknowledged |= dict(outcomes_of([entry]))

    def damage(self) -> set[str]:
        """Faults of the records that count."""
        found = set()
        fold = self.rule()
        records = list(counted(self.log, fold))
        outcomes: dict[str, str] = {}
        for id_, outcome in outcomes_of(records):
            if outcomes.setdefault(id_, outcome) != outcome:
                found.add("two outcomes")
        if any(outcomes.get(id_) != outcome for id_, outcome in self.acknowledged.items()):
            found.add("lost")
        if any(id_ not in outcomes for id_ in self.commands[: fold.next_command]):
            found.add("passed over")
        effects = effects_of(records)
        if len(effects) != len(set(effects)):
            found.add("happened twice")
        if any(self.decided_after[effect] != tuple(effects[:at]) for at, effect in enumerate(effects)):
            found.add("decided after another past")
        return found


def counted(log: list[Entry], fold: Acceptance, start: int = 0) -> Iterator[Record]:
    for offset, entry in enumerate(log[start:], start):
        if fold.judge(offset, entry) is Verdict.accepted:
            assert isinstance(entry, Record)
            yield entry


def effects_of(records: list[Record]) -> list[str]:
    return [effect for record in records for effect in record.rooms]


def outcomes_of(records: list[Record]) -> Iterator[tuple[str, str]]:
    for record in records:
        for command_reply in record.replies:
            assert isinstance(command_reply.reply, Accepted)
            yield command_reply.reply.id, str(command_reply.reply.result["outcome"])


def run(seed: int, rule: type[Acceptance]) -> World:
    world = World(seed, rule)
    world.run()
    return world


def test_the_rule_keeps_every_schedule_sound() -> None:
    """No schedule does any damage, and the schedules are not empty: thousands of records count, thousands are skipped."""
    accepted = skipped = 0
    for seed in range(SCHEDULES):
        world = run(seed, Acceptance)
        assert world.damage() == set(), f"seed {seed}"
        count = len(list(counted(world.log, Acceptance())))
        accepted += count
        skipped += sum(isinstance(entry, Record) for entry in world.log) - count
    assert accepted > SCHEDULES
    assert skipped > SCHEDULES


def test_a_reader_that_starts_at_a_snapshot_agrees() -> None:
    """From any offset on, with the rule's state as of there, a reader accepts the same records as one that began at 0."""
    for seed in range(100):
        log = run(seed, Acceptance).log
        whole = list(counted(log, Acceptance()))
        for start in range(0, len(log), 5):
            fold = Acceptance()
            before = list(counted(log[:start], fold))
            assert before + list(counted(log, fold.copy(), start)) == whole


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (WithoutFencingEpoch, "two outcomes"),
        (WithoutPast, "two outcomes"),
        (WithoutStep, "happened twice"),
        (FromForPast, "decided after another past"),  # it lets pass who missed what timers alone had done
    ],
)
def test_without_one_of_its_checks_the_rule_does_damage(rule: type[Acceptance], expected: str) -> None:
    """The model sees what each check is for: without it the same schedules do damage in many places."""
    damaged = sum(expected in run(seed, rule).damage() for seed in range(SCHEDULES))
    assert damaged > SCHEDULES // 100
