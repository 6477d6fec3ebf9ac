"""The acceptance rule, which decides which entries of `events[p]` count.
Every reader uses this one class.

How it works:

An engine becomes the owner of a partition by a `Takeover`.
The offset of the takeover is the fencing epoch of the owner's records.
A record counts if, and only if, all of these hold:
- Its `fencing_epoch` is the offset of the last takeover. Otherwise its engine had lost the partition.
- Its `step` is the next one of that fencing epoch. Otherwise it was written twice, or a record before it is missing.
- If it is the first record of its fencing epoch, its `after` names the last record that counted before. Otherwise its engine had not read the whole
  log.

All other records are skipped.
The rule depends on the log alone, so all readers agree, even while two engines believe that they own the partition.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from liveroom.messages.errors import InvariantBroken
from liveroom.protocol.records import Entry, Takeover

__all__ = ["NO_FENCING_EPOCH", "Acceptance", "Verdict"]

#: The fencing epoch before the first takeover; no record can carry it.
NO_FENCING_EPOCH = -1


class Verdict(str, Enum):
    """The rule's verdict on one entry."""

    takeover = "takeover"
    accepted = "accepted"
    foreign_fencing_epoch = "foreign_fencing_epoch"
    wrong_step = "wrong_step"
    wrong_after = "wrong_after"


class Acceptance(Struct, omit_defaults=True):
    """The position of a reader of one partition: the last takeover, its next step, and the next command offset."""

    fencing_epoch: int = NO_FENCING_EPOCH
    step: int = 0
    next_command: int = 0
    #: The nonce of the last takeover.
    nonce: str = ""
    #: The last record that counted before the last takeover, as the nonce of its takeover and its step. Empty when there is none.
    after: str = ""

    def judge(self, offset: int, entry: Entry) -> Verdict:
        """Judge the entry at `offset` and move on. Entries must come in order of their offsets."""
        if isinstance(entry, Takeover):
            if offset <= self.fencing_epoch:
                raise InvariantBroken("entries come in order")
            if self.step:
                self.after = f"{self.nonce}-{self.step - 1}"
            self.fencing_epoch, self.step, self.nonce = offset, 0, entry.nonce
            return Verdict.takeover
        if entry.fencing_epoch != self.fencing_epoch:
            return Verdict.foreign_fencing_epoch
        if entry.step != self.step:
            return Verdict.wrong_step
        if not self.step and entry.after != self.after:
            return Verdict.wrong_after
        if not entry.from_ == self.next_command <= entry.to:
            raise InvariantBroken("an engine that read all that counted goes on at the next command")
        self.step += 1
        self.next_command = entry.to
        return Verdict.accepted

    def copy(self) -> Acceptance:
        """An independent copy."""
        return replace(self)
