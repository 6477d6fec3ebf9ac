"""What is remembered of command ids, beside a plain list."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from liveroom.codec import encode
from liveroom.config import EngineConfig
from liveroom.engine.outcomes import CommandKey, Outcome, Outcomes
from liveroom.engine.partition import PartitionState
from liveroom.messages.frames import Accepted
from liveroom.messages.records import Answer, Record

WINDOW_MS, COUNT_MAX = 100, 6

#: The time since the record before, and the ids of the commands that the record answers.
RECORDS = st.lists(st.tuples(st.sampled_from([0, 1, 50, 99, 100, 101]), st.lists(st.integers(0, 12), max_size=9)))


class Plain:
    """The same by looking through all of it."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, str, int]] = []

    def find(self, command_id: str) -> int | None:
        return next((digest for _, kept_id, digest in self.kept if kept_id == command_id), None)

    def forget(self, now_ms: int) -> None:
        self.kept = [one for one in self.kept if one[0] > now_ms - WINDOW_MS][-COUNT_MAX:]


def key(command_id: str) -> CommandKey:
    return ("demo", "vera", command_id)


def digest_of(answer: Answer | None) -> int | None:
    return answer.digest if answer is not None else None


@given(RECORDS, st.booleans())
def test_an_id_is_known_for_so_long_and_among_so_many(records: list[tuple[int, list[int]]], through_a_snapshot: bool) -> None:
    """After each record the newest `count_max` that are younger than `window_ms` are known, also when they went through a snapshot."""
    outcomes, plain, now_ms = Outcomes(WINDOW_MS, COUNT_MAX), Plain(), 1_000
    for number, (passed_ms, ids) in enumerate(records):
        now_ms += passed_ms
        for command_id in map(str, ids):
            known = outcomes.find(key(command_id))
            assert digest_of(known) == plain.find(command_id)
            if known is None:
                outcomes.remember(key(command_id), Answer("demo", "vera", number + 1, Accepted(command_id, 0)))
                plain.kept.append((now_ms, command_id, number + 1))
        outcomes.end_record(now_ms)
        plain.forget(now_ms)
        if through_a_snapshot:
            written = msgspec.json.decode(encode(list(outcomes)), type=list[Outcome])
            outcomes = Outcomes(WINDOW_MS, COUNT_MAX, written)
        assert len(outcomes) == len(plain.kept)
        assert [(o.time_ms, o.reply.id, o.digest) for o in outcomes] == plain.kept


def test_the_first_outcome_of_an_id_stays() -> None:
    """A record that tells of an id once more, say after a longer memory was set, changes nothing."""
    state = PartitionState(EngineConfig())
    for step, result in enumerate(("first", "second")):
        answer = Answer("demo", "vera", 7, Accepted("again", 0, {"outcome": result}))
        state.fold(Record(v=1, epoch=0, step=step, from_=step, to=step + 1, time_ms=step, answers=(answer,)))
    assert [(o.time_ms, o.reply) for o in state.outcomes] == [(0, Accepted("again", 0, {"outcome": "first"}))]
