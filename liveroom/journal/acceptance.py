"""The acceptance rule: which entries of `events[p]` count. Every reader uses this one class.

A claim fences: its own offset becomes the epoch. A record counts if and only if its `epoch` is the last
claim's offset, its `step` is that epoch's next, and its `from` is the next expected command offset.
Anything else was written by an engine that had already lost the partition, or twice, and is skipped.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from liveroom.messages.records import Claim, Entry

__all__ = ["NO_EPOCH", "Acceptance", "Verdict"]

#: The epoch before the first claim; no record can carry it.
NO_EPOCH = -1


class Verdict(str, Enum):
    """What the rule says of one entry."""

    claimed = "claimed"
    accepted = "accepted"
    foreign_epoch = "foreign_epoch"
    wrong_step = "wrong_step"
    wrong_from = "wrong_from"


class Acceptance(Struct):
    """Where a reader of one partition stands: the last claim, its next step, the next command offset."""

    epoch: int = NO_EPOCH
    step: int = 0
    next_command: int = 0

    def judge(self, offset: int, entry: Entry) -> Verdict:
        """Judge the entry at `offset` and move on; entries must be given in order of their offsets."""
        if isinstance(entry, Claim):
            assert offset > self.epoch, "entries must come in order"
            self.epoch = offset
            self.step = 0
            return Verdict.claimed
        if entry.epoch != self.epoch:
            return Verdict.foreign_epoch
        if entry.step != self.step:
            return Verdict.wrong_step
        if entry.from_ != self.next_command:
            return Verdict.wrong_from
        assert entry.to >= entry.from_, "a record's span never runs backwards"
        self.step += 1
        self.next_command = entry.to
        return Verdict.accepted

    def copy(self) -> Acceptance:
        """An independent copy."""
        return Acceptance(self.epoch, self.step, self.next_command)
