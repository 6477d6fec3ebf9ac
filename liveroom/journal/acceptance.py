"""The acceptance rule: which entries of `events[p]` count. Every reader uses this one class.

A claim fences: its own offset becomes the epoch. A record counts if and only if its `epoch` is the last
claim's offset, its `step` is that epoch's next, and, if it is the epoch's first, its `after` names the last
record that counted. Anything else was written by an engine that had already lost the partition, or twice, or that
had not read all that counted, and is skipped.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from liveroom.messages.errors import InvariantBroken
from liveroom.protocol.records import Claim, Entry

__all__ = ["NO_EPOCH", "Acceptance", "Verdict"]

#: The epoch before the first claim; no record can carry it.
NO_EPOCH = -1


class Verdict(str, Enum):
    """What the rule says of one entry."""

    claimed = "claimed"
    accepted = "accepted"
    foreign_epoch = "foreign_epoch"
    wrong_step = "wrong_step"
    wrong_past = "wrong_past"


class Acceptance(Struct, omit_defaults=True):
    """Where a reader of one partition stands: the last claim, its next step, the next command offset, and what counted last before the claim."""

    epoch: int = NO_EPOCH
    step: int = 0
    next_command: int = 0
    #: Of the last claim.
    nonce: str = ""
    #: The last record that counted before the last claim, by its own claim's nonce and its step; empty when none did.
    after: str = ""

    def judge(self, offset: int, entry: Entry) -> Verdict:
        """Judge the entry at `offset` and move on; entries must be given in order of their offsets."""
        if isinstance(entry, Claim):
            if offset <= self.epoch:
                raise InvariantBroken("entries come in order")
            if self.step:
                self.after = f"{self.nonce}-{self.step - 1}"
            self.epoch, self.step, self.nonce = offset, 0, entry.nonce
            return Verdict.claimed
        if entry.epoch != self.epoch:
            return Verdict.foreign_epoch
        if entry.step != self.step:
            return Verdict.wrong_step
        if not self.step and entry.after != self.after:
            return Verdict.wrong_past
        if not entry.from_ == self.next_command <= entry.to:
            raise InvariantBroken("an engine that read all that counted goes on at the next command")
        self.step += 1
        self.next_command = entry.to
        return Verdict.accepted

    def copy(self) -> Acceptance:
        """An independent copy."""
        return replace(self)
