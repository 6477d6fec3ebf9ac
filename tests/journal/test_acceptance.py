"""The acceptance rule, case by case; `test_acceptance_model.py` shows what it is good for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from liveroom.journal.acceptance import NO_FENCING_EPOCH, Acceptance, Verdict
from liveroom.messages.errors import InvariantBroken
from liveroom.protocol.records import Entry
from tests.journal.entries import record, takeover


def judge_all(entries: Sequence[Entry], acceptance: Acceptance | None = None) -> list[str]:
    acceptance = acceptance or Acceptance()
    return [acceptance.judge(offset, entry).value for offset, entry in enumerate(entries, acceptance.fencing_epoch + 1)]


def test_an_owner_in_order_is_accepted() -> None:
    """A takeover, then its steps in order, each beginning where the last ended."""
    entries: list[Entry] = [takeover(), record(0, 0, 0, 3), record(0, 1, 3, 3), record(0, 2, 3, 4)]
    assert judge_all(entries) == ["takeover", "accepted", "accepted", "accepted"]


def test_nothing_counts_before_the_first_takeover() -> None:
    """A record without a takeover is nobody's, even with the fencing epoch of no takeover."""
    assert judge_all([record(0, 0, 0, 1), takeover()]) == ["foreign_fencing_epoch", "takeover"]
    assert judge_all([takeover("b"), record(NO_FENCING_EPOCH, 0, 0, 1)]) == ["takeover", "foreign_fencing_epoch"]


def test_a_zombie_is_skipped() -> None:
    """After a foreign takeover the old owner's records are skipped, even if step and from would fit."""
    entries: list[Entry] = [takeover("a"), record(0, 0, 0, 1), takeover("b"), record(0, 1, 1, 2), record(2, 0, 1, 2, after="a-0"), record(0, 1, 2, 3)]
    assert judge_all(entries) == ["takeover", "accepted", "takeover", "foreign_fencing_epoch", "accepted", "foreign_fencing_epoch"]


def test_a_record_that_comes_twice_counts_once() -> None:
    """The second copy has a step that was taken already, even if its span is empty."""
    assert judge_all([takeover(), record(0, 0, 0, 0), record(0, 0, 0, 0)]) == ["takeover", "accepted", "wrong_step"]


def test_after_a_lost_record_nothing_counts() -> None:
    """When a step is missing, those that come behind it are skipped until a new takeover."""
    entries: list[Entry] = [takeover(), record(0, 1, 0, 1), record(0, 2, 1, 2), takeover(), record(3, 0, 0, 1)]
    assert judge_all(entries) == ["takeover", "wrong_step", "wrong_step", "takeover", "accepted"]


def test_an_owner_that_missed_something_is_skipped() -> None:
    """A fencing epoch's first record names the last that counted before it; nothing counts of an engine that missed one, were it empty."""
    before: list[Entry] = [takeover("a"), record(0, 0, 0, 5), record(0, 1, 5, 5), takeover("b")]
    missed: list[Entry] = [record(3, 0, 5, 6), record(3, 0, 5, 6, after="a-0"), record(3, 1, 6, 7), record(3, 0, 5, 6, after="b-0")]
    right: list[Entry] = [record(3, 0, 5, 6, after="a-1"), record(3, 1, 6, 7)]
    verdicts = judge_all([*before, *missed, *right])
    assert verdicts == [
        "takeover",
        "accepted",
        "accepted",
        "takeover",
        "wrong_after",
        "wrong_after",
        "wrong_step",
        "wrong_after",
        "accepted",
        "accepted",
    ]


def test_takeovers_without_records_change_no_after() -> None:
    """The last record that counts stays the same, however often the partition is taken over after it."""
    entries: list[Entry] = [
        takeover("a"),
        record(0, 0, 0, 1),
        takeover("b"),
        takeover("c"),
        record(3, 0, 1, 2, after="a-0"),
        takeover("d"),
        takeover("e"),
    ]
    acceptance = Acceptance()
    judge_all(entries, acceptance)
    assert acceptance == Acceptance(6, 0, 2, "e", "c-0")


def test_what_is_skipped_changes_nothing() -> None:
    """A skipped record leaves the rule where it was."""
    acceptance = Acceptance(7, 3, 40)
    for entry in (record(6, 3, 40, 41), record(7, 2, 40, 41), record(7, 4, 40, 41)):
        acceptance.judge(8, entry)
    assert acceptance == Acceptance(7, 3, 40)
    first = Acceptance(7, 0, 40, "b", "a-3")
    first.judge(8, record(7, 0, 40, 41, after="a-2"))
    assert first == Acceptance(7, 0, 40, "b", "a-3")


def test_a_takeover_keeps_the_next_command() -> None:
    """The new owner goes on where the last accepted record ended."""
    acceptance = Acceptance(7, 3, 40, "a")
    assert acceptance.judge(9, takeover("b")) is Verdict.takeover
    assert acceptance == Acceptance(9, 0, 40, "b", "a-2")


@pytest.mark.parametrize(("from_", "to"), [(0, -1), (1, 1)])
def test_a_span_that_runs_backwards_or_leaves_a_gap_is_a_bug(from_: int, to: int) -> None:
    """An engine that has read all that counted goes on at the next command; a record that does not is never accepted; it raises."""
    with pytest.raises(InvariantBroken):
        judge_all([takeover(), record(0, 0, 0, 0), record(0, 1, from_, to)])


def test_a_copy_is_independent_and_the_rule_survives_json() -> None:
    """Snapshots carry the rule's state: a copy or a JSON round trip is equal and lives on its own."""
    acceptance = Acceptance(7, 3, 40, "a", "z-1")
    copy = acceptance.copy()
    acceptance.judge(8, takeover())
    assert copy == Acceptance(7, 3, 40, "a", "z-1") == msgspec.json.decode(msgspec.json.encode(copy), type=Acceptance)
